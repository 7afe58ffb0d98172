//! What a check finds in sources, and what it leaves alone.

use std::time::Duration;

use super::*;
use crate::script::library::Library;

fn limits() -> Limits {
    Limits {
        memory: 64 << 20,
        cpu: Duration::from_millis(100),
        wall: Duration::from_secs(60),
        gate_wall: Duration::from_secs(2),
        load: Duration::from_millis(200),
        patience: Duration::from_secs(600),
    }
}

fn source(text: &str) -> Source {
    Source {
        name: "bot".to_owned(),
        file: "bot.lua".to_owned(),
        text: text.to_owned(),
        libraries: BTreeMap::new(),
    }
}

fn found(text: &str) -> Vec<String> {
    let (findings, _) = look(&source(text), &limits(), None);
    findings.iter().map(ToString::to_string).collect()
}

fn is_found(text: &str, wanted: &str) {
    assert_eq!(found(text), [wanted], "{text}");
}

fn is_fine(text: &str) {
    assert_eq!(found(text), Vec::<String>::new(), "{text}");
}

/// Whether Luau takes a source.
fn compiles(text: &str) -> bool {
    let lua = machine(&limits()).unwrap();
    vm::chunk(&lua, text, "x").into_function().is_ok()
}

#[test]
fn what_is_said_not_to_be_here_is_not_here() {
    let lua = machine(&limits()).unwrap();
    for name in lacks::names() {
        let kind: String = vm::chunk(&lua, &format!("return type({name})"), "x").eval().unwrap();
        assert_eq!(kind, "nil", "{name} is here");
    }
    let here = "string.format string.split string.gmatch table.move table.unpack table.concat math.floor math.clamp \
                utf8.char utf8.len bit32.band bit32.bor bit32.bxor bit32.bnot bit32.lshift bit32.rshift os.time os.date os.clock \
                unpack select rawget rawset rawequal pcall xpcall error assert next pairs ipairs tostring tonumber type \
                typeof setmetatable getmetatable print require";
    for name in here.split_whitespace() {
        is_fine(&format!("wharf.log.info({name})"));
        let kind: String = vm::chunk(&lua, &format!("return type({name})"), "x").eval().unwrap();
        assert_eq!(kind, "function", "{name} is not here");
    }
}

#[test]
fn each_missing_function_is_named_with_the_way_round_it() {
    for name in lacks::names() {
        let said = found(&format!("wharf.log.info({name})"));
        let [said] = said.as_slice() else {
            panic!("{name}: {said:?}")
        };
        assert!(
            said.starts_with("bot.lua:1:") && said.contains(&format!("'{name}' here; ")),
            "{said}"
        );
    }
    is_found(
        "wharf.on('message', function(msg)\n  msg:reply(os.getenv('HOME'))\nend)",
        "bot.lua:2:16: there is no 'os.getenv' here; put settings into [script.NAME] of config.toml (wharf.config), secrets \
         into [secrets] (wharf.secret)",
    );
}

#[test]
fn syntax_that_luau_lacks_is_named_with_the_way_round_it_and_all_of_it() {
    for (code, column, says) in [
        ("goto continue ::continue::", 1, "`continue`, which is a statement here"),
        ("local a <const> = 1", 10, "Luau has no <const>; leave it out"),
        ("local a <close> = nil", 10, "Luau has no <close>"),
        ("local a = 6 & 3", 13, "bit32.band(a, b)"),
        ("local a = 6 | 3", 13, "bit32.bor(a, b)"),
        ("local a = 6 ~ 3", 13, "bit32.bxor(a, b)"),
        ("local a = ~3", 11, "bit32.bnot(a)"),
        ("local a = 6 << 3", 13, "bit32.lshift(a, n)"),
        ("local a = 6 >> 3", 13, "bit32.rshift(a, n)"),
    ] {
        assert!(!compiles(code), "Luau takes {code}");
        let said = found(code);
        let first = said.first().unwrap_or_else(|| panic!("nothing is said of {code}"));
        assert!(
            first.starts_with(&format!("bot.lua:1:{column}: ")) && first.contains(says),
            "{first}"
        );
    }
    for code in [
        "local a = 7 // 2",
        "local a = 7 % 2 ^ 3",
        "local a = '\\x41\\u{48}\\z  b'",
        "local a = 0b101 + 1_000",
        "for i = 1, 3 do if i == 2 then continue end end",
        "local a = 1 a += 2 a ..= 'x'",
        "local a = `x {1 + 1}`",
        "local a: number = if true then 1 else 2",
        "type T = { a: string } local function f(t: T): string return t.a end wharf.log.info(f { a = 'x' })",
    ] {
        assert!(compiles(code), "Luau does not take {code}");
        is_fine(code);
    }
    let two = found("local a <const> = 1\nwharf.log.info(a & 1)\n::done::");
    let lines: Vec<&str> = two.iter().map(|said| said.split(": ").next().unwrap()).collect();
    assert_eq!(lines, ["bot.lua:1:10", "bot.lua:2:18", "bot.lua:3:1"]);
}

#[test]
fn names_that_are_not_there_are_found_in_handlers_that_never_run() {
    let inside = |code: &str| format!("wharf.on('message', function(msg)\n  {code}\nend)");
    for (code, says) in [
        ("wharf.logg.info('x')", "2:9: wharf has no 'logg'; did you mean 'log'?"),
        (
            "wharf.kv.gett('x')",
            "2:12: wharf.kv has no 'gett'; did you mean 'get'?",
        ),
        ("wharf.kv:get('x')", "2:12: call it with a dot: wharf.kv.get(…)"),
        ("wharf.kv = nil", "2:9: wharf is read-only: 'kv' cannot be set"),
        (
            "local kv = wharf.kv kv.sett('x', 1)",
            "2:26: wharf.kv has no 'sett'; did you mean 'set'?",
        ),
        (
            "msg:repply('x')",
            "2:7: a `message` event has no method 'repply'; did you mean 'reply'?",
        ),
        (
            "msg.reply('x')",
            "2:7: 'reply' is a method: call it with a colon, as in :reply(…)",
        ),
        (
            "msg:reply(msg.bdy)",
            "2:17: a `message` event has no field 'bdy'; did you mean 'body'?",
        ),
        ("msg.body = 'x'", "2:7: an event is read-only: 'body' cannot be set"),
        ("msg:body()", "2:7: 'body' is a field: write .body"),
        (
            "wharf.account('office'):sent('x', 'y')",
            "2:27: an account has no 'sent'; did you mean 'send'?",
        ),
        ("mgs:reply('x')", "2:3: nothing sets 'mgs'; did you mean 'msg'?"),
        (
            "msg:reply(strin.upper('x'))",
            "2:13: nothing sets 'strin'; did you mean 'string'?",
        ),
        (
            "string.fromat('x')",
            "2:10: there is no 'string.fromat'; did you mean 'string.format'?",
        ),
    ] {
        is_found(&inside(code), &format!("bot.lua:{says}"));
    }
    let sender = found(&inside("msg:reply(msg.sender.nmae)"));
    assert!(
        sender[0].contains("'sender' of a message has no 'nmae'; did you mean 'name'?"),
        "{sender:?}"
    );
    let answer = found(&inside("local a = wharf.http.get('https://a.example') return a.stauts"));
    assert!(
        answer[0].contains("what wharf.http.get answers has no 'stauts'; did you mean 'status'?"),
        "{answer:?}"
    );
    let named = "local function handle(event)\n  event:reply(event.bdy)\nend\nwharf.on('message', handle)";
    assert!(found(named)[0].starts_with("bot.lua:2:21: "), "{:?}", found(named));
}

#[test]
fn what_is_right_or_not_certain_is_no_finding() {
    for code in [
        "wharf.on('message', function(msg) msg:reply(msg.sender.name or msg.body or msg.event_id .. tostring(msg.is_group)) end)",
        "wharf.on('job.x', function(job) wharf.log.info(job.anything) end)",
        "wharf.on('message', function(msg) local reply = msg.reply reply(msg, 'x') msg.reply(msg, 'x') end)",
        "local function any(x) return x.whatever end wharf.on('message', any) any({ whatever = 1 })",
        "wharf.on('message', function(msg) msg = { bdy = 1 } return msg.bdy end)",
        "wharf.on('account.ready', function(event) wharf.log.info(event.phone, event:json()) end)",
        "counter = 0 wharf.on('message', function() counter += 1 end)",
        "function helper() end wharf.on('message', function() helper() end)",
        "local t = {} function t.a() end function t:b() self.c = 1 return self end t.a() t:b()",
        "local w = wharf w.on('message', function(m) w.kv.set(m.chat, 1, { ttl = '2d' }) end)",
        "wharf.on('message', function(msg) local sent = msg:reply('x') sent.mine = 1 return sent.mine end)",
        "local ok, err = pcall(function() end) wharf.log.info(tostring(ok), { err = err })",
        "for k, v in pairs({}) do wharf.log.info(k .. v) end repeat local done = true until done",
        "wharf.on('message.any', function(m) if m.event == 'message' then m:reply('x') end end)",
    ] {
        is_fine(code);
    }
}

#[test]
fn literals_that_a_call_would_refuse_are_found() {
    let inside = |code: &str| format!("wharf.on('message', function(msg)\n  {code}\nend)");
    for (code, says) in [
        (
            "wharf.later('2x', 'follow_up')",
            "2:15: wharf.later: '2x' is not a time",
        ),
        ("wharf.sleep('soon')", "2:15: wharf.sleep: 'soon' is not a time"),
        ("wharf.after('1 fortnight', function() end)", "2:15: wharf.after: "),
        ("wharf.cron('0 25 * * *', function() end)", "2:14: wharf.cron: "),
        (
            "wharf.cron('0 9 31 2 *', function() end)",
            "2:14: wharf.cron: '0 9 31 2 *' names no time that will ever come",
        ),
        (
            "wharf.cron('0 9 * * *', function() end, { zone = 'Europe/Berlim' })",
            "2:45: wharf.cron: zone: ",
        ),
        (
            "wharf.cron('0 9 * * *', function() end, { zon = 'x' })",
            "2:45: wharf.cron: no option 'zon'; did you mean 'zone'?",
        ),
        (
            "wharf.time.now('Mars/North')",
            "2:18: wharf.time.now: there is no time zone 'Mars/North'",
        ),
        (
            "wharf.kv.set('a', 1, { tll = '2d' })",
            "2:26: wharf.kv.set: no option 'tll'; did you mean 'ttl'?",
        ),
        ("wharf.kv.set('a', 1, { ttl = '2y' })", "2:26: wharf.kv.set: ttl: "),
        (
            "msg:reply { txt = 'x' }",
            "2:15: message:reply: no option 'txt'; did you mean 'text'?",
        ),
        (
            "wharf.account('Sales')",
            "2:17: wharf.account: `Sales` is not an account id",
        ),
        (
            "wharf.on('message', function() end)",
            "2:9: wharf.on: handlers are registered while the file loads",
        ),
    ] {
        let said = found(&inside(code));
        assert!(
            said.len() == 1 && said[0].starts_with(&format!("bot.lua:{says}")),
            "{code}: {said:?}"
        );
    }
    let two = found("wharf.on('mesage', { is_gruop = true, max_age = '2x' }, function() end)");
    assert_eq!(two.len(), 3, "{two:?}");
    for (said, part) in two.iter().zip(["'message'?", "'is_group'?", "'2x'"]) {
        assert!(said.contains(part), "{said}");
    }
    for code in [
        "local wait = '2x' if msg.body == wait then wharf.later(msg.body, 'x') end",
        "wharf.kv.set('a', 1, { ttl = 60 })",
        "wharf.sleep(2)",
        "wharf.http.get('https://a.example', { headers = { a = 'b' }, timeout = '5s' })",
    ] {
        is_fine(&inside(code));
    }
    is_fine(
        "local g = true wharf.on('message', { is_group = g, chat = { 'a', 'b' }, max_age = 'any' }, function() end)",
    );
}

#[test]
fn a_library_is_looked_at_as_well_and_its_globals_are_known() {
    let mut source = source("local words = require('./lib/words')\nwharf.on('message', function() shared(words) end)");
    let library = |text: &str| Library {
        file: "lib/words.lua".to_owned(),
        text: text.to_owned(),
    };
    let text = "function shared() end\nreturn { at = wharf.tiem }";
    source.libraries.insert("lib/words".to_owned(), Ok(library(text)));
    let (findings, _) = look(&source, &limits(), None);
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["lib/words.lua:2:21: wharf has no 'tiem'; did you mean 'time'?"]);
}

#[test]
fn a_job_that_no_handler_takes_is_a_note() {
    let notes = |text: &str| look(&source(text), &limits(), None).1;
    let made = "wharf.on('message', function() wharf.later('1h', 'ask') end)";
    let said = notes(made);
    assert!(
        said.len() == 1 && said[0].message.contains("wharf.on(\"job.ask\", …)"),
        "{said:?}"
    );
    assert!(notes(&format!("{made} wharf.on('job.ask', function() end)")).is_empty());
    assert!(found(made).is_empty());
}

#[test]
fn what_a_plugin_uses_is_held_against_what_it_declares() {
    let declared = Declared {
        events: vec!["message".to_owned(), "account.*".to_owned()],
        accounts: vec!["*".to_owned()],
        endpoints: vec!["crm".to_owned()],
        http: vec!["api.example.com".to_owned()],
        ..Declared::default()
    };
    let text = "name = \"bot\"\n[permissions]\nevents = [\"message\", \"account.*\"]\nhttp = [\"api.example.com\"]\n";
    let look = |code: &str| {
        let (findings, notes) = look(&source(code), &limits(), Some((&declared, "plugin.toml", text)));
        let words = |all: Vec<Finding>| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        (words(findings), words(notes))
    };
    let (findings, notes) = look(
        "wharf.on('message', function(msg)
           msg:reply(wharf.secret('llm'))
           wharf.http.get('https://b.example/' .. msg.body)
           wharf.webhook.post('crm', {})
         end)",
    );
    assert_eq!(
        findings,
        [
            "bot.lua:2:16: message:reply is not declared; in [permissions] of plugin.toml write actions = [\"reply\"]",
            "bot.lua:2:28: wharf.secret is not declared; in [permissions] of plugin.toml write secrets = [\"llm\"]",
            "bot.lua:3:23: wharf.http.get is not declared; in [permissions] of plugin.toml write http = [\"api.example.com\", \
         \"b.example\"]",
        ]
    );
    assert_eq!(
        notes,
        [
            "plugin.toml:3:22: events: 'account.*' is declared and never used",
            "plugin.toml:4:9: http: 'api.example.com' is declared and never used",
        ]
    );
    let (findings, notes) = look(
        "wharf.on('message', function(msg) wharf.http.get(msg.body) wharf.webhook.post(msg.body, {}) end)
         wharf.on('account.ready', function() end)",
    );
    assert!(findings.is_empty() && notes.is_empty(), "{findings:?} {notes:?}");
    let (findings, _) = super::look(
        &source("wharf.on('message', function() end) wharf.on('config.changed', function() end)"),
        &limits(),
        Some((
            &Declared {
                events: vec!["*".to_owned()],
                ..Declared::default()
            },
            "plugin.toml",
            text,
        )),
    );
    let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let line =
        "bot.lua:1:7: wharf.on gets no event of any account; in [permissions] of plugin.toml write accounts = [\"*\"]";
    assert_eq!(said, [line]);
}
