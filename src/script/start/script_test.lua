-- Run by `wharf test`: in an invented world, in which time passes only by bot:advance.

local CHAT = "491700000002@c.us"

wharf.case("who writes is greeted once a day", function()
  local bot = wharf.test("NAME.lua", { config = { greeting = "Welcome!" } })
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_sent { chat = CHAT, text = "Welcome!" }
  bot:message { chat = CHAT, body = "anybody there?" }
  bot:expect_nothing()
  bot:advance("25h")
  bot:message { chat = CHAT, body = "hello again" }
  bot:expect_sent { chat = CHAT }
end)

wharf.case("a greeting that could not be sent is tried again", function()
  local bot = wharf.test("NAME.lua")
  bot:fail("send", "not_connected")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_error("not_connected")
  bot:advance("1s")
  bot:expect_sent { chat = CHAT }
end)
