-- Outside office hours: says so, at most once an hour for a chat, and keeps the message from all other handlers.
--
--   [script.office_hours]
--   zone  = "Europe/Berlin"
--   days  = [1, 2, 3, 4, 5]     # 1 is Monday
--   hours = [9, 18]

local zone = wharf.config.zone or "UTC"
local days = wharf.config.days or { 1, 2, 3, 4, 5 }
local hours = wharf.config.hours or { 9, 18 }
local CLOSED = "We are closed. You reach us Monday to Friday, %d to %d."

local function open(now)
  return table.find(days, now.weekday) ~= nil and now.hour >= hours[1] and now.hour < hours[2]
end

wharf.gate("message", { is_group = false }, function(msg)
  if open(wharf.time.now(zone)) then return end
  local key = "told/" .. msg.account .. "/" .. msg.chat
  if not wharf.kv.get(key) then
    msg:reply(CLOSED:format(hours[1], hours[2]))
    wharf.kv.set(key, true, { ttl = "1h" })
  end
  return wharf.stop
end)
