local CHAT = "491700000002@c.us"

wharf.case("a command picks its answer", function()
  local bot = wharf.test("commands.lua")
  bot:message { chat = CHAT, body = "!hours" }
  bot:expect_sent { chat = CHAT, text = "Monday to Friday, 9 to 18." }
  bot:message { chat = CHAT, body = "!id now" }
  bot:expect_sent { chat = CHAT, text = "This chat is " .. CHAT }
end)

wharf.case("an unknown command gets the help", function()
  local bot = wharf.test("commands.lua")
  bot:message { chat = CHAT, body = "!what" }
  bot:expect_sent { chat = CHAT, text = "Try !hours or !id." }
end)

wharf.case("a message without a command is left alone", function()
  local bot = wharf.test("commands.lua")
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)
