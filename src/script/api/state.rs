//! `wharf.state` and `wharf.on_reload`: what a version of a script leaves to the next one.
//!
//! In: a table that handlers fill, functions that are called before a reload. Out: the same values in the next version, as far
//! as JSON can hold them. Nothing is kept on disk: what must survive a restart is `kv`.

use mlua::Value;

use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Row};

/// Functions that are called before a reload.
const MAX_HOOKS: usize = 100;

/// `state`, `on_reload`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "state",
        signature: "table",
        doc: "A table that the next version of the script gets when it is put in force; values that JSON can hold. Not kept over a restart.",
        permission: None,
        // Made by `install`, which must know it again.
        body: Body::Value(|_, _| Ok(Value::Nil)),
    },
    Row {
        name: "on_reload",
        signature: "(fn: () -> ()) -> ()",
        doc: "Calls a function before the next version is put in force, to fill `state`; if it raises, the new version is refused.",
        permission: None,
        body: Body::Now(on_reload),
    },
];

fn on_reload(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    if !caller.desk.is_loading() {
        return Err(args.refuse("it is called while the file loads, not later"));
    }
    let function = args.function("what is called")?;
    if caller.desk.hooks().len() >= MAX_HOOKS {
        return Err(args.refuse(&format!("more than {MAX_HOOKS} functions")));
    }
    caller.desk.add_hook(function);
    Ok(Value::Nil)
}
