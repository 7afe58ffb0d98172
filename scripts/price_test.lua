-- Run by `wharf test`.

wharf.case("a question for the price is answered, in capitals too", function()
  local bot = wharf.test("price.lua")
  bot:message { chat = "491700000002@c.us", body = "Price, please?" }
  bot:expect_sent { chat = "491700000002@c.us", text = "Chairs from 40 EUR, tables from 90 EUR." }
end)

wharf.case("other messages are left alone", function()
  local bot = wharf.test("price.lua")
  bot:message { chat = "491700000002@c.us", body = "Good morning" }
  bot:expect_nothing()
end)
