//! The Lua API: one table of all its functions, from which they are installed, listed and documented.
//!
//! In: calls of a script. Out: calls of the run at work and of the [`World`]. Each module of the API is a file with a table
//! [`Row`]s; [`rows`] puts them together. Functions look synchronous; those that wait yield to the runtime inside.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures::future::LocalBoxFuture;
use mlua::{Function, IntoLua, Lua, Table, Value};
use serde_json::Map;

use crate::action::{Failure, FailureKind};
use crate::event::Kind;

use super::filter::Filter;
use super::generation::Registered;
use super::library::Libraries;
use super::manifest::API;
use super::meter::Meter;
use super::permissions::{List, Permissions};
use super::run::{Refusal, Run};
use super::timer::Timers;
use super::world::World;
use args::Args;
use branch::Current;
use install::gone;
pub(crate) use install::install;
#[cfg(test)]
pub(crate) use install::installed;
use require::Required;

pub(crate) mod account;
pub(crate) mod acts;
pub(crate) mod args;
pub(crate) mod branch;
pub(crate) mod config;
pub(crate) mod content;
pub(crate) mod convert;
pub(crate) mod crypto;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod http;
mod install;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod kv;
pub(crate) mod later;
pub(crate) mod log;
pub(crate) mod looks;
pub(crate) mod on;
pub(crate) mod require;
pub(crate) mod secret;
pub(crate) mod state;
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
        acts::ROWS,
        looks::ROWS,
        file::ROWS,
        http::ROWS,
        webhook::ROWS,
        journal::ROWS,
        kv::ROWS,
        log::ROWS,
        config::ROWS,
        branch::ROWS,
        timer::ROWS,
        later::ROWS,
        require::ROWS,
        secret::ROWS,
        state::ROWS,
        time::ROWS,
        json::ROWS,
        crypto::ROWS,
        ROWS,
    ]
    .into_iter()
    .flatten()
}

/// The names of an object's methods.
pub(crate) fn methods_of(object: &str) -> impl Iterator<Item = &'static str> {
    rows().filter_map(move |row| {
        let (of, method) = row.name.split_once(':')?;
        (of == object).then_some(method)
    })
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
    /// What is called before the next version is put in force.
    hooks: RefCell<Vec<Function>>,
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
    state: Table,
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
                "{} works in handlers only, not {}",
                self.name,
                match self.desk.is_loading() {
                    true => "while the file loads",
                    false => "before a reload",
                }
            ))
        };
        self.current.as_ref().ok_or_else(words)
    }

    /// Whether the manifest declares what the call needs.
    ///
    /// # Errors
    /// `not_permitted`, with the line to add to `plugin.toml`.
    pub(crate) fn must_declare(&self, list: List, name: &str) -> Result<(), Refusal> {
        let may = self.desk.permissions();
        match may.allows(list, name) {
            true => Ok(()),
            false => Err(not_permitted(may.undeclared(list, name))),
        }
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

/// The actions that a manifest can declare.
pub(crate) fn actions() -> impl Iterator<Item = &'static str> {
    let declared = rows().filter_map(|row| row.permission);
    declared.filter_map(|permission| permission.strip_prefix("actions = [\"")?.strip_suffix("\"]"))
}

/// A refusal because the manifest does not declare it; [`Caller::must_declare`] makes the words.
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
            hooks: RefCell::default(),
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

    /// What is called before the next version is put in force.
    pub(crate) fn hooks(&self) -> Vec<Function> {
        self.hooks.borrow().clone()
    }

    /// Adds to [`Desk::hooks`].
    pub(crate) fn add_hook(&self, function: Function) {
        self.hooks.borrow_mut().push(function);
    }

    /// `wharf.state`
    pub(crate) fn state(&self) -> Option<&Table> {
        self.objects.get().map(|objects| &objects.state)
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
