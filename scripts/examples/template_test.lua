local CHAT = "491700000002@c.us"

wharf.case("the name and the number of the sender stand in the answer", function()
  local bot = wharf.test("template.lua", { config = { texts = { order = "Hello {name}, we call {number}." } } })
  bot:message { chat = CHAT, body = "Order 12?", name = "Anna" }
  bot:expect_sent { chat = CHAT, text = "Hello Anna, we call 491700000002." }
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("who has no name is greeted all the same", function()
  local bot = wharf.test("template.lua")
  bot:message { chat = CHAT, body = "order" }
  bot:expect_sent { text = "Hello there, your order is on its way." }
end)

wharf.case("a template with a name that is not known fails and says which", function()
  local bot = wharf.test("template.lua", { config = { texts = { order = "Dear {nmae}" } } })
  bot:message { chat = CHAT, body = "order" }
  bot:expect_error("{nmae}")
end)
