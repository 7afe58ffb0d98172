//! `wharf.later`: a durable reminder.
//!
//! In: a time, a name, data. Out: a job, committed with the run, which arrives as the event `job.NAME` of this script. Must not
//! be used for what only this version of the script should do: that is `wharf.after`.

use std::time::Duration;

use mlua::Value;

use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Row};

/// The longest wait.
const LONGEST: Duration = Duration::from_secs(5 * 366 * 24 * 60 * 60);
/// Bytes of a job's name.
const MAX_NAME: usize = 64;

/// `later`
pub(crate) const ROWS: &[Row] = &[Row {
    name: "later",
    signature: "(wait: string | number, name: string, data: table?) -> ()",
    doc: "Sends this script the event `job.NAME` after a time such as \"2d\", with the data as its fields; survives restarts and reloads.",
    permission: None,
    body: Body::Now(later),
}];

fn later(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let run = caller.run()?;
    let wait = args.any();
    let wait = match args.duration("the time", &wait)? {
        Some(wait) if wait <= LONGEST => wait,
        Some(_) => return Err(args.refuse("the time is longer than five years")),
        None => return Err(args.refuse("a time such as \"2h\" comes first")),
    };
    let name = args.text("the name")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(plain) {
        return Err(args.refuse(&format!(
            "the name has 1 to {MAX_NAME} letters, digits, `_`, `-` and `.`, as in \"follow_up\""
        )));
    }
    let value = args.any();
    let data = match args.json("the data", &value)? {
        serde_json::Value::Null => serde_json::Map::new(),
        serde_json::Value::Object(data) => data,
        serde_json::Value::Array(list) if list.is_empty() => serde_json::Map::new(),
        _ => return Err(args.refuse("the data must be a table with names, which become fields of the event")),
    };
    run.later(wait, name, data)?;
    Ok(Value::Nil)
}
