//! Arguments of API functions, checked with messages that name the function and the argument.
//!
//! In: what Lua passed. Out: Rust values, or a [`Refusal`]. Must not accept what it would have to guess.

use std::time::Duration;

use mlua::{Function, LuaString, MultiValue, Table, Value};

use crate::script::error::suggestion;
use crate::script::filter::{parse_duration, seconds_of};
use crate::script::run::Refusal;

use super::convert;
use super::secret::Hidden;

/// The arguments of one call, taken from the front.
pub(crate) struct Args {
    name: &'static str,
    values: MultiValue,
}

impl Args {
    /// The arguments of a call of `name`.
    pub(crate) fn new(name: &'static str, values: MultiValue) -> Self {
        Self { name, values }
    }

    /// A refusal of this call.
    pub(crate) fn refuse(&self, text: &str) -> Refusal {
        Refusal::Misuse(format!("{}: {text}", self.name))
    }

    fn wrong(&self, what: &str, wanted: &str, found: &Value) -> Refusal {
        self.refuse(&format!("{what} must be {wanted}, not {}", kind(found)))
    }

    /// The next one, whatever it is; nil if there is none.
    pub(crate) fn any(&mut self) -> Value {
        self.values.pop_front().unwrap_or(Value::Nil)
    }

    /// Puts one back that was taken out of its turn.
    pub(crate) fn put_back(&mut self, value: Value) {
        self.values.push_front(value);
    }

    /// A text; a number is taken as its text.
    ///
    /// # Errors
    /// If it is anything else, not UTF-8, or longer than [`convert::MAX_BYTES`], more than any function can use.
    pub(crate) fn text(&mut self, what: &str) -> Result<String, Refusal> {
        let value = self.any();
        self.as_text(what, &value)
    }

    /// [`Args::text`] of a value that was taken before.
    pub(crate) fn as_text(&self, what: &str, value: &Value) -> Result<String, Refusal> {
        match value {
            Value::String(text) if text.as_bytes().len() > convert::MAX_BYTES => {
                let (size, most) = (text.as_bytes().len(), convert::MAX_BYTES);
                Err(self.refuse(&format!("{what} has {size} bytes; at most {most} fit")))
            }
            Value::String(text) => {
                let text = text
                    .to_str()
                    .map_err(|_| self.refuse(&format!("{what} is not valid UTF-8")))?;
                Ok(text.to_owned())
            }
            Value::Integer(number) => Ok(number.to_string()),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(self.wrong(what, "a string", other)),
        }
    }

    /// Bytes, or those of a secret; the second is whether they are.
    ///
    /// # Errors
    /// As [`Args::bytes`].
    pub(crate) fn bytes_or_secret(&mut self, what: &str) -> Result<(LuaString, bool), Refusal> {
        let value = self.any();
        if let Some(hidden) = Hidden::reveal(&value) {
            return Ok((hidden, true));
        }
        self.put_back(value);
        Ok((self.bytes(what)?, false))
    }

    /// Bytes, left where they are.
    ///
    /// # Errors
    /// If it is anything else, or longer than [`convert::MAX_BYTES`].
    pub(crate) fn bytes(&mut self, what: &str) -> Result<LuaString, Refusal> {
        match self.any() {
            Value::String(text) if text.as_bytes().len() > convert::MAX_BYTES => {
                let (size, most) = (text.as_bytes().len(), convert::MAX_BYTES);
                Err(self.refuse(&format!("{what} has {size} bytes; at most {most} fit")))
            }
            Value::String(text) => Ok(text),
            other => Err(self.wrong(what, "a string", &other)),
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, what: &str) -> Result<f64, Refusal> {
        match self.any() {
            Value::Integer(whole) => Ok(whole as f64),
            Value::Number(number) if number.is_finite() => Ok(number),
            value => Err(self.wrong(what, "a finite number", &value)),
        }
    }

    /// A number, or `default` if it is absent.
    pub(crate) fn number_or(&mut self, what: &str, default: f64) -> Result<f64, Refusal> {
        match self.any() {
            Value::Nil => Ok(default),
            Value::Integer(whole) => Ok(whole as f64),
            Value::Number(number) if number.is_finite() => Ok(number),
            value => Err(self.wrong(what, "a finite number", &value)),
        }
    }

    /// A table of named options, each of `known`; empty if it is absent.
    pub(crate) fn options(&mut self, known: &[&str]) -> Result<Option<Table>, Refusal> {
        let table = match self.any() {
            Value::Nil => return Ok(None),
            Value::Table(table) => table,
            other => return Err(self.wrong("the options", "a table", &other)),
        };
        self.only(&table, known)?;
        Ok(Some(table))
    }

    /// Checks that a table has no keys but `known`.
    pub(crate) fn only(&self, table: &Table, known: &[&str]) -> Result<(), Refusal> {
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(|error| self.refuse(&error.to_string()))?;
            let key = key.to_string().unwrap_or_default();
            if !known.contains(&key.as_str()) {
                return Err(self.refuse(&format!("no option '{key}'{}", suggestion(&key, known.iter().copied()))));
            }
        }
        Ok(())
    }

    /// A field of an options table; nil if there is none.
    pub(crate) fn field(&self, table: Option<&Table>, name: &str) -> Result<Value, Refusal> {
        let Some(table) = table else { return Ok(Value::Nil) };
        table.raw_get(name).map_err(|error| self.refuse(&error.to_string()))
    }

    /// A time: `"2h"`, or a number of seconds.
    pub(crate) fn duration(&self, what: &str, value: &Value) -> Result<Option<Duration>, Refusal> {
        let read = match value {
            Value::Nil => return Ok(None),
            Value::String(text) => parse_duration(&text.to_string_lossy()),
            Value::Integer(seconds) => seconds_of(*seconds as f64),
            Value::Number(seconds) => seconds_of(*seconds),
            other => return Err(self.wrong(what, "a time such as \"2h\" or seconds", other)),
        };
        read.map(Some).map_err(|text| self.refuse(&format!("{what}: {text}")))
    }

    /// A function.
    pub(crate) fn function(&mut self, what: &str) -> Result<Function, Refusal> {
        match self.any() {
            Value::Function(function) => Ok(function),
            other => Err(self.wrong(what, "a function", &other)),
        }
    }

    /// Any value as JSON.
    pub(crate) fn json(&self, what: &str, value: &Value) -> Result<serde_json::Value, Refusal> {
        self.json_within(what, value, convert::MAX_BYTES)
    }

    /// Any value as JSON with at most `bytes` bytes of text.
    pub(crate) fn json_within(&self, what: &str, value: &Value, bytes: usize) -> Result<serde_json::Value, Refusal> {
        convert::to_json_within(value, bytes).map_err(|text| self.refuse(&format!("{what}: {text}")))
    }
}

/// A value's type, as a sentence needs it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Nil => "nil",
        Value::Boolean(_) => "a boolean",
        Value::Integer(_) | Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Table(_) => "a table",
        Value::Function(_) => "a function",
        Value::UserData(_) => "an object",
        _ => "a value of another kind",
    }
}
