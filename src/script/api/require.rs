//! `require`: other files of the script's own folder.
//!
//! In: a literal path. Out: what the file returned, the same for all who ask within a generation. The texts were read with the
//! script's own ([`crate::script::library`]). Must not read a file.

use std::cell::RefCell;
use std::collections::HashMap;

use mlua::{Function, Value};

use crate::script::library::{Libraries, path_of};
use crate::script::run::Refusal;
use crate::script::vm;

use super::args::Args;
use super::{Body, Caller, Row};

/// `require`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "_G.require",
    signature: "(path: string) -> any",
    doc: "What another file of the script's own folder returns, as in `require(\"./lib/menu\")`; each is run once. `require(\"./lib/*\")` is a table of what all files of a folder return, by their names. While the file loads.",
    permission: None,
    body: Body::Now(require),
}];

/// The libraries of a generation.
#[derive(Default)]
pub(crate) struct Required {
    texts: Libraries,
    values: RefCell<HashMap<String, Value>>,
    /// Those that are being run, the outermost first.
    running: RefCell<Vec<String>>,
}

impl Required {
    /// Those that were read with the script.
    pub(crate) fn new(texts: Libraries) -> Self {
        Self {
            texts,
            ..Self::default()
        }
    }
}

fn require(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let name = args.text("the path")?;
    let path = path_of(&name).map_err(|text| args.refuse(&text))?;
    let required = caller.desk.required();
    if let Some(value) = required.values.borrow().get(&path) {
        return Ok(value.clone());
    }
    if !caller.desk.is_loading() {
        return Err(args.refuse("files are required while the script loads, not later"));
    }
    let running = required.running.borrow().clone();
    if running.contains(&path) {
        let circle = running.iter().skip_while(|other| **other != path);
        let circle: Vec<String> = circle.chain([&path]).map(|path| format!("./{path}")).collect();
        return Err(args.refuse(&format!("these require each other: {}", circle.join(" > "))));
    }
    let library = match required.texts.get(&path) {
        Some(Ok(library)) => library,
        Some(Err(reason)) => return Err(args.refuse(reason)),
        None => return Err(args.refuse("the path must be written out, as in require(\"./lib/menu\")")),
    };
    let raised = |text: String| match caller.lua.create_string(text) {
        Ok(text) => Refusal::Raised(Value::String(text)),
        Err(error) => args.refuse(&error.to_string()),
    };
    let chunk = vm::chunk(&caller.lua, &library.text, &library.file).into_function();
    let chunk = chunk.map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => raised(message),
        other => raised(other.to_string()),
    })?;
    required.running.borrow_mut().push(path.clone());
    let value = run(caller, &chunk);
    required.running.borrow_mut().pop();
    let value = value?;
    required.values.borrow_mut().insert(path, value.clone());
    Ok(value)
}

#[expect(clippy::disallowed_methods, reason = "within the metered load of the file")]
fn run(caller: &Caller, chunk: &Function) -> Result<Value, Refusal> {
    let called = caller.desk.pcall()?.call::<(bool, Value)>(chunk);
    match called.map_err(|error| Refusal::Misuse(error.to_string()))? {
        (true, value) => Ok(value),
        (false, raised) => Err(Refusal::Raised(raised)),
    }
}
