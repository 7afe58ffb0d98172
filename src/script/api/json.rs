//! `wharf.json`: JSON as text.

use mlua::Value;

use crate::script::run::Refusal;

use super::args::Args;
use super::{Body, Caller, Row, convert};

/// `json.*`
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "json.encode",
        signature: "(value: any) -> string",
        doc: "A value as JSON.",
        permission: None,
        body: Body::Now(encode),
    },
    Row {
        name: "json.decode",
        signature: "(text: string) -> any",
        doc: "JSON as a value; null becomes nil.",
        permission: None,
        body: Body::Now(decode),
    },
];

fn encode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let value = args.any();
    let text = args.json("the value", &value)?.to_string();
    caller
        .lua
        .create_string(text)
        .map(Value::String)
        .map_err(|error| args.refuse(&error.to_string()))
}

fn decode(caller: &Caller, mut args: Args) -> Result<Value, Refusal> {
    let text = args.text("the text")?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| args.refuse(&format!("this is not JSON: {error}")))?;
    convert::to_lua(&caller.lua, &json, false).map_err(|error| args.refuse(&error.to_string()))
}
