-- "STOP" ends all answers in a chat, "START" begins them again.
--
-- Put it first in [scripts] order, so that its gate comes before those of others.

wharf.gate("message", { is_group = false }, function(msg)
  local key = "out/" .. msg.account .. "/" .. msg.chat
  local said = (msg.body or ""):upper():match("^%s*(%a+)%s*$")
  if said == "STOP" then
    if not wharf.kv.get(key) then msg:reply("You get no more answers from us. Write START to get them again.") end
    wharf.kv.set(key, msg.timestamp)
    return wharf.stop
  elseif said == "START" and wharf.kv.get(key) then
    wharf.kv.delete(key)
    msg:reply("Welcome back!")
    return wharf.stop
  elseif wharf.kv.get(key) then
    return wharf.stop
  end
end)
