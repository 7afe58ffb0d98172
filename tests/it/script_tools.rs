//! `wharf check` and `wharf test`, as a user runs them.

mod clock;

use std::path::Path;
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn wharf(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wharf"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

fn script(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    std::fs::write(folder.path().join("scripts/bot.lua"), text).unwrap();
    folder
}

fn mistake(source: &str) -> String {
    let folder = script(source);
    let checked = wharf(folder.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(1), "{}", text(&checked));
    text(&checked)
}

#[test]
fn what_is_shipped_passes_its_check_and_its_tests() {
    let root = Path::new(ROOT);
    let checked = wharf(root, &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    for name in [
        "scripts/price.lua",
        "plugins/webhook/main.lua",
        "plugins/autoreply/main.lua",
        "plugins/router/main.lua",
    ] {
        assert!(
            text(&checked).contains(&format!("ok       {name}")),
            "{}",
            text(&checked)
        );
    }
    let tested = wharf(root, &["test"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested));
    assert!(text(&tested).contains(" passed, 0 failed"));
}

#[test]
fn a_check_names_file_line_and_column_and_what_was_probably_meant() {
    let syntax = mistake("wharf.on(\"message\", function(msg)\n  msg:reply(\nend)");
    assert!(syntax.contains("  scripts/bot.lua:3:1: "), "{syntax}");
    let name = mistake("\nwharf.logg.info('x')");
    assert!(
        name.contains("  scripts/bot.lua:2:7: wharf has no 'logg'; did you mean 'log'?"),
        "{name}"
    );
    let filter = mistake("wharf.on('message', { is_gruop = true }, function() end)");
    assert!(
        filter.contains("scripts/bot.lua:1:23: ") && filter.contains("did you mean 'is_group'?"),
        "{filter}"
    );
    assert!(mistake("wharf.on('mesage', function() end)").contains("did you mean 'message'?"));
    assert!(mistake("local x = 1").contains("registers no handler"));
    assert!(mistake("while true do end").contains("scripts/bot.lua:1:1: "));
}

#[test]
fn a_check_finds_several_mistakes_of_a_file_without_running_its_handlers() {
    let said = mistake(
        "wharf.on('message', function(msg)
  msg:repply(msg.bdy)
  wharf.later('2x', 'ask')
  mgs:reply(os.getenv('HOME'))
end)",
    );
    for line in [
        "2:7: a `message` event has no method 'repply'; did you mean 'reply'?",
        "2:18: a `message` event has no field 'bdy'; did you mean 'body'?",
        "3:15: wharf.later: '2x' is not a time",
        "4:3: nothing sets 'mgs'; did you mean 'msg'?",
        "4:16: there is no 'os.getenv' here; put settings into [script.NAME]",
    ] {
        assert!(said.contains(&format!("\n  scripts/bot.lua:{line}")), "{line}\n{said}");
    }
    assert!(said.contains("1 checked, 1 with a mistake"), "{said}");
    let lacks = mistake("local a <const> = 1\nwharf.log.info(a & 1)");
    assert!(
        lacks.contains("bot.lua:1:10: Luau has no <const>; leave it out")
            && lacks.contains("bot.lua:2:18: Luau has no operator &; write bit32.band(a, b)"),
        "{lacks}"
    );
    assert_eq!(lacks.matches("scripts/bot.lua:").count(), 2, "{lacks}");
}

fn plugin(manifest: &str, code: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugins/bot");
    std::fs::create_dir_all(&plugin).unwrap();
    std::fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    std::fs::write(plugin.join("main.lua"), code).unwrap();
    folder
}

#[test]
fn a_check_holds_a_plugin_against_its_manifest_and_a_note_is_no_finding() {
    let manifest = |permissions: &str| {
        format!(
            "name = \"bot\"\nversion = \"0.1.0\"\napi = 1\n\n[permissions]\nevents = [\"message\"]\naccounts = [\"*\"]\n{permissions}\n"
        )
    };
    let code = "wharf.on('message', function(msg)\n  msg:reply(wharf.secret('llm'))\nend)";
    let missing = plugin(&manifest("secrets = [\"llm\"]"), code);
    let checked = wharf(missing.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(1));
    let line = "plugins/bot/main.lua:2:7: message:reply is not declared; in [permissions] of plugin.toml write actions = [\"reply\"]";
    assert!(text(&checked).contains(line), "{}", text(&checked));
    let unused = plugin(&manifest("actions = [\"reply\"]\nsecrets = [\"llm\", \"old\"]"), code);
    let checked = wharf(unused.path(), &["check"]);
    assert_eq!(checked.status.code(), Some(0), "{}", text(&checked));
    let note = "note: plugins/bot/plugin.toml:9:19: secrets: 'old' is declared and never used";
    assert!(text(&checked).contains(note), "{}", text(&checked));
    for (wrong, at) in [
        (
            "actions = [\"repli\"]",
            "plugins/bot/plugin.toml:8:13: no action 'repli'; did you mean 'reply'?",
        ),
        (
            "actoins = [\"reply\"]",
            "plugins/bot/plugin.toml:8:1: unknown field `actoins`",
        ),
        ("actions = \"reply", "plugins/bot/plugin.toml:8:"),
    ] {
        let folder = plugin(&manifest(wrong), code);
        let checked = wharf(folder.path(), &["check"]);
        assert_eq!(checked.status.code(), Some(1));
        assert!(text(&checked).contains(at), "{}", text(&checked));
    }
}

#[test]
fn what_is_begun_anew_passes_its_check_and_its_tests_and_overwrites_nothing() {
    let home = tempfile::tempdir().unwrap();
    for (what, name) in [("script", "greet"), ("plugin", "ping")] {
        let made = wharf(home.path(), &["new", what, name]);
        assert_eq!(made.status.code(), Some(0), "{}", text(&made));
        let told = text(&made).contains("wharf plugin add --own");
        assert_eq!(told, what == "plugin", "{}", text(&made));
        let again = wharf(home.path(), &["new", what, name]);
        assert_eq!(again.status.code(), Some(1));
        assert!(text(&again).contains("is there already"), "{}", text(&again));
    }
    for file in [
        "scripts/greet.lua",
        "scripts/greet_test.lua",
        "plugins/ping/plugin.toml",
        "plugins/ping/main.lua",
        "plugins/ping/main_test.lua",
    ] {
        let text = std::fs::read_to_string(home.path().join(file)).unwrap();
        assert!(!text.contains("NAME"), "{file}: {text}");
    }
    let checked = wharf(home.path(), &["check"]);
    let said = text(&checked);
    assert!(
        said.contains("2 checked, 0 with a mistake") && !said.contains("note:"),
        "{said}"
    );
    let tested = wharf(home.path(), &["test"]);
    assert!(text(&tested).contains("3 passed, 0 failed"), "{}", text(&tested));
    // A script and a plugin of one name would share their keys.
    let clash = wharf(home.path(), &["new", "plugin", "greet"]);
    assert!(text(&clash).contains("greet.lua is there already"), "{}", text(&clash));
    for name in ["a/b", "", "x_test", "ü"] {
        let refused = wharf(home.path(), &["new", "script", name]);
        assert_eq!(refused.status.code(), Some(1), "{name}");
        assert!(text(&refused).contains("is no name for a script"), "{}", text(&refused));
    }
    assert_eq!(std::fs::read_dir(home.path().join("scripts")).unwrap().count(), 2);
}

#[test]
fn a_check_of_a_path_that_is_not_there_is_a_finding() {
    let checked = wharf(Path::new(ROOT), &["check", "nowhere.lua"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        text(&checked).contains("nowhere.lua: there is no such file or folder"),
        "{}",
        text(&checked)
    );
}

#[test]
fn a_failing_expectation_fails_with_what_was_expected_and_what_happened() {
    let folder = script("wharf.on('message', function(msg) msg:reply('hello ' .. msg.body) end)");
    let test = r#"
        wharf.case("right", function()
          local bot = wharf.test("bot.lua")
          bot:message { chat = "1@c.us", body = "you" }
          bot:expect_sent { chat = "1@c.us", text = "hello you" }
          bot:expect_nothing()
        end)
        wharf.case("wrong", function()
          local bot = wharf.test("bot.lua")
          bot:message { chat = "1@c.us", body = "you" }
          bot:expect_sent { text = "bye" }
        end)
        wharf.case("failing", function()
          local bot = wharf.test("bot.lua")
          bot:message { chat = "1@c.us" }
        end)
    "#;
    std::fs::write(folder.path().join("scripts/bot_test.lua"), test).unwrap();
    let tested = wharf(folder.path(), &["test"]);
    assert_eq!(tested.status.code(), Some(1));
    let said = text(&tested);
    assert!(
        said.contains("ok      right") && said.contains("1 passed, 2 failed"),
        "{said}"
    );
    for line in [
        "the message is not the expected one",
        "expected  actual",
        "  account            \"main\"",
        "> text     \"bye\"     \"hello you\"",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    assert!(said.contains("scripts/bot.lua:1: ") && said.contains("nil"), "{said}");
    assert!(said.contains("bot_test.lua:11"), "{said}");
}

/// Runs a test of a script, and answers what it printed.
fn tested(source: &str, test: &str, code: i32) -> String {
    let folder = script(source);
    std::fs::write(folder.path().join("scripts/bot_test.lua"), test).unwrap();
    let tested = wharf(folder.path(), &["test"]);
    assert_eq!(tested.status.code(), Some(code), "{}", text(&tested));
    text(&tested)
}

const GATE: &str = "
    wharf.gate('message', { is_group = false }, function(msg)
      if msg.body == 'stop' then return wharf.stop end
      if msg.body == 'fall' then error('on purpose') end
    end)
    wharf.on('message', function(msg) msg:reply('seen') end)";

#[test]
fn a_test_sees_whether_the_gates_let_an_event_pass() {
    let test = r#"
        local bot = wharf.test("bot.lua")
        bot:message { body = "hello" }
        bot:expect_passed()
        bot:expect_sent { text = "seen" }
        bot:message { body = "stop" }
        bot:expect_stopped()
        bot:expect_nothing()
        bot:message { body = "stop", chat = "1@g.us" }
        bot:expect_passed()
        bot:message { body = "fall" }
        bot:expect_error("on purpose")
        bot:expect_passed()
    "#;
    tested(GATE, test, 0);
    for (wrong, says) in [
        ("bot:message { body = 'hello' } bot:expect_stopped()", "but it passed"),
        (
            "bot:message { body = 'stop' } bot:expect_passed()",
            "but one stopped it",
        ),
        ("bot:message { body = 'fall' }", "gate failed"),
        ("bot:expect_passed()", "no event has happened yet"),
    ] {
        let said = tested(GATE, &format!("local bot = wharf.test('bot.lua') {wrong}"), 1);
        assert!(said.contains(says), "{said}");
    }
    let none = "wharf.on('message', function() end)";
    let test = "local bot = wharf.test('bot.lua') bot:message {} bot:expect_passed()";
    assert!(tested(none, test, 1).contains("the script has no gate"));
}

#[test]
fn sends_fail_once_or_so_many_times_or_until_further_notice() {
    let source = "wharf.on('message', function(msg)
      local fine, failure = pcall(function() msg:reply('hi') end)
      wharf.kv.set('last', fine and 'fine' or failure.kind)
    end)";
    let test = r#"
        local bot = wharf.test("bot.lua")
        local function last(kind)
          bot:message { body = "x" }
          bot:expect_kv("last", kind)
        end
        bot:fail("send", "timeout")
        last("timeout") last("fine")
        bot:fail("send", "refused", 2)
        last("refused") last("refused") last("fine")
        bot:fail("send", "not_connected", "always")
        last("not_connected") last("not_connected") last("not_connected")
        bot:fail("send", nil)
        last("fine")
    "#;
    tested(source, test, 0);
    let said = tested(source, "wharf.test('bot.lua'):fail('send', 'timeout', 'allways')", 1);
    assert!(said.contains("or \"always\""), "{said}");
}

#[test]
fn what_was_kept_and_posted_is_compared_field_by_field() {
    let source = "wharf.on('message', function(msg)
      wharf.kv.set('cart', { chairs = 2, names = { 'a', 'b' } })
      wharf.webhook.post('crm', msg:json())
    end)";
    let test = r#"
        wharf.case("kept", function()
          local bot = wharf.test("bot.lua", { endpoints = { "crm" } })
          bot:message { body = "hello" }
          bot:expect_kv("cart", { chairs = 2, names = { "a", "b" } })
          bot:expect_kv("cart", { chairs = 3, names = { "a", "c" } })
        end)
        wharf.case("posted", function()
          local bot = wharf.test("bot.lua", { endpoints = { "crm" } })
          bot:message { body = "hello" }
          bot:expect_webhook { endpoint = "crm", body = { event = "message", data = { body = "bye" } } }
        end)
    "#;
    let said = tested(source, test, 1);
    for line in [
        "> cart.chairs    3         2",
        "  cart.names[1]  \"a\"       \"a\"",
        "> cart.names[2]  \"c\"       \"b\"",
        "> body.data.body  \"bye\"      \"hello\"",
        "  body.event      \"message\"  \"message\"",
        "  not compared: body.data.ack, ",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
}

#[test]
fn a_failed_run_keeps_nothing_but_what_was_sent_and_is_tried_again_in_order() {
    let folder = script(
        "wharf.on('message', function(msg)
           wharf.kv.incr('seen')
           msg:reply('one ' .. msg.body)
           wharf.account('main'):send('2@c.us', 'two ' .. msg.body)
         end)",
    );
    let test = r#"
        local bot = wharf.test("bot.lua")
        bot:message { chat = "1@c.us", body = "a" }
        bot:expect_sent { text = "one a" }
        bot:expect_sent { text = "two a" }
        bot:fail("send", "timeout")
        bot:message { chat = "1@c.us", body = "b" }
        bot:expect_error("fail as timeout")
        bot:message { chat = "1@c.us", body = "c" }
        bot:expect_nothing()
        bot:expect_kv("seen", 1)
        bot:advance("1s")
        bot:expect_sent { text = "one b" }
        bot:expect_sent { text = "two b" }
        bot:expect_sent { text = "one c" }
        bot:expect_sent { text = "two c" }
        bot:expect_nothing()
        bot:expect_kv("seen", 3)
    "#;
    std::fs::write(folder.path().join("scripts/bot_test.lua"), test).unwrap();
    let tested = wharf(folder.path(), &["test", "scripts/bot_test.lua"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested));
}
