local CHAT = "491700000002@c.us"

-- The clock of the test shows UTC; Berlin is an hour ahead in January.
local function office(now)
  return wharf.test("office_hours.lua", { config = { zone = "Europe/Berlin" }, now = now, zone = "UTC" })
end

wharf.case("in office hours the message goes on to the others", function()
  local bot = office("2026-01-05T08:00")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("before nine it says that it is closed, once an hour, and stops the message each time", function()
  local bot = office("2026-01-05T07:59")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "We are closed. You reach us Monday to Friday, 9 to 18." }
  bot:expect_stopped()
  bot = office("2026-01-04T12:00")
  for hour = 1, 2 do
    bot:message { chat = CHAT, body = "hello" }
    bot:expect_sent { chat = CHAT }
    bot:expect_stopped()
    bot:message { chat = CHAT, body = "anybody?" }
    bot:expect_stopped()
    bot:expect_nothing()
    bot:advance("61m")
  end
end)
