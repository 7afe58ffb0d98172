//! What the functions of the API do for a run.

use super::*;
use crate::script::run::Change;

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
            expires_at: None,
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
    let declared = crate::script::permissions::Declared {
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
        libraries: Libraries::new(),
    };
    let generation = load(&source, setup).unwrap();
    generation.run(&message("x"), false, Place::free()).await.unwrap();
    let texts: Vec<_> = world.lines.take().into_iter().map(|line| line.text).collect();
    assert_eq!(
        texts,
        [
            "not_permitted\tplugin.toml does not declare the action 'reply'; add to plugin.toml, [permissions]: actions = [\"reply\"]",
            "not_permitted\tplugin.toml does not declare the endpoint 'crm'; \
             add to plugin.toml, [permissions]: endpoints = [\"crm\"]"
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

#[tokio::test(flavor = "current_thread")]
async fn counting_up_keeps_the_time_at_which_an_entry_ends() {
    let world = Rc::new(Small::default());
    let effects = ran(
        "local kv = wharf.kv
        kv.set('set', 1, { ttl = '1h' }) kv.incr('set')
        kv.incr('twice', 1, { ttl = '1h' }) kv.incr('twice')
        kv.set('later', 1, { ttl = '1h' }) kv.incr('later', 1, { ttl = '2h' })
        kv.set('anew', 1, { ttl = '1h' }) kv.delete('anew') kv.incr('anew')",
        &world,
    )
    .await
    .unwrap();
    let ends = |key: &str| effects.writes.iter().find(|write| write.key == key).unwrap().expires_at;
    let hour = 3_600_000;
    assert_eq!(ends("set"), Some(NOW + hour));
    assert_eq!(ends("twice"), Some(NOW + hour));
    assert_eq!(ends("later"), Some(NOW + 2 * hour));
    assert_eq!(ends("anew"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_listed_was_read() {
    let world = Rc::new(Small::default());
    let kept = |version| Kept {
        value: json!(1),
        version,
        expires_at: None,
    };
    *world.kept.borrow_mut() = vec![("a/1".into(), kept(7)), ("b".into(), kept(8))];
    let effects = ran(
        "wharf.kv.list('a/') for _, key in { 'a/1', 'a/2', 'b' } do wharf.kv.set(key, 2) end",
        &world,
    )
    .await
    .unwrap();
    let relied = |key: &str| effects.writes.iter().find(|write| write.key == key).unwrap().expect;
    assert_eq!(relied("a/1"), Some(Some(7)));
    assert_eq!(relied("a/2"), Some(None), "it was not in the list");
    assert_eq!(relied("b"), None);
}

#[tokio::test(flavor = "current_thread")]
async fn a_clone_of_a_setting_can_be_changed_and_is_the_same_json() {
    assert_eq!(
        lines(
            "local list = table.clone(wharf.config.list) table.insert(list, 3) print(wharf.json.encode(list), #wharf.config.list)
            print(wharf.json.encode(table.clone(wharf.json.decode('[]'))), wharf.json.encode(table.clone(wharf.json.decode('{\"a\":null}'))))
            local own = setmetatable({ 1 }, { __index = { x = 2 } }) print(table.clone(own)[1], table.clone(own).x)"
        )
        .await,
        ["[1,2,3]\t2", "[]\t{\"a\":null}", "1\t2"]
    );
}
