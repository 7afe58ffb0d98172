-- A language model answers, and remembers the talk of each chat. "reset" makes it forget.
--
--   [script.language_model]
--   url    = "https://api.llm.example/v1/chat/completions"     # any service of the chat-completions kind
--   model  = "small"
--   system = "You help the customers of a furniture shop. Answer briefly."
--   memory = "6h"                                              # a talk that rested so long is forgotten
--
--   [secrets]
--   llm = "…"                                                  # the key of that service

local url = wharf.config.url or "https://api.llm.example/v1/chat/completions"
local model = wharf.config.model or "small"
local system = wharf.config.system or "You are a friendly assistant. Answer briefly."
local memory = wharf.config.memory or "6h"

-- What is remembered of a talk at most: the newest of it. More costs more with each question.
local MAX_LINES, MAX_BYTES = 20, 16000

-- What the model says to a talk, or nil if it does not answer.
local function ask(talk)
  local messages = { { role = "system", content = system } }
  for _, line in talk do table.insert(messages, line) end
  local key = wharf.secret("llm")
  local fine, said = pcall(function()
    local answer = wharf.http.post(url, {
      headers = { authorization = "Bearer " .. key },
      json = { model = model, messages = messages },
      timeout = 40,
    })
    if answer.status ~= 200 then error("it answered " .. answer.status) end
    return answer.json.choices[1].message.content
  end)
  if fine and type(said) == "string" and said ~= "" then return said end
  wharf.log.warn("the model did not answer", { why = tostring(said) })
  return nil
end

-- Forgets the oldest question with its answer until the talk is short enough.
local function shorten(talk)
  local bytes = 0
  for _, line in talk do bytes += #line.content end
  while #talk > MAX_LINES or bytes > MAX_BYTES do
    bytes -= #talk[1].content + #talk[2].content
    table.remove(talk, 1)
    table.remove(talk, 1)
  end
end

wharf.on("message", { is_group = false, type = "chat" }, function(msg)
  local key = "talk/" .. msg.account .. "/" .. msg.chat
  if msg.body:lower():match("^%s*reset%s*$") then
    wharf.kv.delete(key)
    msg:reply("Forgotten. What is it about?")
    return
  end

  local talk = wharf.kv.get(key) or {}
  table.insert(talk, { role = "user", content = msg.body })
  local said = ask(talk)
  if said == nil then
    -- Nothing is kept, so that no question stands in the memory without its answer.
    msg:reply("I cannot think right now. Please ask again in a few minutes.")
    return
  end
  msg:reply(said)
  table.insert(talk, { role = "assistant", content = said })
  shorten(talk)
  wharf.kv.set(key, talk, { ttl = memory })
end)
