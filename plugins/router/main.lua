-- Sends messages on to another chat or account.
--
--   [plugins.router]
--   rules = [
--     # price questions on the sales number go to the team's group on the office number
--     { account = "sales", match = "price", via = "office", to = "120363000000000000@g.us", prefix = true },
--     # what this customer writes is for one colleague, and for no script after this plugin
--     { from = "491700000002@c.us", to = "491700000003", stop = true },
--   ]
--
-- account, chat, from, match: which messages (a value or a list; absent: all). to: a chat or a number. via: the account that
-- sends it on; absent: the one that got it. prefix: say who wrote it. stop: the message goes no further: scripts and plugins
-- after this one do not see it ([scripts] order).

local function rule(index, written)
  if type(written.to) ~= "string" then error("rule " .. index .. " does not say `to` whom", 0) end
  local filter = {}
  for _, key in { "account", "chat", "from", "match" } do filter[key] = written[key] end
  return filter
end

local function pass_on(msg, written)
  if written.to == msg.chat and (written.via or msg.account) == msg.account then return end
  local text = msg.body or msg.caption
  if text == nil then return end
  if written.prefix then text = (msg.sender.name or msg.sender.phone or msg.from) .. ": " .. text end
  wharf.account(written.via or msg.account):send(written.to, text)
end

for index, written in wharf.config.rules do
  local filter = rule(index, written)
  if written.stop then
    wharf.gate("message", filter, function(msg)
      pass_on(msg, written)
      return wharf.stop
    end)
  else
    wharf.on("message", filter, function(msg) pass_on(msg, written) end)
  end
end

-- Without rules there is nothing to do, but a plugin without handlers would be refused.
if #wharf.config.rules == 0 then
  wharf.on("message", { account = "-" }, function() end)
end
