-- Each event that a format knows, beside what is posted of it.

local CHAT, GROUP = "491700000002@c.us", "120363041234567890@g.us"
local NOW = "2026-01-05T12:00"
local MS = 1767614400000

local function bot(format)
  return wharf.test("main.lua", {
    config = { routes = { { endpoint = "old", format = format, events = { "*" } } } }, endpoints = { "old" }, now = NOW,
  })
end

local function posts(format, happens, expected)
  local test = bot(format)
  happens(test)
  test:expect_webhook { endpoint = "old", body = expected }
  test:expect_nothing()
end

local function environment()
  return { engine = "WEBJS", tier = "CORE", browser = "chromium", platform = "linux", worker = { id = "wharf" } }
end

wharf.case("waha: a text from somebody", function()
  posts("waha", function(test) test:message { chat = CHAT, body = "Hello", ack = 1 } end, {
    id = "evt_00000000000000000000000001", timestamp = MS, session = "main", engine = "WEBJS", event = "message.any",
    me = { id = "491700000001@c.us", pushName = "" }, environment = environment(),
    payload = {
      id = "false_" .. CHAT .. "_1", timestamp = MS / 1000, from = CHAT, to = "491700000001@c.us", fromMe = false,
      source = "app", body = "Hello", hasMedia = false, ack = 1, ackName = "SERVER",
    },
  })
end)

wharf.case("waha: a route of `message` alone gets that name", function()
  local test = wharf.test("main.lua", {
    config = { routes = { { endpoint = "old", format = "waha" } } }, endpoints = { "old" },
  })
  test:message { chat = CHAT, body = "Hello" }
  test:expect_webhook { body = { event = "message" } }
  test:message { chat = CHAT, body = "mine", from_me = true }
  test:expect_nothing()
end)

wharf.case("waha: a picture in a group, in answer to another", function()
  posts("waha", function(test)
    test:message {
      chat = GROUP, author = CHAT, type = "image", caption = "Look", ack = 3,
      media = { id = "m1", mimetype = "image/jpeg", filename = "a.jpg", size = 5 },
      quoted = { id = "true_" .. GROUP .. "_3EB0", from = "491700000001@c.us", body = "What?" },
    }
  end, {
    event = "message.any",
    payload = {
      from = GROUP, participant = CHAT, author = CHAT, body = "Look", hasMedia = true, ackName = "READ",
      media = { mimetype = "image/jpeg", filename = "a.jpg" },
      replyTo = { id = "true_" .. GROUP .. "_3EB0", body = "What?", hasMedia = false },
    },
  })
end)

wharf.case("waha: the account's own messages, from the phone and from a script", function()
  posts("waha", function(test) test:message { chat = CHAT, body = "mine", from_me = true, source = "phone" } end, {
    event = "message.any", payload = { fromMe = true, from = "491700000001@c.us", to = CHAT, source = "app" },
  })
  posts("waha", function(test) test:message { chat = CHAT, body = "mine", from_me = true, source = "script" } end, {
    event = "message.any", payload = { fromMe = true, source = "api" },
  })
end)

wharf.case("waha: acknowledgements, one for each message", function()
  local test = bot("waha")
  test:event("message.ack", { chat = CHAT, ids = { "true_" .. CHAT .. "_A", "true_" .. CHAT .. "_B" }, ack = 2, sender = CHAT })
  for number, id in { "A", "B" } do
    test:expect_webhook { body = {
      id = "evt_00000000000000000000000001" .. (number == 1 and "" or "_2"), event = "message.ack",
      payload = {
        id = "true_" .. CHAT .. "_" .. id, from = "491700000001@c.us", to = CHAT, participant = CHAT, fromMe = true,
        ack = 2, ackName = "DEVICE",
      },
    } }
  end
  test:expect_nothing()
end)

wharf.case("waha: the status of the session", function()
  for _, pair in {
    { "account.qr", { attempt = 1 }, "SCAN_QR_CODE" }, { "account.ready", { phone = "491700000001" }, "WORKING" },
    { "account.disconnected", { state = "disconnected" }, "STARTING" },
    { "account.disconnected", { state = "logged_out" }, "FAILED" }, { "account.status", { state = "stopped" }, "STOPPED" },
  } do
    posts("waha", function(test) test:event(pair[1], pair[2]) end, {
      event = "session.status", session = "main",
      payload = { name = "main", status = pair[3], statuses = { { status = pair[3], timestamp = MS } } },
    })
  end
end)

wharf.case("whatsapp-web.js: a text from somebody", function()
  posts("whatsapp-web.js", function(test) test:message { chat = CHAT, body = "Hello", ack = 1, mentions = { CHAT } } end, {
    dataType = "message_create", sessionId = "main",
    data = { message = {
      id = { fromMe = false, remote = CHAT, id = "1", _serialized = "false_" .. CHAT .. "_1" },
      ack = 1, body = "Hello", from = CHAT, to = "491700000001@c.us", fromMe = false, type = "chat", timestamp = MS / 1000,
      hasMedia = false, hasQuotedMsg = false, isStatus = false, mentionedIds = { CHAT },
    } },
  })
end)

wharf.case("whatsapp-web.js: a route of `message` alone gets that name", function()
  local test = wharf.test("main.lua", {
    config = { routes = { { endpoint = "old", format = "whatsapp-web.js" } } }, endpoints = { "old" },
  })
  test:message { chat = GROUP, author = CHAT, caption = "Look", media = { mimetype = "image/jpeg" }, quoted = { id = "x" } }
  test:expect_webhook { body = {
    dataType = "message",
    data = { message = { author = CHAT, body = "Look", hasMedia = true, hasQuotedMsg = true } },
  } }
end)

wharf.case("whatsapp-web.js: acknowledgements, one for each message", function()
  local test = bot("whatsapp-web.js")
  test:event("message.ack", { chat = CHAT, ids = { "true_" .. CHAT .. "_A", "true_" .. CHAT .. "_B" }, ack = 3, sender = CHAT })
  for _, id in { "A", "B" } do
    test:expect_webhook { body = {
      dataType = "message_ack",
      data = { ack = 3, message = { id = { fromMe = true, remote = CHAT, id = id }, ack = 3, to = CHAT } },
    } }
  end
  test:expect_nothing()
end)

wharf.case("whatsapp-web.js: the account comes and goes", function()
  for _, pair in {
    { "account.authenticated", { phone = "491700000001" }, { dataType = "authenticated" } },
    { "account.ready", { phone = "491700000001" }, { dataType = "ready" } },
    { "account.disconnected", { state = "disconnected" }, { dataType = "change_state", data = { state = "TIMEOUT" } } },
    { "account.disconnected", { state = "logged_out" }, { dataType = "disconnected", data = { reason = "LOGOUT" } } },
    { "account.disconnected", { state = "unpaired" }, { dataType = "disconnected", data = { reason = "UNPAIRED" } } },
    {
      "account.disconnected", { state = "blocked", reason = "update_required" },
      { dataType = "disconnected", data = { reason = "DEPRECATED_VERSION" } },
    },
    { "account.disconnected", { state = "failed" }, { dataType = "disconnected", data = { reason = "UNLAUNCHED" } } },
  } do
    posts("whatsapp-web.js", function(test) test:event(pair[1], pair[2]) end, pair[3])
  end
end)
