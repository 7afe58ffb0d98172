//! Puts the API into a VM: strict tables of functions that raise with the line of the script.
//!
//! In: the rows. Out: the global `wharf`, and `print` and `require`. Must not know what a function does.

use std::collections::HashMap;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use mlua::{Function, Lua, MultiValue, Table, Value};
use serde_json::Map;

use crate::script::error::{suggestion, to_lua};
use crate::script::run::Refusal;
use crate::script::vm::ours;

use super::args::Args;
use super::{Body, Caller, Desk, Objects, log, rows};

/// Raises what a function refused, with the line of the script that called it.
const WRAP: &str = r#"
local raw = ...
return function(...)
  local ok, value, level = raw(...)
  if ok then return value end
  error(value, level)
end
"#;

/// Answers a name that a strict table does not have.
const STRICT: &str = r#"
local fields, missing = ...
return setmetatable({}, {
  __index = function(_, name)
    local value = fields[name]
    if value == nil then error(missing(name), 2) end
    return value
  end,
  __newindex = function(_, name)
    error("wharf is read-only: '" .. tostring(name) .. "' cannot be set", 2)
  end,
  __metatable = "wharf",
})
"#;

const FAILURE: &str = r#"
return { __tostring = function(failure) return failure.message end, __metatable = "wharf.failure" }
"#;

/// Puts the API into a VM: the global `wharf`, and `print`.
pub(crate) fn install(lua: &Lua, desk: &Rc<Desk>, config: &Map<String, serde_json::Value>) -> mlua::Result<()> {
    let wrap = ours(lua, WRAP).into_function()?;
    let failure: Table = ours(lua, FAILURE).call(())?;
    let failure = Rc::new(failure);
    let stop = lua.create_table()?;
    stop.set_readonly(true);
    let root = lua.create_table()?;
    root.raw_set("stop", stop.clone())?;
    let state = lua.create_table()?;
    root.raw_set("state", state.clone())?;
    let mut modules: HashMap<&'static str, Table> = HashMap::new();
    let mut methods: HashMap<&str, Table> = HashMap::new();
    for row in rows() {
        let (table, name) = if let Some(name) = row.name.strip_prefix("_G.") {
            (lua.globals(), name)
        } else if let Some((object, name)) = row.name.split_once(':') {
            (child(lua, &mut methods, object)?, name)
        } else if let Some((module, name)) = row.name.split_once('.') {
            (child(lua, &mut modules, module)?, name)
        } else {
            (root.clone(), row.name)
        };
        let shown = row.name.strip_prefix("_G.").unwrap_or(row.name);
        let value = match &row.body {
            Body::Value(make) => make(lua, config)?,
            Body::Now(body) => Value::Function(now(lua, desk, &wrap, &failure, shown, *body)?),
            Body::Later(body) => Value::Function(later(lua, desk, &wrap, &failure, shown, *body)?),
        };
        if !value.is_nil() {
            table.raw_set(name, value)?;
        }
    }
    for (name, fields) in &modules {
        root.raw_set(*name, strict(lua, &format!("wharf.{name}"), fields)?)?;
    }
    for table in methods.values() {
        table.set_readonly(true);
    }
    lua.globals().raw_set("wharf", strict(lua, "wharf", &root)?)?;
    lua.globals().raw_set("print", log::print(lua, desk)?)?;
    let pcall = lua.globals().raw_get("pcall")?;
    let objects = Objects {
        methods,
        #[cfg(test)]
        root,
        #[cfg(test)]
        modules,
        stop,
        state,
        pcall,
    };
    desk.objects.set(objects).ok();
    Ok(())
}

fn child<'a>(lua: &Lua, tables: &mut HashMap<&'a str, Table>, name: &'a str) -> mlua::Result<Table> {
    if let Some(table) = tables.get(name) {
        return Ok(table.clone());
    }
    let table = lua.create_table()?;
    tables.insert(name, table.clone());
    Ok(table)
}

/// A table that names what it does not have.
fn strict(lua: &Lua, title: &str, fields: &Table) -> mlua::Result<Table> {
    let mut known: Vec<String> = Vec::new();
    fields.for_each(|name: String, _: Value| {
        known.push(name);
        Ok(())
    })?;
    let title = title.to_owned();
    let missing = lua.create_function(move |_, name: Value| {
        let name = name.to_string().unwrap_or_default();
        let hint = suggestion(&name, known.iter().map(String::as_str));
        Ok(format!("{title} has no '{name}'{hint}"))
    })?;
    let table: Table = ours(lua, STRICT).call((fields.clone(), missing))?;
    table.set_readonly(true);
    Ok(table)
}

fn caller(lua: &Lua, desk: &Rc<Desk>, name: &'static str) -> Caller {
    Caller {
        lua: lua.clone(),
        desk: Rc::clone(desk),
        name,
        current: desk.current.borrow().clone(),
    }
}

/// `true` and the value; or `false`, what is to be raised, and whose line it names: 2 is the caller's, 0 what it has.
fn answer(lua: &Lua, result: Result<Value, Refusal>, failure: &Rc<Table>) -> mlua::Result<(bool, Value, u8)> {
    match result {
        Ok(value) => Ok((true, value, 2)),
        Err(Refusal::Misuse(text)) => Ok((false, Value::String(lua.create_string(text)?), 2)),
        Err(Refusal::Failed(cause)) => Ok((false, to_lua(lua, &cause, failure)?, 2)),
        Err(Refusal::Raised(value)) => Ok((false, value, 0)),
    }
}

fn now(
    lua: &Lua,
    desk: &Rc<Desk>,
    wrap: &Function,
    failure: &Rc<Table>,
    name: &'static str,
    body: fn(&Caller, Args) -> Result<Value, Refusal>,
) -> mlua::Result<Function> {
    let (desk, failure) = (Rc::downgrade(desk), Rc::clone(failure));
    let raw = lua.create_function(move |lua, values: MultiValue| {
        let desk = desk.upgrade().ok_or_else(gone)?;
        let result = body(&caller(lua, &desk, name), Args::new(name, values));
        answer(lua, result, &failure)
    })?;
    wrapped(wrap, raw)
}

fn later(
    lua: &Lua,
    desk: &Rc<Desk>,
    wrap: &Function,
    failure: &Rc<Table>,
    name: &'static str,
    body: fn(Caller, Args) -> LocalBoxFuture<'static, Result<Value, Refusal>>,
) -> mlua::Result<Function> {
    let (desk, failure) = (Rc::downgrade(desk), Rc::clone(failure));
    let raw = lua.create_async_function(move |lua, values: MultiValue| {
        let started = desk.upgrade().map(|desk| {
            let caller = caller(&lua, &desk, name);
            match desk.pure.get() {
                // Refused before it can wait: Lua cannot go on with what waits inside a function of Rust.
                true => std::future::ready(Err(Refusal::Misuse(caller.not_pure()))).boxed_local(),
                false => body(caller, Args::new(name, values)),
            }
        });
        let failure = Rc::clone(&failure);
        async move {
            let result = started.ok_or_else(gone)?.await;
            answer(&lua, result, &failure)
        }
    })?;
    wrapped(wrap, raw)
}

/// Names of functions and values in a VM, as rows name them; of objects their methods.
#[cfg(test)]
pub(crate) fn installed(lua: &Lua, desk: &Desk) -> mlua::Result<Vec<String>> {
    let mut found = Vec::new();
    let objects = desk.objects.get().ok_or_else(gone)?;
    for (object, table) in &objects.methods {
        table.for_each(|name: String, _: Value| {
            found.push(format!("{object}:{name}"));
            Ok(())
        })?;
    }
    objects.root.for_each(|name: String, value: Value| {
        let Some(fields) = objects.modules.get(name.as_str()) else {
            found.push(name);
            return Ok(());
        };
        drop(value);
        fields.for_each(|field: String, _: Value| {
            found.push(format!("{name}.{field}"));
            Ok(())
        })
    })?;
    for row in rows() {
        if let Some(name) = row.name.strip_prefix("_G.")
            && lua.globals().get::<Value>(name)?.is_function()
        {
            found.push(row.name.to_owned());
        }
    }
    Ok(found)
}

pub(super) fn gone() -> mlua::Error {
    mlua::Error::runtime("the script has been unloaded")
}

#[expect(clippy::disallowed_methods, reason = "our own chunk, before any code of a script")]
fn wrapped(wrap: &Function, raw: Function) -> mlua::Result<Function> {
    wrap.call(raw)
}
