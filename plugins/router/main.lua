-- Sends messages on to another chat or account.
--
--   [plugins.router]
--   rules = [
--     # price questions on the sales number go to the team's group on the office number
--     { account = "sales", match = "price", via = "office", to = "120363000000000000@g.us", prefix = true },
--     # what this customer writes is for one colleague, and for nobody else
--     { from = "491700000002@c.us", to = "491700000003", stop = true },
--   ]
--
-- account, chat, from, match: which messages (a value or a list; absent: all). to: a chat or a number. via: the account that
-- sends it on; absent: the one that got it. prefix: say who wrote it. stop: the message goes no further: no handler of any
-- script or plugin sees it, and no gate after this plugin's ([scripts] order). Of a medium its caption is sent on, else its
-- type in brackets.

local KEYS = { "to", "account", "chat", "from", "match", "via", "prefix", "stop" }

-- What can be seen to be wrong is said when the configuration is saved, not when a customer writes.
local function filter_of(index, rule)
  if type(rule) ~= "table" then error("rule " .. index .. " is not a table such as { match = \"price\", to = \"49170\" }", 0) end
  for key in rule do
    if not table.find(KEYS, key) then error("rule " .. index .. " has no '" .. tostring(key) .. "'", 0) end
  end
  if type(rule.to) ~= "string" then error("rule " .. index .. " does not say `to` whom", 0) end
  local filter = {}
  for _, key in { "account", "chat", "from", "match" } do filter[key] = rule[key] end
  return filter
end

-- A number and its chat are one place.
local function chat_of(to)
  return to:find("@", 1, true) and to or to:gsub("^%+", "") .. "@c.us"
end

local function pass_on(msg, rule)
  if chat_of(rule.to) == msg.chat and (rule.via or msg.account) == msg.account then return end
  local text = msg.body or msg.caption
  if text == nil or text == "" then text = "[" .. msg.type .. "]" end
  if rule.prefix then text = (msg.sender.name or msg.sender.phone or msg.from) .. ": " .. text end
  wharf.account(rule.via or msg.account):send(rule.to, text)
end

for index, rule in wharf.config.rules do
  local filter = filter_of(index, rule)
  if rule.stop then
    wharf.gate("message", filter, function(msg)
      pass_on(msg, rule)
      return wharf.stop
    end)
  else
    wharf.on("message", filter, function(msg) pass_on(msg, rule) end)
  end
end

-- Without rules there is nothing to do, but a plugin without handlers would be refused.
if #wharf.config.rules == 0 then
  wharf.on("message", { account = "-" }, function() end)
end
