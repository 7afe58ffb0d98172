local CHAT, TEAM = "491700000002@c.us", "120363000000000000@g.us"

local function start()
  return wharf.test("escalation.lua", { config = { team = TEAM } })
end

wharf.case("who asks for a human gets one, and the bots are silent for four hours", function()
  local bot = start()
  bot:message { chat = CHAT, body = "Human please", name = "Anna" }
  bot:expect_sent { chat = CHAT, text = "A colleague will write to you here." }
  bot:expect_sent { chat = TEAM, text = "Anna asks for a person: " .. CHAT }
  bot:expect_stopped()
  bot:advance("3h")
  bot:message { chat = CHAT, body = "price?" }
  bot:expect_stopped()
  bot:expect_nothing()
  bot:advance("61m")
  bot:message { chat = CHAT, body = "human" }
  bot:expect_sent { chat = CHAT }
  bot:expect_sent { chat = TEAM }
  bot:expect_stopped()
end)

wharf.case("others are not kept from the bots", function()
  local bot = start()
  bot:message { chat = CHAT, body = "humanity" }
  bot:expect_nothing()
end)
