//! Real VMs over a small world of their own.

use std::cell::RefCell;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::action::{Content, Failure, FailureKind, SendOrder, Sent, State, Status};
use crate::event::Origin;
use crate::script::AccountState;
use crate::script::run::{Change, MAX_POSTS};
use crate::script::world::{Kept, LogLine};

const NOW: i64 = 1_767_600_000_000;

#[derive(Default)]
struct Small {
    lines: RefCell<Vec<LogLine>>,
    sends: RefCell<Vec<SendOrder>>,
    fail: RefCell<Option<FailureKind>>,
    delay: RefCell<Duration>,
    kept: RefCell<Vec<(String, Kept)>>,
}

impl World for Small {
    fn now(&self) -> i64 {
        NOW
    }

    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }

    fn log(&self, line: LogLine) {
        self.lines.borrow_mut().push(line);
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        (id == "sales").then_some(AccountState {
            state: State::Ready,
            reason: None,
            since: 1,
        })
    }

    fn has_endpoint(&self, name: &str) -> bool {
        name == "crm"
    }

    fn kv_get(&self, key: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>> {
        let found = self
            .kept
            .borrow()
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, kept)| kept.clone());
        async { Ok(found) }.boxed_local()
    }

    fn kv_list(&self, prefix: String, limit: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>> {
        let kept = self.kept.borrow();
        let found = kept
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .take(limit)
            .cloned()
            .collect();
        async { Ok(found) }.boxed_local()
    }

    fn send(&self, order: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>> {
        let n = self.sends.borrow().len();
        let account = order.account.clone();
        self.sends.borrow_mut().push(order);
        let (fail, delay) = (*self.fail.borrow(), *self.delay.borrow());
        async move {
            tokio::time::sleep(delay).await;
            match fail {
                None => Ok(Sent {
                    id: format!("m{n}"),
                    status: Status::Sent,
                }),
                Some(kind) => Err(Failure {
                    kind,
                    message: format!("account '{account}' is not connected"),
                    account: Some(account),
                }),
            }
        }
        .boxed_local()
    }
}

fn limits() -> Limits {
    Limits {
        memory: 16 << 20,
        cpu: Duration::from_millis(100),
        wall: Duration::from_secs(60),
        gate_wall: Duration::from_secs(2),
        load: Duration::from_millis(200),
        patience: Duration::from_secs(600),
    }
}

fn setup(world: &Rc<Small>) -> Setup {
    Setup {
        number: 1,
        limits: limits(),
        config: json!({ "zone": "Europe/Berlin", "list": [1, 2] })
            .as_object()
            .cloned()
            .unwrap(),
        permissions: Permissions::All,
        world: Rc::clone(world) as Rc<dyn World>,
    }
}

fn loaded(text: &str, world: &Rc<Small>) -> Result<Generation, LoadError> {
    let source = Source {
        name: "bot".into(),
        file: "scripts/bot.lua".into(),
        text: text.into(),
    };
    load(&source, setup(world))
}

fn message(body: &str) -> Arc<Event> {
    let data = json!({
        "id": "m1", "chat": "49170@c.us", "from": "49170@c.us", "to": "1@c.us", "author": null,
        "sender": { "id": "49170@c.us", "lid": null, "phone": "49170", "name": "Ann" },
        "from_me": false, "source": null, "type": "chat", "body": body, "caption": null, "media": null,
        "quoted": null, "mentions": [], "timestamp": NOW, "ack": 1,
    });
    Arc::new(Event {
        schema: crate::event::SCHEMA.into(),
        id: "evt_1".into(),
        seq: 1,
        event: Kind::MESSAGE,
        account: Some("sales".parse().unwrap()),
        timestamp: NOW,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    })
}

async fn ran(body: &str, world: &Rc<Small>) -> Result<Effects, Fault> {
    let text = format!("wharf.on('message', function(msg)\n{body}\nend)");
    loaded(&text, world)
        .unwrap()
        .run(&message("hello"), false, Place::free())
        .await
}

async fn lines(body: &str) -> Vec<String> {
    let world = Rc::new(Small::default());
    ran(body, &world).await.unwrap();
    world.lines.take().into_iter().map(|line| line.text).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn a_reply_goes_to_the_chat_of_the_message() {
    let world = Rc::new(Small::default());
    ran(
        "local sent = msg:reply('hi ' .. msg.body) print(sent.id, sent.status)",
        &world,
    )
    .await
    .unwrap();
    let sends = world.sends.take();
    assert_eq!(sends[0].to, "49170@c.us");
    assert_eq!(sends[0].key, "bot/evt_1/main/send/sales/49170@c.us/1");
    assert_eq!(
        sends[0].content,
        Content::Text {
            text: "hi hello".into(),
            quote: None,
            mentions: vec![]
        }
    );
    assert_eq!(world.lines.take()[0].text, "m0\tsent");
}

#[tokio::test(flavor = "current_thread")]
async fn a_failed_send_is_a_table_with_kind_and_one_clean_line() {
    let world = Rc::new(Small::default());
    *world.fail.borrow_mut() = Some(FailureKind::NotConnected);
    ran(
        "local ok, e = pcall(msg.reply, msg, 'x') print(ok, e.kind, e.account, tostring(e))",
        &world,
    )
    .await
    .unwrap();
    assert_eq!(
        world.lines.take()[0].text,
        "false\tnot_connected\tsales\taccount 'sales' is not connected"
    );
    let fault = ran("\nmsg:reply('x')", &world).await.unwrap_err();
    assert_eq!(fault.headline(), "scripts/bot.lua:3: account 'sales' is not connected");
    assert_eq!(fault.kind, FaultKind::Raised);
}

#[tokio::test(flavor = "current_thread")]
async fn an_error_names_the_line_of_the_script() {
    let world = Rc::new(Small::default());
    let fault = ran("local x = nil\nreturn x.y", &world).await.unwrap_err();
    assert_eq!(fault.headline(), "scripts/bot.lua:3: attempt to index nil with 'y'");
    let fault = ran("wharf.kv.set('k', print)", &world).await.unwrap_err();
    assert_eq!(
        fault.headline(),
        "scripts/bot.lua:2: kv.set: the value: a function has no form in JSON"
    );
    let fault = ran("return msg.bdy", &world).await.unwrap_err();
    assert_eq!(
        fault.headline(),
        "scripts/bot.lua:2: a `message` event has no field 'bdy'; did you mean 'body'?"
    );
    let fault = ran("wharf.logg('x')", &world).await.unwrap_err();
    assert_eq!(
        fault.headline(),
        "scripts/bot.lua:2: wharf has no 'logg'; did you mean 'log'?"
    );
    let fault = ran("error('custom')", &world).await.unwrap_err();
    assert_eq!(fault.headline(), "scripts/bot.lua:2: custom");
    let fault = ran("error({ code = 1 })", &world).await.unwrap_err();
    assert_eq!(fault.line, Some(2), "{fault:?}");
    let text = fault.render("wharf.on('message', function(msg)\nerror({ code = 1 })\nend)");
    assert!(text.contains(">    2 | error({ code = 1 })"), "{text}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_event_is_read_only_and_converts_to_the_envelope() {
    assert_eq!(
        lines("print(msg.id, msg.event_id, msg.event, msg.account, msg.author, msg.sender.name, msg.is_group, msg.timestamp)")
            .await,
        [format!("m1\tevt_1\tmessage\tsales\tnil\tAnn\tfalse\t{NOW}")]
    );
    let world = Rc::new(Small::default());
    assert!(ran("msg.body = 'x'", &world).await.is_err());
    assert!(ran("msg.sender.name = 'x'", &world).await.is_err());
    let effects = ran("wharf.webhook.post('crm', msg:json())", &world).await.unwrap();
    let posted: serde_json::Value = serde_json::from_slice(&effects.posts[0].body).unwrap();
    assert_eq!(posted, serde_json::to_value(&*message("hello")).unwrap());
    let effects = ran(
        "local j = msg:json() j.data.author = 'me' j.extra = {} wharf.webhook.post('crm', j)",
        &world,
    )
    .await;
    let posted: serde_json::Value = serde_json::from_slice(&effects.unwrap().posts[0].body).unwrap();
    assert_eq!(posted["data"]["author"], json!("me"));
    assert_eq!(posted["data"]["media"], json!(null));
}

#[tokio::test(flavor = "current_thread")]
async fn a_run_reads_back_what_it_wrote_and_nothing_is_kept_of_one_that_fails() {
    let world = Rc::new(Small::default());
    world.kept.borrow_mut().push((
        "n".into(),
        Kept {
            value: json!(5),
            version: 9,
        },
    ));
    let effects = ran(
        "local kv = wharf.kv
        kv.set('a', { 1, 2 }) print(#kv.get('a'), kv.get('n'), kv.incr('n', 2), kv.get('n'))
        kv.set('b', 1, { ttl = '1h' }) kv.delete('a') print(kv.get('a'), #kv.list('b'), kv.list()[1].key)
        local old = kv.get('c') kv.set('c', 1)",
        &world,
    )
    .await
    .unwrap();
    let texts: Vec<_> = world.lines.take().into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["2\t5\t7\t7", "nil\t1\tb"]);
    let write = |key: &str| effects.writes.iter().find(|write| write.key == key).unwrap();
    assert_eq!(write("n").change, Change::Incr(2.0));
    assert_eq!(write("n").expect, None);
    assert_eq!(write("b").expires_at, Some(NOW + 3_600_000));
    assert_eq!(write("b").expect, None);
    assert_eq!(write("c").expect, Some(None));
    assert!(ran("wharf.kv.set('a', 1) error('x')", &world).await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn limits_of_a_run_are_clear_errors() {
    let world = Rc::new(Small::default());
    let fault = ran("for i = 1, 65 do wharf.kv.set('k' .. i, i) end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.message, "kv: more than 64 keys written in one run");
    let fault = ran("for i = 1, 17 do wharf.webhook.post('crm', 'x') end", &world)
        .await
        .unwrap_err();
    assert_eq!(
        fault.message,
        format!("webhook.post: more than {MAX_POSTS} deliveries in one run")
    );
    let fault = ran("wharf.kv.set('k', ('x'):rep(49152))", &world).await.unwrap_err();
    assert_eq!(
        fault.message,
        "kv.set: the value of 'k' has 49154 bytes as JSON; at most 49152 fit"
    );
    let fault = ran("wharf.webhook.post('crm', ('x'):rep(262145))", &world)
        .await
        .unwrap_err();
    assert!(fault.message.contains("at most 262144 fit"), "{fault:?}");
    let fault = ran("wharf.webhook.post('cmr', 'x')", &world).await.unwrap_err();
    assert_eq!(fault.message, "webhook.post: there is no [endpoint.cmr] in config.toml");
}

#[tokio::test(flavor = "current_thread")]
async fn runaways_are_stopped_and_the_vm_goes_on() {
    let world = Rc::new(Small::default());
    let cases = [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f f = function() while true do pcall(f) end end f()",
        "string.find(('a'):rep(400), ('.-'):rep(14) .. 'b')",
        "local a, b = ('a'):rep(4000000), ('a'):rep(2000000) .. 'b' while true do string.find(a, b, 1, true) end",
        "local a, b = ('a'):rep(4000000), ('a'):rep(2000000) .. 'b' while true do string.find(a, b) end",
        "local t = setmetatable({}, { __index = function(t, k) while true do end end }) print(t.x)",
        "table.sort({ 3, 2, 1 }, function() while true do end end)",
        "xpcall(function() while true do end end, function() while true do end end)",
    ];
    for case in cases {
        let text = format!(
            "wharf.on('message', {{ match = 'hello' }}, function(msg) {case} end)
            wharf.on('message', {{ match = 'then' }}, function(msg) msg:reply('well') end)"
        );
        let generation = loaded(&text, &world).unwrap();
        let fault = generation
            .run(&message("hello"), false, Place::free())
            .await
            .unwrap_err();
        assert_eq!(fault.kind, FaultKind::Killed, "{case}: {fault:?}");
        generation.run(&message("then"), false, Place::free()).await.unwrap();
    }
    let fault = ran("table.move({}, 1, 2 ^ 31 - 2, 2)", &world).await.unwrap_err();
    assert_eq!(
        fault.headline(),
        "scripts/bot.lua:2: table.move moves at most 1,000,000 elements"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_memory_bomb_is_told_from_an_error() {
    let world = Rc::new(Small::default());
    let fault = ran("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Memory, "{fault:?}");
    let fault = ran("local ok, e = pcall(string.rep, 'x', 1e9) error(e, 0)", &world)
        .await
        .unwrap_err();
    assert_eq!(fault.kind, FaultKind::Memory, "{fault:?}");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn waiting_in_a_send_is_not_counted_and_waiting_elsewhere_is() {
    let world = Rc::new(Small::default());
    *world.delay.borrow_mut() = Duration::from_secs(300);
    ran("msg:reply('x')", &world).await.unwrap();
    *world.delay.borrow_mut() = Duration::from_secs(1);
    let gates = loaded(
        "wharf.gate('message', function(msg) msg:reply('closed') return wharf.stop end)",
        &world,
    )
    .unwrap();
    world.sends.take();
    let (stopped, effects) = gates.gate(&message("hello"), 0).await.unwrap();
    assert!(stopped);
    assert_eq!(effects.queued[0].key, "bot/evt_1/gate0/send/sales/49170@c.us/1");
    assert!(world.sends.take().is_empty(), "a send of a gate is queued");
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_with_a_mistake_is_refused_with_its_line() {
    let world = Rc::new(Small::default());
    let refused = |text: &str| loaded(text, &world).err().unwrap().to_string();
    assert_eq!(
        refused("wharf.on('message',\nfunction("),
        "scripts/bot.lua:2: Expected identifier when parsing variable name, got <eof>"
    );
    assert_eq!(
        refused("local a\na()"),
        "scripts/bot.lua:2: attempt to call a nil value"
    );
    assert_eq!(
        refused("-- nothing"),
        "scripts/bot.lua: it registers no handler: nothing calls wharf.on or wharf.gate"
    );
    assert_eq!(
        refused("while true do end"),
        "scripts/bot.lua:1: stopped: the top level takes more than 200ms of CPU time"
    );
    assert_eq!(
        refused("wharf.on('mesage', print)"),
        "scripts/bot.lua:1: on: no event 'mesage'; did you mean 'message'?"
    );
    assert_eq!(
        refused("wharf.on('message', { is_gruop = true }, print)"),
        "scripts/bot.lua:1: on: no filter 'is_gruop'; did you mean 'is_group'?"
    );
    assert_eq!(
        refused("wharf.kv.set('a', 1)"),
        "scripts/bot.lua:1: kv.set works in handlers only, not while the file loads"
    );
    assert_eq!(
        refused("wharf.on('message', function(msg) wharf.on('message', print) end) wharf.x = 1"),
        "scripts/bot.lua:1: wharf is read-only: 'x' cannot be set"
    );
    assert!(refused(&"-".repeat(MAX_SOURCE + 1)).contains("at most 262144"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_leads_out_of_the_sandbox_is_not_there() {
    let names = "for _, name in { 'io', 'package', 'debug', 'loadstring', 'load', 'dofile', 'collectgarbage', 'getfenv', 'setfenv',
        'newproxy', 'require', 'coroutine', 'gcinfo' } do if getmetatable(_G) or _G[name] ~= nil then print(name) end end
        print(pcall(function() string.x = 1 end), os.execute, os.getenv, rawget(_G, 'coroutine'))";
    assert_eq!(lines(names).await, ["false\tnil\tnil\tnil"]);
}

#[tokio::test(flavor = "current_thread")]
async fn find_works_as_before() {
    let checks = "print(('hello'):find('l')) print(('hello'):find('xyz')) print(('a.b'):find('.', 1, true))
        print(('hello'):find('l', -2)) print(('hello'):find('', 10)) print(('hello'):find('')) print(('hello'):find('(l)(l)'))
        print(('hello'):find('l', 4)) print(('hello'):find('h', -100)) print(('hello'):find('', 6))";
    assert_eq!(
        lines(checks).await,
        [
            "3\t3",
            "nil",
            "2\t2",
            "4\t4",
            "nil",
            "1\t0",
            "3\t4\tl\tl",
            "4\t4",
            "1\t1",
            "6\t5"
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn old_messages_come_only_if_the_filter_says_so() {
    let world = Rc::new(Small::default());
    let text = "wharf.on('message', print) wharf.on('message', { max_age = 'any' }, print) wharf.on('message', { max_age = '1h' }, print)";
    let generation = loaded(text, &world).unwrap();
    let mut event = (*message("x")).clone();
    assert_eq!(generation.matching(&event, false), [0, 1, 2]);
    event.data.insert("timestamp".into(), json!(NOW - 11 * 60_000));
    assert_eq!(generation.matching(&event, false), [1, 2]);
    event.data.insert("timestamp".into(), json!(NOW - 61 * 60_000));
    assert_eq!(generation.matching(&event, false), [1]);
    assert_eq!(generation.matching(&event, true), [0, 1, 2]);
    assert_eq!(generation.outline().describe()[1], "on message {max_age=any}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_plugin_may_do_only_what_it_declares() {
    let world = Rc::new(Small::default());
    let declared = crate::script::manifest::Declared {
        events: vec!["message".into()],
        accounts: vec!["*".into()],
        ..Default::default()
    };
    let mut setup = setup(&world);
    setup.permissions = Permissions::Declared(declared);
    let text = "wharf.on('message', function(msg)
        for _, f in { function() msg:reply('x') end, function() wharf.webhook.post('crm', 'x') end } do
            local ok, e = pcall(f) print(e.kind, tostring(e))
        end end)";
    let source = Source {
        name: "bot".into(),
        file: "plugins/bot/main.lua".into(),
        text: text.into(),
    };
    let generation = load(&source, setup).unwrap();
    generation.run(&message("x"), false, Place::free()).await.unwrap();
    let texts: Vec<_> = world.lines.take().into_iter().map(|line| line.text).collect();
    assert_eq!(
        texts,
        [
            "not_permitted\tplugin.toml does not declare the action 'reply'",
            "not_permitted\tplugin.toml does not declare the endpoint 'crm'"
        ]
    );
}

#[tokio::test(flavor = "current_thread")]
async fn the_calendar_knows_zones() {
    assert_eq!(
        lines("local t = wharf.time.now('Europe/Berlin') print(t.year, t.month, t.day, t.hour, t.minute, t.weekday, t.zone, t.ms)")
            .await,
        [format!("2026\t1\t5\t9\t0\t1\tEurope/Berlin\t{NOW}")]
    );
    assert_eq!(
        lines("print(wharf.time.now().hour, pcall(wharf.time.now, 'Mars'))")
            .await
            .len(),
        1
    );
}

#[tokio::test(flavor = "current_thread")]
async fn settings_are_a_table_that_cannot_be_changed() {
    assert_eq!(
        lines("print(wharf.config.zone, #wharf.config.list, pcall(function() wharf.config.zone = 1 end))")
            .await
            .len(),
        1
    );
    let world = Rc::new(Small::default());
    assert!(ran("wharf.config.zone = 'x'", &world).await.is_err());
}
