-- NAME: greets who writes for the first time in a day.
--
-- It is in force as soon as it is saved. `wharf check` finds mistakes, `wharf test` runs NAME_test.lua.

-- A setting, from [script.NAME] of config.toml: greeting = "…"
local GREETING = wharf.config.greeting or "Hello! We answer within the hour."

-- The handler is called for each message from somebody else that passes the filter: here, none of groups.
wharf.on("message", { is_group = false }, function(msg)
  -- What is kept by key outlives restarts; this ends by itself after a day.
  local key = "greeted/" .. msg.chat
  if wharf.kv.get(key) then return end
  msg:reply(GREETING)
  -- If the reply fails, this is not kept either: the run is tried again as a whole.
  wharf.kv.set(key, true, { ttl = "24h" })
end)
