local ANNA, BEN = "491700000002@c.us", "491700000003@c.us"

wharf.case("a menu leads to a menu below it and to an answer", function()
  local bot = wharf.test("menu.lua")
  bot:message { chat = ANNA, body = "Menu" }
  bot:expect_sent { text = "How can we help?\n1 Prices\n2 Opening hours\n3 Where to find us" }
  bot:message { chat = ANNA, body = "1" }
  bot:expect_sent { text = "Prices of what?\n1 Chairs\n2 Tables" }
  bot:message { chat = ANNA, body = " 2 " }
  bot:expect_sent { text = "From 90 EUR." }
end)

wharf.case("each chat stands where it is", function()
  local bot = wharf.test("menu.lua")
  bot:message { chat = ANNA, body = "menu" }
  bot:expect_sent { chat = ANNA }
  bot:message { chat = BEN, body = "1" }
  bot:expect_nothing()
  bot:message { chat = ANNA, body = "2" }
  bot:expect_sent { chat = ANNA, text = "Monday to Friday, 9 to 18." }
  bot:message { chat = ANNA, body = "2" }
  bot:expect_nothing()
end)

wharf.case("what is no choice is answered with what to do, and after half an hour it is forgotten", function()
  local bot = wharf.test("menu.lua")
  bot:message { chat = ANNA, body = "menu" }
  bot:expect_sent {}
  bot:message { chat = ANNA, body = "9" }
  bot:expect_sent { text = "Please write a number, or \"menu\" to begin anew." }
  bot:advance("31m")
  bot:message { chat = ANNA, body = "1" }
  bot:expect_nothing()
end)
