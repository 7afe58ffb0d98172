-- Run by `wharf test`: in an invented world, under the permissions of plugin.toml.

wharf.case("the word is answered, others are not", function()
  local bot = wharf.test("main.lua", { config = { word = "hello", answer = "Hello!" } })
  bot:message { body = "Hello there" }
  bot:expect_sent { text = "Hello!" }
  bot:message { body = "something else" }
  bot:expect_nothing()
end)
