-- A menu with menus below it. Where a chat stands is remembered for half an hour.
--
-- Add an entry: a text is an answer, a table with `title` is a menu of its own.

local MENU = {
  title = "How can we help?",
  { "Prices", { title = "Prices of what?", { "Chairs", "From 40 EUR." }, { "Tables", "From 90 EUR." } } },
  { "Opening hours", "Monday to Friday, 9 to 18." },
  { "Where to find us", "Harbour Street 1." },
}

local function shown(menu)
  local lines = { menu.title }
  for number, entry in ipairs(menu) do table.insert(lines, number .. " " .. entry[1]) end
  return table.concat(lines, "\n")
end

-- The menu at the end of a path such as { 1, 2 }.
local function at(path)
  local menu = MENU
  for _, number in path do menu = menu[number][2] end
  return menu
end

wharf.on("message", { is_group = false, type = "chat" }, function(msg)
  local key = "menu/" .. msg.account .. "/" .. msg.chat
  local path = wharf.kv.get(key)
  local said = msg.body:lower():match("^%s*(.-)%s*$")
  if said == "menu" then
    wharf.kv.set(key, {}, { ttl = "30m" })
    msg:reply(shown(MENU))
    return
  end
  -- Who is not in the menu gets no answer from here.
  if path == nil then return end
  local entry = at(path)[tonumber(said)]
  if entry == nil then
    msg:reply("Please write a number, or \"menu\" to begin anew.")
  elseif type(entry[2]) == "table" then
    table.insert(path, tonumber(said))
    wharf.kv.set(key, path, { ttl = "30m" })
    msg:reply(shown(entry[2]))
  else
    wharf.kv.delete(key)
    msg:reply(entry[2])
  end
end)
