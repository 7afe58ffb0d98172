local CHAT, OTHER, GROUP = "491700000002@c.us", "491700000009@c.us", "120363000000000000@g.us"

local function router(...)
  return wharf.test("main.lua", { config = { rules = { ... } }, accounts = { "sales", "office" } })
end

wharf.case("a matching message goes to another chat, by another account, and says who wrote it", function()
  local bot = router({ account = "sales", match = "price", via = "office", to = GROUP, prefix = true })
  bot:message { account = "sales", chat = CHAT, body = "price?", sender = { name = "Anna" } }
  bot:expect_sent { account = "office", chat = GROUP, text = "Anna: price?" }
  bot:message { account = "sales", chat = CHAT, body = "hello" }
  bot:message { account = "office", chat = CHAT, body = "price?" }
  bot:expect_nothing()
end)

wharf.case("without via the account that got it sends it on", function()
  local bot = router({ chat = CHAT, to = GROUP })
  bot:message { account = "office", chat = CHAT, body = "hello" }
  bot:expect_sent { account = "office", chat = GROUP, text = "hello" }
  bot:message { account = "office", chat = OTHER, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("a rule with stop keeps the message from the others", function()
  local bot = router({ from = CHAT, to = "491700000003", stop = true })
  bot:message { chat = CHAT, body = "secret" }
  bot:expect_sent { chat = "491700000003", text = "secret" }
  bot:expect_stopped()
  bot:message { chat = OTHER, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("of a medium the caption is sent on, and without one its type", function()
  local bot = router({ to = GROUP, stop = true })
  bot:message { chat = CHAT, type = "image", caption = "the broken leg" }
  bot:expect_sent { chat = GROUP, text = "the broken leg" }
  bot:expect_stopped()
  bot:message { chat = CHAT, type = "image" }
  bot:expect_sent { chat = GROUP, text = "[image]" }
  bot:expect_stopped()
end)

wharf.case("a message is not sent back to where it came from, by whatever name", function()
  for _, to in { CHAT, "491700000002", "+491700000002" } do
    local bot = router({ to = to })
    bot:message { account = "sales", chat = CHAT, body = "hello" }
    bot:expect_nothing()
  end
end)

wharf.case("a rule with a mistake is refused when it is loaded", function()
  local fine, why = pcall(router, { match = "price" })
  assert(not fine and tostring(why):find("rule 1 does not say `to` whom", 1, true), tostring(why))
  fine, why = pcall(router, { to = GROUP, acount = "sales" })
  assert(not fine and tostring(why):find("rule 1 has no 'acount'", 1, true), tostring(why))
end)
