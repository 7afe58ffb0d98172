local CHAT = "491700000002@c.us"

local function shop(now)
  return wharf.test("main.lua", {
    config = {
      keywords = { { word = "price", text = "From 40 EUR." } },
      greeting = "Thanks for writing!",
      closed = "We are closed.",
      zone = "Europe/Berlin",
    },
    now = now,
  })
end

wharf.case("a keyword is answered every time, in capitals too", function()
  local bot = shop("2026-01-05T11:00")
  for _ = 1, 2 do
    bot:message { chat = CHAT, body = "PRICE?" }
    bot:expect_sent { chat = CHAT, text = "From 40 EUR." }
  end
end)

wharf.case("the first message of the day is greeted, the second is not, tomorrow's is", function()
  local bot = shop("2026-01-05T11:00")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "Thanks for writing!" }
  bot:message { chat = CHAT, body = "anybody there?" }
  bot:expect_nothing()
  bot:advance("24h")
  bot:message { chat = CHAT, body = "hello again" }
  bot:expect_sent { chat = CHAT, text = "Thanks for writing!" }
end)

wharf.case("at night and on Sundays it says that the shop is closed", function()
  local bot = shop("2026-01-05T18:30")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "We are closed." }
  bot = shop("2026-01-04T11:00")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "We are closed." }
end)

wharf.case("a greeting that could not be sent is sent at the next try, and once", function()
  local bot = shop("2026-01-05T11:00")
  bot:fail("send", "not_connected")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_error("not_connected")
  bot:expect_nothing()
  bot:advance("1s")
  bot:expect_sent { chat = CHAT, text = "Thanks for writing!" }
  bot:message { chat = CHAT, body = "hello?" }
  bot:expect_nothing()
end)

wharf.case("groups are left alone", function()
  local bot = shop("2026-01-05T11:00")
  bot:message { chat = "120363000000000000@g.us", body = "price" }
  bot:expect_nothing()
end)
