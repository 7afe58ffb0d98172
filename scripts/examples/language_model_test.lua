local ASK = "POST https://api.llm.example/v1/chat/completions"
local ANNA, BEN = "491700000002@c.us", "491700000003@c.us"
local SORRY = "I cannot think right now. Please ask again in a few minutes."

local SYSTEM = { role = "system", content = "Be kind." }

local function start()
  return wharf.test("language_model.lua", { secrets = { llm = "x" }, config = { model = "large", system = "Be kind." } })
end

local function user(text) return { role = "user", content = text } end
local function model(text) return { role = "assistant", content = text } end

-- The model answers `said` to everything from now on.
local function says(bot, said)
  bot:http(ASK, { json = { choices = { { message = model(said) } } } })
end

wharf.case("the model answers and is told what was said before in that chat", function()
  local bot = start()
  says(bot, "42")
  bot:message { chat = ANNA, body = "6 x 7?" }
  bot:expect_http(ASK, { json = { model = "large", messages = { SYSTEM, user("6 x 7?") } } })
  bot:expect_sent { chat = ANNA, text = "42" }
  says(bot, "43")
  bot:message { chat = ANNA, body = "and one more?" }
  bot:expect_http(ASK, { json = { messages = { SYSTEM, user("6 x 7?"), model("42"), user("and one more?") } } })
  bot:expect_sent { chat = ANNA, text = "43" }
  bot:message { chat = BEN, body = "hello" }
  bot:expect_http(ASK, { json = { messages = { SYSTEM, user("hello") } } })
end)

wharf.case("reset makes it forget, and so does a long rest", function()
  local bot = start()
  says(bot, "hello Anna")
  bot:message { chat = ANNA, body = "I am Anna" }
  bot:expect_http(ASK, {})
  bot:expect_sent { text = "hello Anna" }
  bot:message { chat = ANNA, body = " Reset " }
  bot:expect_sent { text = "Forgotten. What is it about?" }
  bot:message { chat = ANNA, body = "who am I?" }
  bot:expect_http(ASK, { json = { messages = { SYSTEM, user("who am I?") } } })
  bot:advance("7h")
  bot:message { chat = ANNA, body = "still there?" }
  bot:expect_http(ASK, { json = { messages = { SYSTEM, user("still there?") } } })
end)

wharf.case("a service that fails is a polite answer and leaves the memory as it was", function()
  local bot = start()
  says(bot, "first")
  bot:message { chat = ANNA, body = "one" }
  bot:expect_http(ASK, {})
  bot:expect_sent { text = "first" }
  local failures = {
    { status = 500, json = { choices = { { message = model("half an answer") } } } },
    { status = 200, body = "<html>" },
    { status = 200, json = { choices = {} } },
  }
  for _, failure in failures do
    bot:http(ASK, failure)
    bot:message { chat = ANNA, body = "two" }
    bot:expect_http(ASK, {})
    bot:expect_sent { text = SORRY }
  end
  bot:expect_kv("talk/main/" .. ANNA, { user("one"), model("first") })
end)

wharf.case("a service that cannot be reached is a polite answer", function()
  local bot = start()
  bot:message { chat = ANNA, body = "one" }
  bot:expect_sent { text = SORRY }
  bot:expect_kv("talk/main/" .. ANNA, nil)
end)

wharf.case("of a long talk the newest ten questions are remembered, and no more bytes than fit", function()
  local bot = start()
  says(bot, "yes")
  for number = 1, 12 do bot:message { chat = ANNA, body = "question " .. number } end
  local kept = {}
  for number = 3, 12 do
    table.insert(kept, user("question " .. number))
    table.insert(kept, model("yes"))
  end
  bot:expect_kv("talk/main/" .. ANNA, kept)
  local long = ("x"):rep(15950)
  bot:message { chat = ANNA, body = long }
  local last = { user("question 10"), model("yes"), user("question 11"), model("yes"), user("question 12"), model("yes") }
  table.insert(last, user(long))
  table.insert(last, model("yes"))
  bot:expect_kv("talk/main/" .. ANNA, last)
  bot:message { chat = ANNA, body = ("x"):rep(20000) }
  for _ = 1, 14 do bot:expect_http(ASK, {}) end
  bot:message { chat = ANNA, body = "and now?" }
  bot:expect_http(ASK, { json = { messages = { SYSTEM, user("and now?") } } })
end)
