//! A hardened Luau VM: what the language has here, and what was taken out of it.
//!
//! In: limits, and a function that puts the API in. Out: a VM whose libraries are read-only, whose memory is bounded and
//! whose every loop and call asks the meter. Must not know what the API does. Nothing here may be reached by `require`.

use std::rc::Rc;
use std::time::Duration;

use mlua::{Lua, LuaOptions, LuaString, StdLib, Variadic};

use crate::config::resolved;

use super::meter::Meter;

/// What one generation of a script may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Memory of the VM, in bytes.
    pub(crate) memory: usize,
    /// CPU time of a handler.
    pub(crate) cpu: Duration,
    /// Wall time of all handlers of an event.
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
    "require",
    "coroutine",
    "gcinfo",
];

/// Three functions of the standard library work in C for as long as their arguments say, where no meter is asked.
const PATCHES: &str = r#"
local plain_find = ...
local find, move, match, type, tonumber, error = string.find, table.move, string.match, type, tonumber, error

table.move = function(a, f, e, t, ...)
  local first, last = tonumber(f), tonumber(e)
  if first and last and not (last - first <= 1000000) then
    error("table.move moves at most 1,000,000 elements", 2)
  end
  return move(a, f, e, t, ...)
end

string.find = function(s, p, init, plain)
  if type(s) == "string" and type(p) == "string" and (plain or not match(p, "[%^%$%*%+%?%.%(%)%[%]%%%-]")) then
    return plain_find(s, p, tonumber(init) or 1)
  end
  return find(s, p, init, plain)
end
"#;

/// Bytes from which a plain find takes so long that the clock is read after it.
const LONG_TEXT: usize = 64 * 1024;

/// Name of chunks of ours, as tracebacks show it; frames of this name are not the script's.
pub(crate) const OURS: &str = "[wharf]";

/// Makes a VM. `install` puts the API into it, before the libraries become read-only.
///
/// # Errors
/// If the memory limit is too small for the libraries, or `install` fails.
pub(crate) fn build(
    limits: &Limits,
    meter: &Rc<Meter>,
    install: impl FnOnce(&Lua) -> mlua::Result<()>,
) -> mlua::Result<Lua> {
    let lua = Lua::new_with(StdLib::ALL_SAFE, LuaOptions::new().catch_rust_panics(true))?;
    lua.set_memory_limit(limits.memory)?;
    let watched = Rc::clone(meter);
    let find = lua.create_function(move |_, (text, wanted, init): (LuaString, LuaString, f64)| {
        if text.as_bytes().len() > LONG_TEXT {
            watched.look();
        }
        Ok(match find_plain(&text.as_bytes(), &wanted.as_bytes(), init) {
            Some((first, last)) => Variadic::from_iter([Some(first), Some(last)]),
            None => Variadic::from_iter([None]),
        })
    })?;
    lua.load(PATCHES).set_name(format!("={OURS}")).call::<()>(find)?;
    install(&lua)?;
    let globals = lua.globals();
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
