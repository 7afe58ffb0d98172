-- "status 10042" is answered with how far that order is, as the shop's own HTTP service says.
--
--   [script.order_status]
--   url = "https://shop.example/orders/"     # the order's number is put behind it
--
--   [secrets]
--   shop = "…"                               # the key of that service
--
-- Expected of the service: 200 with { "status": "packed" }, and 404 for an order that it does not know. Whoever has the number
-- is told; if yours are easily guessed, let the service compare the customer too, for instance by a header with `msg.from`.

local url = wharf.config.url or "https://shop.example/orders/"

local SAID = {
  received = "We have received it and will pack it soon.",
  packed = "It is packed and waits for the carrier.",
  sent = "It is on its way to you.",
  delivered = "It has been delivered.",
}

wharf.on("message", { is_group = false, type = "chat", match = "status" }, function(msg)
  -- Only digits get into the address.
  local number = msg.body:match("%d+")
  if number == nil then
    msg:reply("Please write it with the number of your order, as in: status 10042")
    return
  end

  local key = wharf.secret("shop")
  -- A call raises when no answer came at all; pcall turns that into `fine == false`.
  local fine, answer = pcall(function()
    return wharf.http.get(url .. number, { headers = { authorization = "Bearer " .. key }, timeout = 10 })
  end)

  if fine and answer.status == 404 then
    msg:reply("We have no order " .. number .. ". Is the number right?")
  elseif fine and answer.status == 200 and type(answer.json) == "table" then
    local status = tostring(answer.json.status)
    msg:reply("Order " .. number .. ": " .. (SAID[status] or status))
  else
    wharf.log.warn("the shop gave no answer", { order = number, why = fine and answer.status or tostring(answer) })
    msg:reply("I cannot look that up right now. Please try again in a few minutes.")
  end
end)
