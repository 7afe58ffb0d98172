-- At six on working days: tells the team how many messages came, and from how many chats.
--
--   [script.daily_summary]
--   account = "office"                  # who tells it
--   team    = "120363000000000000@g.us" # a chat or a number
--   zone    = "Europe/Berlin"

local zone = wharf.config.zone or "UTC"

local function today()
  local now = wharf.time.now(zone)
  return string.format("%04d-%02d-%02d", now.year, now.month, now.day)
end

wharf.on("message", function(msg)
  local day = today()
  wharf.kv.incr("messages/" .. day, 1, { ttl = "7d" })
  wharf.kv.set("chats/" .. day .. "/" .. msg.account .. "/" .. msg.chat, true, { ttl = "7d" })
end)

wharf.cron("0 18 * * 1-5", function()
  local day = today()
  local count = wharf.kv.get("messages/" .. day) or 0
  local chats = #wharf.kv.list("chats/" .. day .. "/")
  local text = string.format("%s: %d messages from %d chats", day, count, chats)
  wharf.account(wharf.config.account):send(wharf.config.team, text)
end, { zone = zone })
