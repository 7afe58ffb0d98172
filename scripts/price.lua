-- Answers questions for the price. Edit the text, save, and ask again: no restart.

wharf.on("message", { match = "price" }, function(msg)
  msg:reply("Chairs from 40 EUR, tables from 90 EUR.")
end)
