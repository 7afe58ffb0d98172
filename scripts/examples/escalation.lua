-- "human" calls a person: the team is told, and for four hours no other script answers in that chat.
--
--   [script.escalation]
--   team = "120363000000000000@g.us"    # a chat or a number
--
-- Put it first in [scripts] order, so that its gate comes before those of others.

local team = wharf.config.team

wharf.gate("message", { is_group = false }, function(msg)
  local key = "muted/" .. msg.account .. "/" .. msg.chat
  if wharf.kv.get(key) then return wharf.stop end
  if (msg.body or ""):lower():match("^%s*human%f[%A]") == nil then return end
  msg:reply("A colleague will write to you here.")
  if team then
    wharf.account(msg.account):send(team, (msg.sender.name or msg.from) .. " asks for a person: " .. msg.from)
  end
  wharf.kv.set(key, true, { ttl = "4h" })
  return wharf.stop
end)
