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
--   ]
--   own = ["message"]     # what an account's own webhook gets; [] for nothing
--
-- A route without `events` takes "message"; without `accounts` or `chats` it takes all of them. Messages of any age are
-- sent on: what came while wharf was away is delivered as well, with origin = "history".

local EVENTS = {
  "message", "message.any", "message.ack",
  "account.qr", "account.authenticated", "account.ready", "account.synced", "account.disconnected", "account.status",
  "account.degraded", "action.unknown", "script.error", "script.reloaded", "script.suspended", "script.skipped",
  "delivery.dead", "endpoint.disabled", "config.changed",
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

local KEYS = { "endpoint", "events", "accounts", "chats" }

local routes = {}
for index, route in wharf.config.routes do
  if type(route) ~= "table" then error("route " .. index .. " is not a table such as { endpoint = \"crm\" }", 0) end
  for key in route do
    if not table.find(KEYS, key) then error("route " .. index .. " has no '" .. tostring(key) .. "'", 0) end
  end
  if type(route.endpoint) ~= "string" then error("route " .. index .. " names no endpoint", 0) end
  table.insert(routes, {
    endpoint = route.endpoint, events = names(route.events), accounts = route.accounts, chats = route.chats,
  })
end
local own = names(wharf.config.own)

-- What concerns an endpoint is not delivered to that endpoint.
local function concerns(event, endpoint)
  return (event.event == "delivery.dead" or event.event == "endpoint.disabled") and event.endpoint == endpoint
end

-- A misspelt endpoint must not keep an event from the others, and one that is added later gets what comes from then on.
local function post(endpoint, body)
  if wharf.webhook.has(endpoint) then
    wharf.webhook.post(endpoint, body)
  else
    wharf.log.error("there is no [endpoint." .. endpoint .. "] in config.toml; the event is not sent there")
  end
end

local function chat_of(event)
  if event.event:sub(1, 7) == "message" then return event.chat end
  return nil
end

for _, name in EVENTS do
  local wanted = own[name]
  for _, route in routes do wanted = wanted or route.events[name] end
  if wanted then
    wharf.on(name, { max_age = "any" }, function(event)
      local body = event:json()
      for _, route in routes do
        if route.events[name] and any_of(route.accounts, event.account) and any_of(route.chats, chat_of(event))
          and not concerns(event, route.endpoint) then
          post(route.endpoint, body)
        end
      end
      local webhook = event.account and "account:" .. event.account
      if own[name] and webhook and wharf.webhook.has(webhook) and not concerns(event, webhook) then post(webhook, body) end
    end)
  end
end
