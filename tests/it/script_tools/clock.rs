//! The clock of a test: its zone, and what ends as it goes on.

use super::*;

#[test]
fn the_clock_of_a_test_is_in_the_zone_of_its_options_and_not_of_the_scripts_settings() {
    let folder = script(
        "wharf.on('message', function(msg) msg:reply(wharf.time.now('UTC').hour .. ' ' .. wharf.time.now().hour) end)",
    );
    let test = r#"
        local bot = wharf.test("bot.lua", { config = { zone = "Asia/Tokyo" }, now = "2026-01-05T07:30" })
        bot:message { chat = "1@c.us", body = "a" }
        bot:expect_sent { text = "7 7" }
        bot = wharf.test("bot.lua", { zone = "Europe/Berlin", now = "2026-01-05T07:30" })
        bot:message { chat = "1@c.us", body = "a" }
        bot:expect_sent { text = "6 7" }
    "#;
    std::fs::write(folder.path().join("scripts/bot_test.lua"), test).unwrap();
    let tested = wharf(folder.path(), &["test", "scripts/bot_test.lua"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested));
}

#[test]
fn a_count_in_a_test_ends_when_the_entry_would_have_ended_before() {
    let folder = script(
        "wharf.on('message', function(msg) wharf.kv.incr('n', 1, msg.body == 'first' and { ttl = '1h' } or nil) end)",
    );
    let test = r#"
        local bot = wharf.test("bot.lua")
        bot:message { chat = "1@c.us", body = "first" }
        bot:message { chat = "1@c.us", body = "second" }
        bot:expect_kv("n", 2)
        bot:advance("2h")
        bot:expect_kv("n", nil)
    "#;
    std::fs::write(folder.path().join("scripts/bot_test.lua"), test).unwrap();
    let tested = wharf(folder.path(), &["test", "scripts/bot_test.lua"]);
    assert_eq!(tested.status.code(), Some(0), "{}", text(&tested));
}
