local CHAT = "491700000002@c.us"

wharf.case("a message goes to the endpoints whose routes take it", function()
  local bot = wharf.test("main.lua", {
    config = {
      routes = {
        { endpoint = "crm" },
        { endpoint = "sales", accounts = { "sales" } },
        { endpoint = "office", accounts = { "office" } },
      },
    },
    accounts = { "sales", "office" },
    endpoints = { "crm", "sales", "office" },
  })
  bot:message { account = "sales", chat = CHAT, body = "hello" }
  bot:expect_webhook { endpoint = "crm", body = { event = "message", account = "sales", data = { body = "hello" } } }
  bot:expect_webhook { endpoint = "sales" }
  bot:expect_nothing()
end)

wharf.case("an account's own webhook gets its messages, and is not asked for if there is none", function()
  local bot = wharf.test("main.lua", { accounts = { "sales", "office" }, endpoints = { "account:sales" } })
  bot:message { account = "sales", chat = CHAT, body = "hello" }
  bot:expect_webhook { endpoint = "account:sales", body = { data = { body = "hello" } } }
  bot:message { account = "office", chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("a message that is days old is sent on all the same", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm" } } }, endpoints = { "crm" }, now = "2026-01-05T12:00",
  })
  bot:message { chat = CHAT, body = "hello", age = "3d" }
  bot:expect_webhook { endpoint = "crm" }
end)

wharf.case("own messages come once to a route that takes both names", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", events = { "message", "message.any" } } } }, endpoints = { "crm" },
  })
  bot:message { chat = CHAT, body = "theirs" }
  bot:expect_webhook { endpoint = "crm" }
  bot:message { chat = CHAT, body = "ours", from_me = true }
  bot:expect_webhook { endpoint = "crm" }
  bot:expect_nothing()
end)

wharf.case("a star takes a family of events", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", events = { "account.*" } } } }, endpoints = { "crm" },
  })
  bot:event("account.ready", { phone = "491700000001" })
  bot:expect_webhook { endpoint = "crm", body = { event = "account.ready" } }
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_nothing()
end)

wharf.case("news of an endpoint does not go to that endpoint", function()
  local bot = wharf.test("main.lua", {
    config = {
      routes = {
        { endpoint = "crm", events = { "delivery.dead" } },
        { endpoint = "ops", events = { "delivery.dead" } },
      },
    },
    endpoints = { "crm", "ops" },
  })
  bot:event("delivery.dead", { endpoint = "crm", delivery = "dlv_1", reason = "410" })
  bot:expect_webhook { endpoint = "ops" }
  bot:expect_nothing()
end)

wharf.case("a route with chats takes those alone", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", chats = { CHAT } } } }, endpoints = { "crm" },
  })
  bot:message { chat = "491700000009@c.us", body = "hello" }
  bot:expect_nothing()
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_webhook { endpoint = "crm" }
end)

wharf.case("an endpoint that is not there keeps nothing from the others", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "cmr" }, { endpoint = "crm" } } }, endpoints = { "crm" },
  })
  bot:message { chat = CHAT, body = "hello" }
  bot:expect_webhook { endpoint = "crm" }
  bot:expect_nothing()
end)

wharf.case("a route with a mistake is refused when it is loaded", function()
  local function refused(route, part)
    local fine, why = pcall(wharf.test, "main.lua", { config = { routes = { route } } })
    assert(not fine and tostring(why):find(part, 1, true), tostring(why))
  end
  refused({ events = { "message" } }, "route 1 names no endpoint")
  refused({ endpoint = "crm", event = "message" }, "route 1 has no 'event'")
  refused({ endpoint = "crm", events = { "mesage" } }, "no event 'mesage' can be routed")
end)
