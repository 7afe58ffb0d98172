//! A hardened Luau VM: what the language has here, and what was taken out of it.
//!
//! In: limits, and a function that puts the API in. Out: a VM whose libraries are read-only, whose memory is bounded and
//! whose every loop and call asks the meter. Must not know what the API does. Nothing here may be reached by `require`.

use std::rc::Rc;
use std::time::Duration;

use mlua::chunk::{Chunk, ChunkMode};
use mlua::{Lua, LuaOptions, LuaString, StdLib, Table, Value, Variadic};

use crate::config::resolved;

use super::meter::Meter;

/// What one generation of a script may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Memory of the VM, in bytes.
    pub(crate) memory: usize,
    /// CPU time of a handler.
    pub(crate) cpu: Duration,
    /// Wall time of one handler, awaiting included.
    pub(crate) wall: Duration,
    /// Wall time of a gate.
    pub(crate) gate_wall: Duration,
    /// CPU time of loading the file.
    pub(crate) load: Duration,
    /// How long a send may wait.
    pub(crate) patience: Duration,
}

impl Limits {
    /// The limits that the configuration gives to every script.
    pub(crate) fn of(scripts: &resolved::Scripts) -> Self {
        Self {
            memory: usize::try_from(scripts.memory).unwrap_or(usize::MAX),
            cpu: scripts.cpu,
            wall: scripts.wall,
            gate_wall: scripts.gate_wall,
            load: scripts.load,
            patience: scripts.patience,
        }
    }
}

/// Globals that are not there. `coroutine` goes because an awaiting call inside a script's own coroutine would hand it
/// values that are not its; `loadstring` because the compiler is not metered; the rest because it leads out of the sandbox.
const REMOVED: &[&str] = &[
    "io",
    "package",
    "debug",
    "loadstring",
    "collectgarbage",
    "getfenv",
    "setfenv",
    "newproxy",
    "coroutine",
    "gcinfo",
];

/// Functions of the standard library that work in C without asking the meter, for longer than the square root of what they
/// are given. The rest of the library was gone through: what is left unpatched takes one pass over at most the memory of the
/// VM (`rep`, `reverse`, `upper`, `concat`, `insert`, `clone`, `buffer.*`, `utf8.*`), which is some tens of milliseconds, and
/// a loop of such calls asks the meter at each turn; or it is bounded by the 8,000 slots that a C function has on the stack
/// (`format`, `unpack`, `byte`, `pack`).
///
/// - `find` without a pattern and `split`: quadratic in C, so they go through a search in linear time.
/// - patterns: each step asks the meter, but a repeated set is one step of text times pattern.
/// - `sort`: without a comparator, or with one of C's own, none of its comparisons asks.
/// - `foreach`, `foreachi`: with a function of C's own, none of its calls asks.
/// - `move`: goes through every number between two, whether there is an element or not.
/// - `date`: formats as often as its format says.
///
/// `clone` refuses tables whose metatable is protected, which those are that the API makes of JSON.
const PATCHES: &str = r#"
local plain_find, clone = ...
local find, match, gmatch, gsub, split, sub = string.find, string.match, string.gmatch, string.gsub, string.split, string.sub
local move, sort, date, next, type, tonumber, error = table.move, table.sort, os.date, next, type, tonumber, error

local function bounded(s, p)
  if type(s) == "string" and type(p) == "string" and #s * #p > 100000000 then
    error("a text of " .. #s .. " bytes and a pattern of " .. #p .. " are too long for each other", 3)
  end
end

string.find = function(s, p, init, plain)
  if type(s) == "string" and type(p) == "string" and (plain or not match(p, "[%^%$%*%+%?%.%(%)%[%]%%%-]")) then
    return plain_find(s, p, tonumber(init) or 1)
  end
  bounded(s, p)
  return find(s, p, init, plain)
end

string.match = function(s, p, init)
  bounded(s, p)
  return match(s, p, init)
end

string.gmatch = function(s, p)
  bounded(s, p)
  return gmatch(s, p)
end

string.gsub = function(s, p, ...)
  bounded(s, p)
  return gsub(s, p, ...)
end

string.split = function(s, separator)
  if type(s) ~= "string" or type(separator) ~= "string" or #separator < 2 then
    return split(s, separator)
  end
  local parts, count, from = {}, 0, 1
  while true do
    local first, last = plain_find(s, separator, from)
    count += 1
    if not first then
      parts[count] = sub(s, from)
      return parts
    end
    parts[count] = sub(s, from, first - 1)
    from = last + 1
  end
end

table.sort = function(t, before)
  if before == nil then
    return sort(t, function(a, b) return a < b end)
  elseif type(before) ~= "function" then
    return sort(t, before)
  end
  return sort(t, function(a, b) return before(a, b) end)
end

table.foreach = function(t, f)
  for key, value in next, t do
    local result = f(key, value)
    if result ~= nil then return result end
  end
  return nil
end

table.foreachi = function(t, f)
  for at = 1, #t do
    local result = f(at, t[at])
    if result ~= nil then return result end
  end
  return nil
end

table.move = function(a, f, e, t, ...)
  local first, last = tonumber(f), tonumber(e)
  if first and last and not (last - first <= 1000000) then
    error("table.move moves at most 1,000,000 elements", 2)
  end
  return move(a, f, e, t, ...)
end

table.clone = clone

os.date = function(format, ...)
  if type(format) == "string" and #format > 1000 then
    error("os.date takes a format of at most 1,000 bytes", 2)
  end
  return date(format, ...)
end
"#;

/// Coroutines kept for the next calls of handlers; making one for each call is a third of what an empty handler costs.
const COROUTINES: usize = 64;

/// Name of chunks of ours, as tracebacks show it; frames of this name are not the script's.
pub(crate) const OURS: &str = "[wharf]";

/// A chunk of a script, known in errors as `file`. Text only: nothing checks bytecode, and it can do anything.
pub(crate) fn chunk<'a>(lua: &Lua, text: &'a str, file: &str) -> Chunk<'a> {
    lua.load(text).set_name(format!("={file}")).set_mode(ChunkMode::Text)
}

/// A chunk of ours.
pub(crate) fn ours<'a>(lua: &Lua, text: &'a str) -> Chunk<'a> {
    chunk(lua, text, OURS)
}

/// Makes a VM. `install` puts the API into it, before the libraries become read-only.
///
/// # Errors
/// If the memory limit is too small for the libraries, or `install` fails.
pub(crate) fn build(
    limits: &Limits,
    meter: &Rc<Meter>,
    install: impl FnOnce(&Lua) -> mlua::Result<()>,
) -> mlua::Result<Lua> {
    let options = LuaOptions::new().catch_rust_panics(true).thread_pool_size(COROUTINES);
    let lua = Lua::new_with(StdLib::ALL_SAFE, options)?;
    lua.set_memory_limit(limits.memory)?;
    let find = lua.create_function(|_, (text, wanted, init): (LuaString, LuaString, f64)| {
        Ok(match find_plain(&text.as_bytes(), &wanted.as_bytes(), init) {
            Some((first, last)) => Variadic::from_iter([Some(first), Some(last)]),
            None => Variadic::from_iter([None]),
        })
    })?;
    let clone = lua.create_function(|lua, table: Table| {
        let copy = lua.create_table_with_capacity(table.raw_len(), 0)?;
        table.for_each(|key: Value, value: Value| copy.raw_set(key, value))?;
        // With what it knows of the JSON that it was: that it is a list, which names were null.
        copy.set_metatable(table.metatable())?;
        Ok(copy)
    })?;
    ours(&lua, PATCHES).call::<()>((find, clone))?;
    let globals = lua.globals();
    // The one that the library has reads any file; what is put in its place does not.
    globals.raw_remove("require")?;
    install(&lua)?;
    for name in REMOVED {
        globals.raw_remove(*name)?;
    }
    lua.sandbox(true)?;
    meter.install(&lua);
    Ok(lua)
}

/// `string.find` without a pattern, in linear time; positions as Lua counts them.
fn find_plain(text: &[u8], wanted: &[u8], init: f64) -> Option<(usize, usize)> {
    let length = text.len() as f64;
    let from = if init > 0.0 {
        init - 1.0
    } else {
        (length + init).max(0.0)
    };
    // Zero counts as one.
    let from = if init == 0.0 { 0.0 } else { from };
    if from > length {
        return None;
    }
    // Between 0 and the length of a slice, so the conversion is exact.
    let from = from as usize;
    let at = memchr::memmem::find(text.get(from..).unwrap_or_default(), wanted)?;
    Some((from + at + 1, from + at + wanted.len()))
}
