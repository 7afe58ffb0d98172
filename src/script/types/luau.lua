-- What Luau has beside Lua 5.1.

---The name of a value's type, also of objects of the host.
---@param value any
---@return string
function typeof(value) end

---@param value table
---@return integer
function rawlen(value) end

---@param list table
---@param from? integer
---@param to? integer
---@return any ...
function table.unpack(list, from, to) end

---@param ... any
---@return table
function table.pack(...) end

---@generic T
---@param list T[]
---@param value T
---@param from? integer
---@return integer?
function table.find(list, value, from) end

---@generic T
---@param value T
---@return T
function table.clone(value) end

---@param value table
function table.clear(value) end

---@generic T
---@param value T
---@return T
function table.freeze(value) end

---@param value table
---@return boolean
function table.isfrozen(value) end

---@param count integer
---@param value? any
---@return table
function table.create(count, value) end

---@param from table
---@param first integer
---@param last integer
---@param at integer
---@param to? table
---@return table
function table.move(from, first, last, at, to) end

---@param text string
---@param separator? string
---@return string[]
function string.split(text, separator) end

---@param format string
---@param ... any
---@return string
function string.pack(format, ...) end

---@param format string
---@return integer
function string.packsize(format) end

---@param format string
---@param data string
---@param from? integer
---@return any ...
function string.unpack(format, data, from) end

---@param value number
---@param low number
---@param high number
---@return number
function math.clamp(value, low, high) end

---@param value number
---@return number
function math.round(value) end

---@param value number
---@return number
function math.sign(value) end

---@param x number
---@param y? number
---@param z? number
---@return number
function math.noise(x, y, z) end

---@param from number
---@param to number
---@param part number
---@return number
function math.lerp(from, to, part) end

---@param value number
---@return boolean
function math.isnan(value) end

---@param value number
---@return boolean
function math.isinf(value) end

---@param value number
---@return boolean
function math.isfinite(value) end

---@param value number
---@param from_low number
---@param from_high number
---@param to_low number
---@param to_high number
---@return number
function math.map(value, from_low, from_high, to_low, to_high) end

---@type table<string, fun(...: any): any>
bit32 = {}

---@type table<string, any>
utf8 = {}

---@type table<string, fun(...: any): any>
buffer = {}

---@type table<string, any>
vector = {}

---@type table<string, any>
integer = {}

---@type number
math.e = 0

---@type number
math.sqrt2 = 0

---@type number
math.phi = 0

---@type number
math.tau = 0

---@type number
math.nan = 0
