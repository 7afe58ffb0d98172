-- Answers from templates, with what is known of the sender filled in.
--
--   [script.template]
--   [script.template.texts]
--   order = "Hello {name}, your order is on its way to {number}."

local texts = wharf.config.texts or { order = "Hello {name}, your order is on its way." }

-- Puts values in the place of {names}; a name that is not known is a mistake in the template, and is said as such.
local function fill(template, values)
  return (template:gsub("{(%w+)}", function(name)
    local value = values[name]
    if value == nil then error("the template has {" .. name .. "}, which is not known", 0) end
    return value
  end))
end

local words = {}
for word in texts do table.insert(words, word) end

wharf.on("message", { match = words }, function(msg)
  local said = msg.body:lower()
  for word, template in texts do
    if said:sub(1, #word) == word then
      msg:reply(fill(template, { name = msg.sender.name or "there", number = msg.sender.phone or "your number" }))
      return
    end
  end
end)
