local CHAT = "491700000002@c.us"

-- The clock of the tests shows UTC, the shop is in Tokyo, nine hours ahead: open from 0 to 9 o'clock UTC.
local function shop(now, more)
  local config = {
    keywords = { { word = "price", text = "From 40 EUR." } },
    greeting = "Thanks for writing!",
    closed = "We are closed.",
    zone = "Asia/Tokyo",
  }
  for key, value in more or {} do config[key] = value end
  return wharf.test("main.lua", { config = config, now = now, zone = "UTC", accounts = { "sales", "office" } })
end

wharf.case("a keyword is answered every time, in capitals too", function()
  local bot = shop("2026-01-05T03:00")
  for _ = 1, 2 do
    bot:message { chat = CHAT, body = "PRICE?" }
    bot:expect_sent { chat = CHAT, text = "From 40 EUR." }
  end
end)

wharf.case("the first message of the day is greeted, the second is not, tomorrow's is", function()
  local bot = shop("2026-01-05T03:00")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "Thanks for writing!" }
  bot:message { chat = CHAT, body = "anybody there?" }
  bot:expect_nothing()
  bot:advance("24h")
  bot:message { chat = CHAT, body = "hello again" }
  bot:expect_sent { chat = CHAT, text = "Thanks for writing!" }
end)

wharf.case("at night and on Sundays it says that the shop is closed", function()
  local bot = shop("2026-01-05T09:30")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "We are closed." }
  bot = shop("2026-01-04T03:00")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "We are closed." }
end)

wharf.case("a greeting that could not be sent is sent at the next try, and once", function()
  local bot = shop("2026-01-05T03:00")
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
  local bot = shop("2026-01-05T03:00")
  bot:message { chat = "120363000000000000@g.us", body = "price" }
  bot:expect_nothing()
end)

wharf.case("groups are answered where it is wanted", function()
  local bot = shop("2026-01-05T03:00", { groups = true })
  bot:message { chat = "120363000000000000@g.us", body = "price" }
  bot:expect_sent { chat = "120363000000000000@g.us", text = "From 40 EUR." }
end)

wharf.case("accounts that are not named do not answer", function()
  local bot = shop("2026-01-05T03:00", { accounts = { "sales" } })
  bot:message { account = "office", chat = CHAT, body = "price" }
  bot:expect_nothing()
  bot:message { account = "sales", chat = CHAT, body = "price" }
  bot:expect_sent { account = "sales", chat = CHAT, text = "From 40 EUR." }
end)

wharf.case("without a text nothing is said", function()
  local bot = shop("2026-01-05T03:00", { greeting = "" })
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("settings with a mistake are refused when they are loaded", function()
  local function refused(more, part)
    local fine, why = pcall(shop, "2026-01-05T03:00", more)
    assert(not fine and tostring(why):find(part, 1, true), tostring(why))
  end
  refused({ keywords = { { word = "price" } } }, "keyword 1 needs a word and a text")
  refused({ hours = { 18, 9 } }, "hours are two numbers")
  refused({ days = { 0 } }, "days are numbers")
  refused({ zone = "Europe/Berlim" }, "Europe/Berlim")
end)
