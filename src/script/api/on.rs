//! `wharf.on` and `wharf.gate`: registering, while the file loads.
//!
//! In: an event's name, a filter, a function. Out: an entry in the VM's list of handlers, which is closed once the file has
//! loaded.

use mlua::Value;

use crate::event::{Kind, names};
use crate::script::error::suggestion;
use crate::script::filter::Filter;
use crate::script::permissions::List;
use crate::script::run::Refusal;

use super::args::{Args, kind};
use super::{Body, Caller, Row};

/// Bytes of text in a filter. Filters lie outside the memory of the VM.
const MAX_FILTER: usize = 16 * 1024;
/// Handlers and gates of one script; each is asked about each event.
const MAX_HANDLERS: usize = 1000;

/// `on`, `gate`, `stop`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "on",
        signature: "(event: string, filter: table | handler, handler: ((event) -> ())?) -> ()",
        doc: "Calls the handler for each event of that name that passes the filter.",
        permission: Some("events"),
        body: Body::Now(|caller, args| register(caller, args, false)),
    },
    Row {
        name: "gate",
        signature: "(event: string, filter: table | handler, handler: ((event) -> any)?) -> ()",
        doc: "As `on`, but before all handlers of all scripts; returning `wharf.stop` ends the event.",
        permission: Some("events"),
        body: Body::Now(|caller, args| register(caller, args, true)),
    },
    Row {
        name: "stop",
        signature: "stop",
        doc: "What a gate returns to keep the event from all handlers.",
        permission: None,
        // Made by `install`, which must know it again.
        body: Body::Value(|_, _| Ok(Value::Nil)),
    },
];

fn register(caller: &Caller, mut args: Args, gate: bool) -> Result<Value, Refusal> {
    if !caller.desk.is_loading() {
        return Err(args.refuse("handlers are registered while the file loads, not later"));
    }
    let name = args.text("the event")?;
    let Some(event) = Kind::parse(&name) else {
        let hint = suggestion(&name, names());
        return Err(args.refuse(&format!("no event '{name}'{hint}")));
    };
    let (filter, handler) = match args.any() {
        Value::Function(handler) => (Filter::default(), Value::Function(handler)),
        filter @ Value::Table(_) => {
            let json = args.json_within("the filter", &filter, MAX_FILTER)?;
            (Filter::parse(&json).map_err(|text| args.refuse(&text))?, args.any())
        }
        other => return Err(args.refuse(&format!("a function or a filter comes second, not {}", kind(&other)))),
    };
    let Value::Function(handler) = handler else {
        return Err(args.refuse(&format!("the handler must be a function, not {}", kind(&handler))));
    };
    // Jobs are its own: nobody else hears of them.
    if !matches!(event, Kind::Job(_)) {
        caller.must_declare(List::Events, &name)?;
    }
    if caller.desk.registered() >= MAX_HANDLERS {
        return Err(args.refuse(&format!("more than {MAX_HANDLERS} handlers in one script")));
    }
    caller.desk.register(event, filter, handler, gate);
    Ok(Value::Nil)
}
