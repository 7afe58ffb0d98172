local CHAT = "491700000002@c.us"

wharf.case("two days after an order it is asked whether all went well", function()
  local bot = wharf.test("follow_up.lua")
  bot:message { chat = CHAT, body = "Order: two chairs" }
  bot:expect_sent { chat = CHAT, text = "Thank you for your order!" }
  bot:advance("47h")
  bot:expect_nothing()
  bot:advance("2h")
  bot:expect_sent { chat = CHAT, text = "Did everything arrive as you wished?" }
  bot:advance("10d")
  bot:expect_nothing()
end)

wharf.case("who has written since is not asked", function()
  local bot = wharf.test("follow_up.lua")
  bot:message { chat = CHAT, body = "order" }
  bot:expect_sent {}
  bot:advance("1d")
  bot:message { chat = CHAT, body = "They have arrived, thanks" }
  bot:advance("2d")
  bot:expect_nothing()
end)
