//! The Lua API: one table of all its functions, from which they are installed, listed and documented.
//!
//! In: calls of a script. Out: calls of the run at work and of the [`World`]. Each module of the API is a file with a table
//! [`Row`]s; [`rows`] puts them together. Functions look synchronous; those that wait yield to the runtime inside.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use mlua::{Function, IntoLua, Lua, MultiValue, Table, Value};
use serde_json::Map;

use crate::action::{Failure, FailureKind};
use crate::event::Kind;

use super::error::{suggestion, to_lua};
use super::filter::Filter;
use super::generation::Registered;
use super::library::Libraries;
use super::manifest::API;
use super::meter::Meter;
use super::permissions::Permissions;
use super::run::{Refusal, Run};
use super::timer::Timers;
use super::vm::ours;
use super::world::World;
use args::Args;
use branch::Current;
use require::Required;

pub(crate) mod account;
pub(crate) mod args;
pub(crate) mod branch;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod crypto;
pub(crate) mod event;
pub(crate) mod json;
pub(crate) mod kv;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod on;
pub(crate) mod require;
pub(crate) mod secret;
pub(crate) mod time;
pub(crate) mod timer;
pub(crate) mod webhook;

/// One entry of the API.
pub(crate) struct Row {
    /// `on`, `kv.get`; `message:reply` for a method of an object, `_G.require` for a global.
    pub(crate) name: &'static str,
    /// Parameters and results in Luau's notation: `(key: string) -> any`.
    pub(crate) signature: &'static str,
    /// What it does, in one line.
    pub(crate) doc: &'static str,
    /// What of `[permissions]` a plugin must declare for it: the list, or the list with the entry.
    pub(crate) permission: Option<&'static str>,
    /// What it is.
    pub(crate) body: Body,
}

/// What an entry of the API is.
pub(crate) enum Body {
    /// A function that answers at once.
    Now(fn(&Caller, Args) -> Result<Value, Refusal>),
    /// A function that may wait.
    Later(fn(Caller, Args) -> LocalBoxFuture<'static, Result<Value, Refusal>>),
    /// A value that is made when the file is loaded.
    Value(fn(&Lua, &Map<String, serde_json::Value>) -> mlua::Result<Value>),
}

/// Every entry of the API, in the order of the reference page.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        on::ROWS,
        event::ROWS,
        account::ROWS,
        webhook::ROWS,
        kv::ROWS,
        log::ROWS,
        config::ROWS,
        branch::ROWS,
        timer::ROWS,
        later::ROWS,
        require::ROWS,
        secret::ROWS,
        time::ROWS,
        json::ROWS,
        crypto::ROWS,
        ROWS,
    ]
    .into_iter()
    .flatten()
}

const ROWS: &[Row] = &[
    Row {
        name: "version",
        signature: "string",
        doc: "The version of wharf.",
        permission: None,
        body: Body::Value(|lua, _| lua.create_string(env!("CARGO_PKG_VERSION")).map(Value::String)),
    },
    Row {
        name: "api",
        signature: "number",
        doc: "The version of this API, as `api` in plugin.toml.",
        permission: None,
        body: Body::Value(|_, _| Ok(Value::Number(f64::from(API)))),
    },
];

/// What the functions of one VM share.
pub(crate) struct Desk {
    meter: Rc<Meter>,
    world: Rc<dyn World>,
    permissions: Permissions,
    timers: Rc<Timers>,
    required: Required,
    current: RefCell<Option<Current>>,
    loading: Cell<bool>,
    /// Whether the function of `kv.update` is at work, which may neither wait nor write.
    pure: Cell<bool>,
    registered: RefCell<Registered>,
    objects: OnceCell<Objects>,
}

/// Tables of a VM that objects refer to.
struct Objects {
    methods: HashMap<&'static str, Table>,
    #[cfg(test)]
    root: Table,
    #[cfg(test)]
    modules: HashMap<&'static str, Table>,
    stop: Table,
    /// The language's own, as it was before a script could touch it.
    pcall: Function,
}

/// Who calls: the VM, and the run at work in it.
#[derive(Clone)]
pub(crate) struct Caller {
    /// The VM.
    pub(crate) lua: Lua,
    /// What its functions share.
    pub(crate) desk: Rc<Desk>,
    name: &'static str,
    current: Option<Current>,
}

impl Caller {
    /// The run at work.
    ///
    /// # Errors
    /// While the file loads there is none.
    pub(crate) fn run(&self) -> Result<&Rc<Run>, Refusal> {
        self.current().map(|current| &current.run)
    }

    /// The run at work, with the branch of it that calls.
    ///
    /// # Errors
    /// As [`Caller::run`].
    pub(crate) fn current(&self) -> Result<&Current, Refusal> {
        if self.desk.pure.get() {
            return Err(Refusal::Misuse(self.not_pure()));
        }
        let words = || {
            Refusal::Misuse(format!(
                "{} works in handlers only, not while the file loads",
                self.name
            ))
        };
        self.current.as_ref().ok_or_else(words)
    }

    fn not_pure(&self) -> String {
        format!(
            "{} does not work in the function of kv.update, which may run again",
            self.name
        )
    }

    /// Calls a function of the script that must not wait and not write, from a function that is metered itself.
    ///
    /// # Errors
    /// What it raised, as it is.
    #[expect(clippy::disallowed_methods, reason = "within a metered call")]
    pub(crate) fn call_pure(lua: &Lua, desk: &Desk, function: &Function, argument: Value) -> Result<Value, Refusal> {
        let says = |error: mlua::Error| Refusal::Misuse(error.to_string());
        let pcall = desk.pcall()?;
        let outer = desk.pure.replace(true);
        let called = pcall.call::<(bool, Value)>((function, argument));
        desk.pure.set(outer);
        match called {
            Ok((true, value)) => Ok(value),
            Ok((false, raised)) => Err(Refusal::Raised(raised)),
            Err(error) => Err(Refusal::Raised(error.into_lua(lua).map_err(says)?)),
        }
    }
}

/// A refusal because the manifest does not declare it.
pub(crate) fn not_permitted(message: String) -> Refusal {
    Refusal::Failed(Failure {
        kind: FailureKind::NotPermitted,
        message,
        account: None,
    })
}

impl Desk {
    /// The desk of a VM that loads its file now.
    pub(crate) fn new(meter: Rc<Meter>, world: Rc<dyn World>, permissions: Permissions, libraries: Libraries) -> Self {
        Self {
            meter,
            world,
            permissions,
            timers: Rc::default(),
            required: Required::new(libraries),
            current: RefCell::default(),
            loading: Cell::new(true),
            pure: Cell::new(false),
            registered: RefCell::default(),
            objects: OnceCell::new(),
        }
    }

    /// The VM's meter.
    pub(crate) fn meter(&self) -> &Rc<Meter> {
        &self.meter
    }

    /// What stands behind the API.
    pub(crate) fn world(&self) -> &Rc<dyn World> {
        &self.world
    }

    /// What the script may do.
    pub(crate) fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// What it has required, and can.
    pub(crate) fn required(&self) -> &Required {
        &self.required
    }

    /// The timers of the generation.
    pub(crate) fn timers(&self) -> &Rc<Timers> {
        &self.timers
    }

    /// The file has loaded: takes what it registered.
    pub(crate) fn close_registration(&self) -> Registered {
        self.loading.set(false);
        self.registered.take()
    }

    /// Whether the file still loads.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.get()
    }

    /// Handlers and gates that the file has registered so far.
    pub(crate) fn registered(&self) -> usize {
        self.registered.borrow().len()
    }

    /// Keeps what the file registers.
    pub(crate) fn register(&self, event: Kind, filter: Filter, function: Function, gate: bool) {
        self.registered.borrow_mut().add(event, filter, function, gate);
    }

    /// The run at work; `None` while the file loads.
    pub(crate) fn current(&self) -> Option<Rc<Run>> {
        self.current.borrow().as_ref().map(|current| Rc::clone(&current.run))
    }

    /// Makes `current` the one at work whenever `work` runs.
    pub(crate) fn within<F: Future>(
        self: &Rc<Self>,
        current: &Current,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        let (desk, current) = (Rc::clone(self), current.clone());
        let mut work = Box::pin(work);
        std::future::poll_fn(move |cx| {
            let outer = desk.current.replace(Some(current.clone()));
            let polled = work.as_mut().poll(cx);
            desk.current.replace(outer);
            polled
        })
    }

    /// Whether a handler returned `wharf.stop`.
    pub(crate) fn is_stop(&self, value: &Value) -> bool {
        matches!((value, self.objects.get()), (Value::Table(table), Some(objects)) if *table == objects.stop)
    }

    /// The language's own `pcall`, as it was before a script could touch it.
    pub(crate) fn pcall(&self) -> Result<&Function, Refusal> {
        let objects = self.objects.get();
        objects
            .map(|objects| &objects.pcall)
            .ok_or_else(|| Refusal::Misuse(gone().to_string()))
    }

    /// The methods of a kind of object.
    pub(crate) fn methods(&self, object: &str) -> Option<&Table> {
        self.objects.get()?.methods.get(object)
    }
}

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

fn gone() -> mlua::Error {
    mlua::Error::runtime("the script has been unloaded")
}

#[expect(clippy::disallowed_methods, reason = "our own chunk, before any code of a script")]
fn wrapped(wrap: &Function, raw: Function) -> mlua::Result<Function> {
    wrap.call(raw)
}
