//! `wharf.log` and `print`.
//!
//! In: a text and fields. Out: a line for the [`World`](crate::script::world::World).

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Value};

use crate::script::run::Refusal;
use crate::script::world::{Level, LogLine};

use super::args::Args;
use super::{Body, Caller, Desk, Row, convert};

/// Bytes of one line; what is longer is cut.
const MAX_LINE: usize = 8 * 1024;
/// Bytes of text in the fields of a line.
const MAX_FIELDS: usize = 64 * 1024;

/// `log.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "log.debug",
        signature: "(text: string, fields: table?) -> ()",
        doc: "Logs what helps to find a mistake.",
        permission: None,
        body: Body::Now(|caller, args| write(caller, args, Level::Debug)),
    },
    Row {
        name: "log.info",
        signature: "(text: string, fields: table?) -> ()",
        doc: "Logs what happened; `print` does the same.",
        permission: None,
        body: Body::Now(|caller, args| write(caller, args, Level::Info)),
    },
    Row {
        name: "log.warn",
        signature: "(text: string, fields: table?) -> ()",
        doc: "Logs what should not happen.",
        permission: None,
        body: Body::Now(|caller, args| write(caller, args, Level::Warn)),
    },
    Row {
        name: "log.error",
        signature: "(text: string, fields: table?) -> ()",
        doc: "Logs what went wrong.",
        permission: None,
        body: Body::Now(|caller, args| write(caller, args, Level::Error)),
    },
];

fn write(caller: &Caller, mut args: Args, level: Level) -> Result<Value, Refusal> {
    let text = match args.any() {
        Value::Nil => return Err(args.refuse("there is no text")),
        value => shown(&value).map_err(|error| args.refuse(&error.to_string()))?,
    };
    let fields = match args.any() {
        Value::Nil => serde_json::Map::new(),
        value => match convert::to_json_masked(&value, MAX_FIELDS)
            .map_err(|text| args.refuse(&format!("the fields: {text}")))?
        {
            serde_json::Value::Object(fields) => fields,
            _ => return Err(args.refuse("the fields must be a table with names")),
        },
    };
    line(&caller.desk, level, text, fields);
    Ok(Value::Nil)
}

/// The beginning of a value's text, no more than a line holds: a long one is not copied out of the VM.
fn shown(value: &Value) -> mlua::Result<String> {
    let mut text = match value {
        Value::String(text) => {
            let bytes = text.as_bytes();
            String::from_utf8_lossy(bytes.get(..MAX_LINE).unwrap_or(&bytes)).into_owned()
        }
        other => other.to_string()?,
    };
    text.truncate(text.floor_char_boundary(MAX_LINE));
    Ok(text)
}

fn line(desk: &Rc<Desk>, level: Level, mut text: String, fields: serde_json::Map<String, serde_json::Value>) {
    text.truncate(text.floor_char_boundary(MAX_LINE));
    let event = desk.current().map(|run| {
        let chat = run.event().and_then(|event| event.chat()).map(str::to_owned);
        (run.id().to_owned(), chat)
    });
    desk.world().log(LogLine {
        level,
        text,
        fields,
        event,
    });
}

/// `print`, whose arguments become one line.
pub(crate) fn print(lua: &Lua, desk: &Rc<Desk>) -> mlua::Result<Function> {
    let desk = Rc::downgrade(desk);
    lua.create_function(move |_, values: MultiValue| {
        let mut text = String::new();
        for (at, value) in values.iter().enumerate() {
            if text.len() > MAX_LINE {
                break;
            }
            if at > 0 {
                text.push('\t');
            }
            text.push_str(&shown(value)?);
        }
        if let Some(desk) = desk.upgrade() {
            line(&desk, Level::Info, text, serde_json::Map::new());
        }
        Ok(())
    })
}
