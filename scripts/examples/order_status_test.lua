local ASK, LATER = "GET https://shop.example/orders/10042", "I cannot look that up right now. Please try again in a few minutes."

local function start()
  return wharf.test("order_status.lua", { secrets = { shop = "x" } })
end

wharf.case("the status of an order is told in words", function()
  local bot = start()
  bot:http(ASK, { json = { status = "packed" } })
  bot:message { body = "Status of 10042, please" }
  bot:expect_http(ASK, {})
  bot:expect_sent { text = "Order 10042: It is packed and waits for the carrier." }
  bot:http(ASK, { json = { status = "lost at sea" } })
  bot:message { body = "status #10042" }
  bot:expect_http(ASK, {})
  bot:expect_sent { text = "Order 10042: lost at sea" }
end)

wharf.case("a number that the shop does not know is said to be unknown", function()
  local bot = start()
  bot:http(ASK, { status = 404, json = { error = "not found" } })
  bot:message { body = "status 10042" }
  bot:expect_sent { text = "We have no order 10042. Is the number right?" }
end)

wharf.case("without a number it asks for one and not the shop", function()
  local bot = start()
  bot:http(ASK, { json = { status = "packed" } })
  bot:message { body = "status?" }
  bot:expect_sent { text = "Please write it with the number of your order, as in: status 10042" }
  bot:message { body = "hello 10042" }
  bot:expect_nothing()
end)

wharf.case("a shop that is down, fails or talks nonsense is a polite answer and no failed run", function()
  local bot = start()
  bot:message { body = "status 10042" }
  bot:expect_sent { text = LATER }
  bot:http(ASK, { status = 503, body = "busy" })
  bot:message { body = "status 10042" }
  bot:expect_sent { text = LATER }
  bot:http(ASK, { status = 200, body = "<html>" })
  bot:message { body = "status 10042" }
  bot:expect_sent { text = LATER }
end)

wharf.case("without the key of the shop nobody is asked", function()
  local bot = wharf.test("order_status.lua")
  bot:http(ASK, { json = { status = "packed" } })
  bot:message { body = "status 10042" }
  bot:expect_error("shop")
  bot:expect_nothing()
end)
