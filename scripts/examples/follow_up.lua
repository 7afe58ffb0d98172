-- Two days after an order: asks whether all went well, unless the customer has written since.

local function key(account, chat)
  return "last/" .. account .. "/" .. chat
end

wharf.on("message", { is_group = false }, function(msg)
  wharf.kv.set(key(msg.account, msg.chat), msg.timestamp, { ttl = "3d" })
  if (msg.body or ""):lower():sub(1, 5) ~= "order" then return end
  msg:reply("Thank you for your order!")
  wharf.later("2d", "follow_up", { to_account = msg.account, to_chat = msg.chat, since = msg.timestamp })
end)

wharf.on("job.follow_up", function(job)
  if wharf.kv.get(key(job.to_account, job.to_chat)) ~= job.since then return end
  wharf.account(job.to_account):send(job.to_chat, "Did everything arrive as you wished?")
end)
