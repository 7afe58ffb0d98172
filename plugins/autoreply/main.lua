-- Answers by keyword, greets the first message of the day, and says when you are closed.
--
--   [plugins.autoreply]
--   accounts = ["sales"]                 # all if absent
--   groups   = false                     # groups are not answered
--   keywords = [{ word = "price", text = "Chairs from 40 EUR." }]
--   greeting = "Thanks for writing! We answer within the hour."
--   closed   = "We are closed. Monday to Friday, 9 to 18."
--   zone     = "Europe/Berlin"
--   days     = [1, 2, 3, 4, 5]           # 1 is Monday
--   hours    = [9, 18]
--
-- A keyword is answered at any time, and every time. Otherwise: outside the office hours `closed`, inside them `greeting`,
-- each at most once a day for a chat. Capitals do not matter in words of a-z; others are compared as they are written.

local config = wharf.config
local DAY = 24 * 60 * 60

-- What can be seen to be wrong is said when the configuration is saved, not when a customer writes.
for index, rule in config.keywords do
  if type(rule) ~= "table" or type(rule.word) ~= "string" or type(rule.text) ~= "string" or rule.text == "" then
    error("keyword " .. index .. " needs a word and a text, as in { word = \"price\", text = \"From 40 EUR.\" }", 0)
  end
end
local from, to = config.hours[1], config.hours[2]
if type(from) ~= "number" or type(to) ~= "number" or from < 0 or to > 24 or from >= to then
  error("hours are two numbers of 0 to 24, as in [9, 18]", 0)
end
for _, day in config.days do
  if type(day) ~= "number" or day < 1 or day > 7 then error("days are numbers of 1 (Monday) to 7", 0) end
end
wharf.time.now(config.zone)

local filter = {}
if not config.groups then filter.is_group = false end
if #config.accounts > 0 then filter.account = config.accounts end

local function keyword(body)
  local said = body:lower()
  for _, rule in config.keywords do
    if said:sub(1, #rule.word) == rule.word:lower() then return rule.text end
  end
  return nil
end

local function open(now)
  return table.find(config.days, now.weekday) ~= nil and now.hour >= from and now.hour < to
end

wharf.on("message", filter, function(msg)
  local text = msg.body and keyword(msg.body)
  if text then
    msg:reply(text)
    return
  end
  local now = wharf.time.now(config.zone)
  local kind = open(now) and "greeting" or "closed"
  if config[kind] == "" then return end
  local key = kind .. "/" .. msg.account .. "/" .. msg.chat
  local today = string.format("%04d-%02d-%02d", now.year, now.month, now.day)
  if wharf.kv.get(key) == today then return end
  msg:reply(config[kind])
  wharf.kv.set(key, today, { ttl = 2 * DAY })
end)
