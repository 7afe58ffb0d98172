-- What WAHA posts to webhooks, for receivers that were written for it: its session, message, acknowledgement and status.
--
-- A format is a file in this folder that returns a table: `events`, the names that it knows, and `make`, which gets the event as
-- a plain table and what is known about it, and returns what is posted, a list of such, or nil for nothing. `name` is what
-- routes call it; without it, the file's name.

local ACK = { [-1] = "ERROR", [0] = "PENDING", [1] = "SERVER", [2] = "DEVICE", [3] = "READ", [4] = "PLAYED" }

-- The states of an account, by the names that sessions have there.
local STATUS = {
  stopped = "STOPPED", starting = "STARTING", qr = "SCAN_QR_CODE", pairing = "SCAN_QR_CODE", syncing = "STARTING",
  ready = "WORKING", disconnected = "STARTING", unpaired = "FAILED", logged_out = "FAILED", blocked = "FAILED",
  failed = "FAILED",
}

local function me(about)
  if not about.phone then return nil end
  return { id = about.phone .. "@c.us", pushName = "" }
end

-- `number` sets the posts of one event apart: each has an id of its own, the same at every try.
local function envelope(event, about, name, payload, number)
  local id = event.id:lower()
  if number and number > 1 then id = id .. "_" .. number end
  return {
    id = id,
    timestamp = event.timestamp,
    session = event.account,
    engine = "WEBJS",
    event = name,
    payload = payload,
    me = me(about),
    environment = {
      version = "wharf " .. about.version, engine = "WEBJS", tier = "CORE", browser = "chromium", platform = "linux",
      worker = { id = "wharf" },
    },
  }
end

local function media_of(data)
  local media = data.media
  if not media then return nil end
  return { mimetype = media.mimetype, filename = media.filename }
end

local function reply_of(data)
  local quoted = data.quoted
  if type(quoted) ~= "table" or not quoted.id then return nil end
  return { id = quoted.id, participant = quoted.from or quoted.author, body = quoted.body, hasMedia = false }
end

local function message(event)
  local data = event.data
  local source = "app"
  if data.from_me and data.source ~= "phone" then source = "api" end
  return {
    id = data.id,
    timestamp = math.floor(data.timestamp / 1000),
    from = data.from,
    fromMe = data.from_me,
    source = source,
    to = data.to,
    participant = data.author,
    body = data.body or data.caption or "",
    hasMedia = data.media ~= nil,
    media = media_of(data),
    ack = data.ack,
    ackName = ACK[data.ack] or "UNKNOWN",
    author = data.author,
    replyTo = reply_of(data),
  }
end

local function acks(event, about)
  local data = event.data
  local own = about.phone and about.phone .. "@c.us" or ""
  local made = {}
  for number, id in data.ids do
    local payload = {
      id = id, from = own, to = data.chat, participant = data.sender, fromMe = true,
      ack = data.ack, ackName = ACK[data.ack] or "UNKNOWN",
    }
    table.insert(made, envelope(event, about, "message.ack", payload, number))
  end
  return made
end

local function status(event, about, state)
  local named = STATUS[state]
  if not named then return nil end
  local payload = {
    name = event.account, status = named, statuses = { { status = named, timestamp = event.timestamp } },
  }
  return envelope(event, about, "session.status", payload)
end

return {
  name = "waha",
  events = {
    "message", "message.any", "message.ack", "account.qr", "account.ready", "account.disconnected", "account.status",
  },
  make = function(event, about)
    local name = event.event
    if name == "message" or name == "message.any" then return envelope(event, about, about.wanted, message(event)) end
    if name == "message.ack" then return acks(event, about) end
    if name == "account.qr" then return status(event, about, "qr") end
    if name == "account.ready" then return status(event, about, "ready") end
    return status(event, about, event.data.state)
  end,
}
