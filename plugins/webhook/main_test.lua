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

wharf.case("a route with since gets what was before its boundary from the journal, and the rest as it comes, each once", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", since = "2026-01-01T00:00:00Z" } } }, endpoints = { "crm" },
  })
  -- Where the journal ends when the route is first seen, the past ends.
  bot:message { chat = CHAT, body = "first" }
  bot:expect_nothing()
  bot:message { chat = CHAT, body = "second" }
  bot:expect_webhook { endpoint = "crm", body = { data = { body = "second" } } }
  bot:expect_nothing()
  bot:advance("1s")
  bot:expect_webhook { endpoint = "crm", body = { event = "message", data = { body = "first" } } }
  bot:advance("1h")
  bot:expect_nothing()
end)

wharf.case("a route whose since is an event begins after it", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", since = "evt_00000000000000000000000001" } } }, endpoints = { "crm" },
  })
  bot:message { chat = CHAT, body = "first" }
  bot:message { chat = CHAT, body = "second" }
  bot:expect_webhook { endpoint = "crm", body = { data = { body = "second" } } }
  bot:advance("1s")
  bot:expect_nothing()
end)

wharf.case("routes that begin at one place are caught up together, each by its own choice", function()
  local since = 0
  local bot = wharf.test("main.lua", {
    config = {
      routes = {
        { endpoint = "crm", since = since, chats = { CHAT } },
        { endpoint = "crm", since = since, events = { "message.any" }, format = "waha" },
        { endpoint = "crm" },
      },
    },
    endpoints = { "crm" },
  })
  bot:message { chat = CHAT, body = "first" }
  bot:expect_webhook { endpoint = "crm", body = { data = { body = "first" } } }
  bot:expect_nothing()
  bot:advance("1s")
  bot:expect_webhook { endpoint = "crm", body = { data = { body = "first" } } }
  bot:expect_webhook { endpoint = "crm", body = { event = "message.any", payload = { body = "first" } } }
  bot:expect_nothing()
end)

wharf.case("a mistake in since or in format is refused when it is loaded", function()
  local function refused(route, part)
    local fine, why = pcall(wharf.test, "main.lua", { config = { routes = { route } } })
    assert(not fine and tostring(why):find(part, 1, true), tostring(why))
  end
  refused({ endpoint = "crm", since = "yesterday" }, "route 1: since is the id of an event")
  refused({ endpoint = "crm", since = "evt_1" }, "route 1: since is the id of an event")
  refused({ endpoint = "crm", since = true }, "route 1: since is the id of an event")
  refused({ endpoint = "crm", format = "wahaa" }, "route 1: there is no format 'wahaa'; there are waha, whatsapp-web.js")
end)

wharf.case("what a format does not know is not sent", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", format = "waha", events = { "*" } } } }, endpoints = { "crm" },
  })
  bot:event("config.changed", { sections = { "endpoint" } })
  bot:event("account.synced", { recovered = 1 })
  bot:expect_nothing()
  bot:event("account.ready", { phone = "491700000001" })
  bot:expect_webhook { body = { event = "session.status" } }
end)

wharf.case("more acknowledgements than one run can post go out in runs of their own", function()
  local bot = wharf.test("main.lua", {
    config = { routes = { { endpoint = "crm", format = "waha", events = { "message.ack" } } } }, endpoints = { "crm" },
  })
  local ids = {}
  for number = 1, 100 do ids[number] = "true_" .. CHAT .. "_3EB0" .. number end
  bot:event("message.ack", { chat = CHAT, ids = ids, ack = 3, sender = CHAT })
  bot:advance("1s")
  for _ = 1, 100 do bot:expect_webhook { body = { event = "message.ack" } } end
  bot:expect_nothing()
end)
