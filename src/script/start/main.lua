-- Answers a word.
--
-- It runs when it has been added (`wharf plugin add --own plugins/NAME`) and config.toml has a table for it:
--
--   [plugins.NAME]
--   word = "ping"
--   answer = "pong"

-- Defaults are filled in from plugin.toml, and types are checked before this runs.
local config = wharf.config

wharf.on("message", { match = config.word, is_group = false }, function(msg)
  msg:reply(config.answer)
end)
