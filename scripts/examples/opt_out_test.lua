local ANNA, BEN = "491700000002@c.us", "491700000003@c.us"

wharf.case("after STOP nothing of the chat reaches the others until START", function()
  local bot = wharf.test("opt_out.lua")
  bot:message { chat = ANNA, body = "price?" }
  bot:expect_nothing()
  bot:message { chat = ANNA, body = "stop" }
  bot:expect_sent { chat = ANNA, text = "You get no more answers from us. Write START to get them again." }
  bot:expect_stopped()
  bot:message { chat = ANNA, body = "price?" }
  bot:expect_stopped()
  bot:expect_nothing()
  bot:message { chat = BEN, body = "price?" }
  bot:expect_nothing()
  bot:message { chat = ANNA, body = " Start " }
  bot:expect_sent { chat = ANNA, text = "Welcome back!" }
  bot:expect_stopped()
  bot:message { chat = ANNA, body = "price?" }
  bot:expect_nothing()
end)

wharf.case("STOP is said once, and START alone is a message as any other", function()
  local bot = wharf.test("opt_out.lua")
  bot:message { chat = ANNA, body = "STOP" }
  bot:expect_sent {}
  bot:expect_stopped()
  bot:message { chat = ANNA, body = "STOP" }
  bot:expect_stopped()
  bot:expect_nothing()
  bot:message { chat = BEN, body = "START" }
  bot:expect_nothing()
end)
