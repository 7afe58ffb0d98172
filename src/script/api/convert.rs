//! JSON to Lua and back.
//!
//! In: values of either side. Out: values of the other. An object that had a `null` keeps the knowledge, and an array that it
//! is one, so that what goes to Lua and back is the same JSON. Must not run a script's code: metamethods are not called.

use mlua::{Lua, LuaString, Table, Value};
use serde_json::{Map, Value as Json};

use crate::script::run::number;

use super::args::kind;
use super::event::EventObject;
use super::secret::{Hidden, SHOWN};

/// How deep tables may be nested; also ends a table that holds itself.
const MAX_DEPTH: usize = 64;
/// Values in one conversion, so that a small table cannot grow to a large text by sharing its parts.
const MAX_VALUES: usize = 100_000;
/// Bytes of text in one conversion, and of JSON that is read: four times what a delivery can have. They lie outside the
/// memory of the VM, which is why they are counted before they are copied.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

/// Metatable field with the names of an object's nulls.
const NULLS: &str = "__nulls";
/// Metatable field of arrays.
const ARRAY: &str = "__array";

/// A Lua value as JSON.
///
/// # Errors
/// A sentence: a function, a cycle, a key that is no text, a number that JSON does not have, text that is not UTF-8, too much.
pub(crate) fn to_json(value: &Value) -> Result<Json, String> {
    to_json_within(value, MAX_BYTES)
}

/// [`to_json`] of what has at most `bytes` bytes of text.
///
/// # Errors
/// As [`to_json`].
pub(crate) fn to_json_within(value: &Value, bytes: usize) -> Result<Json, String> {
    let mut left = Left {
        values: MAX_VALUES,
        bytes,
        most: bytes,
        masked: false,
    };
    convert(value, 0, &mut left)
}

/// [`to_json_within`] for people: secrets stand there as `***`.
///
/// # Errors
/// As [`to_json`].
pub(crate) fn to_json_masked(value: &Value, bytes: usize) -> Result<Json, String> {
    let mut left = Left {
        values: MAX_VALUES,
        bytes,
        most: bytes,
        masked: true,
    };
    convert(value, 0, &mut left)
}

/// What a conversion may still take.
struct Left {
    values: usize,
    bytes: usize,
    most: usize,
    masked: bool,
}

impl Left {
    fn value(&mut self) -> Result<(), String> {
        self.values = self
            .values
            .checked_sub(1)
            .ok_or_else(|| format!("more than {MAX_VALUES} values"))?;
        Ok(())
    }

    fn bytes(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("more than {} bytes of text", self.most))?;
        Ok(())
    }

    /// A text, counted before it is copied.
    fn text(&mut self, text: &LuaString, what: &str) -> Result<String, String> {
        self.bytes(text.as_bytes().len())?;
        let text = text.to_str().map_err(|_| format!("{what} is not valid UTF-8"))?;
        Ok(text.to_owned())
    }
}

fn convert(value: &Value, depth: usize, left: &mut Left) -> Result<Json, String> {
    if depth > MAX_DEPTH {
        return Err(format!(
            "tables are nested deeper than {MAX_DEPTH}, or one holds itself"
        ));
    }
    left.value()?;
    match value {
        Value::Nil => Ok(Json::Null),
        Value::Boolean(flag) => Ok(Json::Bool(*flag)),
        Value::Integer(whole) => Ok(Json::from(*whole)),
        Value::Number(value) if value.is_finite() => Ok(number(*value)),
        Value::Number(value) => Err(format!("{value} has no form in JSON")),
        Value::String(text) => left.text(text, "a text").map(Json::String),
        Value::Table(table) => convert_table(table, depth, left),
        Value::UserData(object) => match object.borrow::<EventObject>() {
            Ok(event) => {
                let json = event.json();
                // One event is small; a table with a thousand references to it is not.
                left.bytes(json.to_string().len())?;
                Ok(json)
            }
            Err(_) if object.is::<Hidden>() && left.masked => Ok(Json::String(SHOWN.to_owned())),
            Err(_) if object.is::<Hidden>() => Err("a secret is not put into JSON".to_owned()),
            Err(_) => Err("an object has no form in JSON".to_owned()),
        },
        other => Err(format!("{} has no form in JSON", kind(other))),
    }
}

fn convert_table(table: &Table, depth: usize, left: &mut Left) -> Result<Json, String> {
    let says = |error: mlua::Error| error.to_string();
    let metatable = table.metatable();
    let is_array = match &metatable {
        Some(metatable) => metatable.raw_get::<bool>(ARRAY).unwrap_or(false),
        None => false,
    };
    let length = table.raw_len();
    if is_array || length > 0 {
        let mut list = Vec::new();
        for at in 1..=length {
            list.push(convert(&table.raw_get::<Value>(at).map_err(says)?, depth + 1, left)?);
        }
        let mut entries = 0;
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(says)?;
            entries += 1;
            if entries > length {
                let key = key.to_string().unwrap_or_default();
                return Err(format!(
                    "a table is a list or has names, not both: '{key}' beside {length} items"
                ));
            }
        }
        return Ok(Json::Array(list));
    }
    let mut object = Map::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(says)?;
        let key = match &key {
            Value::String(text) => left.text(text, "a key")?,
            Value::Integer(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            other => return Err(format!("{} cannot be a key in JSON", kind(other))),
        };
        object.insert(key, convert(&value, depth + 1, left)?);
    }
    if let Some(nulls) = metatable.and_then(|metatable| metatable.raw_get::<Table>(NULLS).ok()) {
        for name in nulls.sequence_values::<LuaString>() {
            left.value()?;
            let name = left.text(&name.map_err(says)?, "a key")?;
            object.entry(name).or_insert(Json::Null);
        }
    }
    Ok(Json::Object(object))
}

/// JSON as a Lua value: null is nil. `frozen`: tables cannot be changed.
pub(crate) fn to_lua(lua: &Lua, json: &Json, frozen: bool) -> mlua::Result<Value> {
    match json {
        Json::Null => Ok(Value::Nil),
        Json::Bool(flag) => Ok(Value::Boolean(*flag)),
        Json::Number(number) => Ok(Value::Number(number.as_f64().unwrap_or(f64::NAN))),
        Json::String(text) => lua.create_string(text).map(Value::String),
        Json::Array(list) => {
            let table = lua.create_table_with_capacity(list.len(), 0)?;
            for (at, item) in list.iter().enumerate() {
                table.raw_set(at + 1, to_lua(lua, item, frozen)?)?;
            }
            table.set_metatable(Some(array_mark(lua)?))?;
            table.set_readonly(frozen);
            Ok(Value::Table(table))
        }
        Json::Object(object) => object_to_lua(lua, object, frozen).map(Value::Table),
    }
}

/// [`to_lua`] of an object.
pub(crate) fn object_to_lua(lua: &Lua, object: &Map<String, Json>, frozen: bool) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, object.len())?;
    let mut nulls = Vec::new();
    for (key, value) in object {
        match to_lua(lua, value, frozen)? {
            Value::Nil => nulls.push(key.as_str()),
            value => table.raw_set(key.as_str(), value)?,
        }
    }
    if !nulls.is_empty() {
        let metatable = lua.create_table()?;
        metatable.raw_set(NULLS, lua.create_sequence_from(nulls)?)?;
        metatable.raw_set("__metatable", false)?;
        table.set_metatable(Some(metatable))?;
    }
    table.set_readonly(frozen);
    Ok(table)
}

/// The metatable of arrays, one for each VM.
fn array_mark(lua: &Lua) -> mlua::Result<Table> {
    if let Ok(mark) = lua.named_registry_value::<Table>(ARRAY) {
        return Ok(mark);
    }
    let mark = lua.create_table()?;
    mark.raw_set(ARRAY, true)?;
    mark.raw_set("__metatable", false)?;
    lua.set_named_registry_value(ARRAY, mark.clone())?;
    Ok(mark)
}
