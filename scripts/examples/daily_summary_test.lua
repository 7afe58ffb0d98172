local TEAM = "120363000000000000@g.us"

wharf.case("at six in the evening of a working day the team is told", function()
  -- A Monday, noon in Berlin.
  local bot = wharf.test("daily_summary.lua", {
    config = { account = "office", team = TEAM, zone = "Europe/Berlin" },
    accounts = { "office" }, now = "2026-01-05T11:00", zone = "UTC",
  })
  bot:message { chat = "491700000002@c.us", body = "hello" }
  bot:message { chat = "491700000002@c.us", body = "anybody?" }
  bot:message { chat = "491700000003@c.us", body = "hi" }
  bot:advance("5h")
  bot:expect_nothing()
  bot:advance("2h")
  bot:expect_sent { account = "office", chat = TEAM, text = "2026-01-05: 3 messages from 2 chats" }
  bot:advance("24h")
  bot:expect_sent { text = "2026-01-06: 0 messages from 0 chats" }
end)

wharf.case("at the weekend nobody is told", function()
  local bot = wharf.test("daily_summary.lua", {
    config = { account = "office", team = TEAM }, accounts = { "office" }, now = "2026-01-10T12:00", zone = "UTC",
  })
  bot:advance("24h")
  bot:expect_nothing()
end)
