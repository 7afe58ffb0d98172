local CHAT, GROUP = "491700000002@c.us", "120363000000000000@g.us"

wharf.case("a matching message goes to another chat, by another account, and says who wrote it", function()
  local bot = wharf.test("main.lua", {
    config = { rules = { { account = "sales", match = "price", via = "office", to = GROUP, prefix = true } } },
    accounts = { "sales", "office" },
  })
  bot:message { account = "sales", chat = CHAT, body = "price?", sender = { name = "Anna" } }
  bot:expect_sent { account = "office", chat = GROUP, text = "Anna: price?" }
  bot:message { account = "sales", chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("a rule with stop keeps the message from the others", function()
  local bot = wharf.test("main.lua", { config = { rules = { { from = CHAT, to = "491700000003", stop = true } } } })
  bot:message { chat = CHAT, body = "secret" }
  bot:expect_sent { chat = "491700000003", text = "secret" }
  bot:expect_stopped()
  bot:message { chat = "491700000009@c.us", body = "hello" }
  bot:expect_nothing()
end)

wharf.case("a message is not sent back to where it came from", function()
  local bot = wharf.test("main.lua", { config = { rules = { { to = CHAT } } } })
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)
