-- Commands: the first word picks the answer.

local answers = {
  ["!help"] = "Try !hours or !id.",
  ["!hours"] = "Monday to Friday, 9 to 18.",
  ["!id"] = function(msg) return "This chat is " .. msg.chat end,
}

wharf.on("message", { match = "!" }, function(msg)
  local answer = answers[msg.body:lower():match("^%S+")] or answers["!help"]
  if type(answer) == "function" then answer = answer(msg) end
  msg:reply(answer)
end)
