-- What the HTTP gateways over whatsapp-web.js post: { dataType, data, sessionId }, with the message as that library's `Message`
-- is written as JSON. Fields that wharf does not know are left out.

-- "false_49170@c.us_3EB0" in the parts that the library has it in.
local function id_of(text)
  local from_me, remote, id = text:match("^(%a+)_([^_]+)_([^_]+)")
  return { fromMe = from_me == "true", remote = remote, id = id, _serialized = text }
end

local function envelope(event, kind, data)
  return { dataType = kind, data = data, sessionId = event.account }
end

local function message(event)
  local data = event.data
  return {
    id = id_of(data.id),
    ack = data.ack,
    author = data.author,
    body = data.body or data.caption or "",
    from = data.from,
    fromMe = data.from_me,
    to = data.to,
    type = data.type,
    timestamp = math.floor(data.timestamp / 1000),
    hasMedia = data.media ~= nil,
    hasQuotedMsg = data.quoted ~= nil,
    isStatus = data.chat == "status@broadcast",
    mentionedIds = data.mentions,
  }
end

local function acks(event, about)
  local data = event.data
  local own = about.phone and about.phone .. "@c.us"
  local made = {}
  for _, id in data.ids do
    local acknowledged = { id = id_of(id), ack = data.ack, fromMe = true, from = own, to = data.chat }
    table.insert(made, envelope(event, "message_ack", { message = acknowledged, ack = data.ack }))
  end
  return made
end

-- What the library says when it is not connected any more: for good, or for now.
local function gone(event)
  local state, reason = event.data.state, event.data.reason
  if state == "disconnected" then return envelope(event, "change_state", { state = "TIMEOUT" }) end
  local why = "UNLAUNCHED"
  if state == "logged_out" then
    why = "LOGOUT"
  elseif state == "unpaired" then
    why = "UNPAIRED"
  elseif state == "blocked" then
    why = reason == "update_required" and "DEPRECATED_VERSION" or "TOS_BLOCK"
  end
  return envelope(event, "disconnected", { reason = why })
end

return {
  name = "whatsapp-web.js",
  events = { "message", "message.any", "message.ack", "account.authenticated", "account.ready", "account.disconnected" },
  make = function(event, about)
    local name = event.event
    if name == "message" or name == "message.any" then
      local kind = about.wanted == "message.any" and "message_create" or "message"
      return envelope(event, kind, { message = message(event) })
    end
    if name == "message.ack" then return acks(event, about) end
    if name == "account.authenticated" then return envelope(event, "authenticated") end
    if name == "account.ready" then return envelope(event, "ready") end
    return gone(event)
  end,
}
