-- Sends events on to endpoints, through the durable outbox.
--
--   [endpoint.crm]
--   url = "https://example.com/hook"
--   secret = "whsec_..."
--
--   [plugins.webhook]
--   routes = [
--     { endpoint = "crm", events = ["message", "message.ack"] },
--     { endpoint = "crm", events = ["account.*"], accounts = ["sales"] },
--     { endpoint = "old", format = "waha" },
--     { endpoint = "new", since = "2026-11-01T00:00:00Z" },
--   ]
--   own = ["message"]     # what an account's own webhook gets; [] for nothing
--
-- A route without `events` takes "message"; without `accounts` or `chats` it takes all of them. Messages of any age are
-- sent on: what came while wharf was away is delivered as well, with origin = "history". `format` posts in another project's
-- form, by a file in formats/. `since` begins in the past: after the event of an id, or at a time; see catching_up.lua.

local formats = require("./formats/*")
local catching_up = require("./catching_up")

local EVENTS = {
  "message", "message.any", "message.ack",
  "account.qr", "account.authenticated", "account.ready", "account.synced", "account.disconnected", "account.status",
  "account.degraded", "action.unknown", "script.error", "script.reloaded", "script.suspended", "script.skipped",
  "delivery.dead", "endpoint.disabled", "config.changed", "host.clock",
}

local function any_of(list, value)
  if list == nil then return true end
  return table.find(list, value) ~= nil
end

-- "account.*" stands for every event that starts with "account.".
local function names(patterns)
  local set = {}
  for _, pattern in patterns or { "message" } do
    local start = pattern:match("^(.*)%*$")
    for _, name in EVENTS do
      if name == pattern or (start and name:sub(1, #start) == start) then set[name] = true end
    end
    if not start and not set[pattern] then error("no event '" .. pattern .. "' can be routed", 0) end
  end
  -- A handler of "message.any" gets what one of "message" gets: once is enough.
  if set["message.any"] then set["message"] = nil end
  return set
end

local FORMATS = {}
for stem, format in formats do
  if type(format) ~= "table" or type(format.events) ~= "table" or type(format.make) ~= "function" then
    error("formats/" .. stem .. ".lua returns no { events = ..., make = ... }", 0)
  end
  FORMATS[format.name or stem] = format
end

-- What a format does not know is not sent, and said here.
local function known(events, format, which)
  local left, dropped = {}, {}
  for name in events do
    if table.find(format.events, name) then left[name] = true else table.insert(dropped, name) end
  end
  if #dropped > 0 then
    table.sort(dropped)
    wharf.log.warn(which .. ": the format has no form for " .. table.concat(dropped, ", ") .. "; they are not sent")
  end
  return left
end

local function format_of(name, which)
  if name == nil then return nil end
  local format = FORMATS[name]
  if format then return format end
  local there = {}
  for other in FORMATS do table.insert(there, other) end
  table.sort(there)
  error(which .. ": there is no format '" .. tostring(name) .. "'; there are " .. table.concat(there, ", "), 0)
end

local KEYS = { "endpoint", "events", "accounts", "chats", "format", "since" }

local routes = {}
for index, route in wharf.config.routes do
  local which = "route " .. index
  if type(route) ~= "table" then error(which .. " is not a table such as { endpoint = \"crm\" }", 0) end
  for key in route do
    if not table.find(KEYS, key) then error(which .. " has no '" .. tostring(key) .. "'", 0) end
  end
  if type(route.endpoint) ~= "string" then error(which .. " names no endpoint", 0) end
  local format, events = format_of(route.format, which), names(route.events)
  if format then events = known(events, format, which) end
  table.insert(routes, {
    endpoint = route.endpoint, events = events, accounts = route.accounts, chats = route.chats, format = format,
    past = route.since ~= nil and catching_up.group(route.endpoint, route.since, which) or nil,
  })
end
local own = names(wharf.config.own)

-- Posts that one route may make of one event, so that all together stay within what a run may post.
local SHARE = math.max(1, math.floor(16 / (#routes + 1)))

-- What concerns an endpoint is not delivered to that endpoint.
local function concerns(event, endpoint)
  return (event.event == "delivery.dead" or event.event == "endpoint.disabled") and event.endpoint == endpoint
end

local function chat_of(event)
  if event.event:sub(1, 7) == "message" then return event.chat end
  return nil
end

-- The name by which a route takes an event; nil if it does not. A message from somebody else has two names.
local function taken(route, event)
  local name = event.event
  if name == "message" and not route.events[name] then name = "message.any" end
  if not route.events[name] or concerns(event, route.endpoint) then return nil end
  if not any_of(route.accounts, event.account) or not any_of(route.chats, chat_of(event)) then return nil end
  return name
end

-- The bodies that a route posts of an event.
local function bodies(route, event, wanted)
  if not route.format then return { event } end
  local account = event.account and wharf.account(event.account):state()
  local made = route.format.make(event:json(), {
    wanted = wanted, version = wharf.version, phone = account and account.phone,
  })
  if made == nil then return {} end
  if made[1] ~= nil or next(made) == nil then return made end
  return { made }
end

-- Leaves bodies to runs of their own, in jobs that are small enough.
local function leave(endpoint, made, from, chat)
  while from <= #made do
    local part = table.move(made, from, math.min(from + 39, #made), 1, {})
    wharf.later(0, "rest", { chat = chat, endpoint = endpoint, bodies = part })
    from = from + 40
  end
end

local function post(endpoint, made, most, chat)
  for number = 1, math.min(#made, most) do wharf.webhook.post(endpoint, made[number]) end
  leave(endpoint, made, most + 1, chat)
end

wharf.on("job.rest", function(job)
  if wharf.webhook.has(job.endpoint) then post(job.endpoint, job.bodies, 16, job.chat) end
end)

-- A misspelt endpoint must not keep an event from the others, and one that is added later gets what comes from then on.
local function there(endpoint)
  if wharf.webhook.has(endpoint) then return true end
  wharf.log.error("there is no [endpoint." .. endpoint .. "] in config.toml; the event is not sent there")
  return false
end

for _, name in EVENTS do
  local wanted = own[name]
  for _, route in routes do wanted = wanted or route.events[name] end
  if wanted then
    wharf.on(name, { max_age = "any" }, function(event)
      for _, route in routes do
        if route.events[name] and taken(route, event) == name and there(route.endpoint)
          and not (route.past and catching_up.has(route.past, event)) then
          post(route.endpoint, bodies(route, event, name), SHARE, chat_of(event))
        end
      end
      local webhook = event.account and "account:" .. event.account
      if own[name] and webhook and wharf.webhook.has(webhook) and not concerns(event, webhook) then
        wharf.webhook.post(webhook, event)
      end
    end)
  end
end

-- What of the past the routes of one group post of an event.
local function past(group, event)
  local made = {}
  for _, route in routes do
    local wanted = route.past == group and taken(route, event)
    if wanted then
      for _, body in bodies(route, event, wanted) do table.insert(made, body) end
    end
  end
  return made
end

catching_up.start(past, post)
