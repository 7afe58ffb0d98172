//! What a test expects, held against what happened.
//!
//! In: the test's tables, what the world recorded. Out: `Ok`, or the difference in words. Must not know Lua.

use serde_json::{Map, Value};

use crate::script::error::suggestion;
use crate::script::run::Posted;

use super::compare::{Comparison, Extent, same};
use super::world::{Called, Said};

/// Holds the fields that the test names against a message.
pub(super) fn said(expected: &Map<String, Value>, said: &Said) -> Result<(), String> {
    let file = said.file.as_ref();
    let file = file.map(|file| file.filename.clone().unwrap_or_else(|| file.mimetype.clone()));
    let found = [
        ("account", Value::from(said.account.as_str())),
        ("chat", Value::from(said.chat.as_str())),
        ("text", Value::from(said.text.as_str())),
        ("quote", Value::from(said.quote.clone())),
        ("file", Value::from(file)),
    ];
    hold("expect_sent", "the message is not the expected one", expected, &found)
}

/// Holds an endpoint and a part of the body against a delivery.
pub(super) fn posted(expected: &Map<String, Value>, posted: &Posted) -> Result<(), String> {
    let found = [
        ("endpoint", Value::from(posted.endpoint.as_str())),
        ("body", body_of(&posted.body)),
    ];
    hold(
        "expect_webhook",
        "the delivery is not the expected one",
        expected,
        &found,
    )
}

/// Holds method, address and a part of the body against a call of a service.
pub(super) fn called(call: &str, expected: &Map<String, Value>, called: &Called) -> Result<(), String> {
    named("expect_http", expected, &["json", "body"])?;
    let body = body_of(&called.body);
    let found = [
        ("call", Value::from(called.what.as_str())),
        ("json", body.clone()),
        ("body", body),
    ];
    let mut expected = expected.clone();
    expected.insert("call".to_owned(), call.into());
    let found = found
        .into_iter()
        .filter(|(name, _)| expected.contains_key(*name) || *name == "call");
    let found: Vec<_> = found.collect();
    hold("expect_http", "the call is not the expected one", &expected, &found)
}

/// Holds an act against the one that was done; `found` are its fields, with its account.
pub(super) fn done(
    what: &str,
    kind: &str,
    expected: &Map<String, Value>,
    found: &Map<String, Value>,
) -> Result<(), String> {
    let fields = found.iter().map(|(name, value)| (name.as_str(), value.clone()));
    if kind != what {
        let fields = Value::from(found.clone());
        return Err(format!("expected '{what}', but it is '{kind}' {fields}"));
    }
    let name = format!("expect_done(\"{what}\")");
    let headline = format!("'{what}' was not done as expected");
    hold(&name, &headline, expected, &fields.collect::<Vec<_>>())
}

/// Holds a value against the one that a key has.
pub(super) fn kept(key: &str, wanted: &Value, found: &Value) -> Result<(), String> {
    let tables = [wanted, found]
        .iter()
        .any(|value| value.is_object() || value.is_array());
    if !tables {
        return match same(wanted, found) {
            true => Ok(()),
            false => Err(format!("expected kv '{key}' = {wanted}, but it is {found}")),
        };
    }
    let mut comparison = Comparison::default();
    comparison.add(key, wanted, found, Extent::Whole);
    let difference = comparison.difference();
    difference.map_or(Ok(()), |table| Err(format!("kv '{key}' is not as expected\n{table}")))
}

fn hold(name: &str, headline: &str, expected: &Map<String, Value>, found: &[(&str, Value)]) -> Result<(), String> {
    let known: Vec<&str> = found.iter().map(|(field, _)| *field).collect();
    named(name, expected, &known)?;
    let mut comparison = Comparison::default();
    for (field, found) in found {
        match expected.get(*field) {
            Some(wanted) => comparison.add(field, wanted, found, Extent::Part),
            None => comparison.add_unnamed(field, found),
        }
    }
    let difference = comparison.difference();
    difference.map_or(Ok(()), |table| Err(format!("{headline}\n{table}")))
}

/// Whether the test names only what there is.
fn named(name: &str, expected: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    let Some(other) = expected.keys().find(|field| !known.contains(&field.as_str())) else {
        return Ok(());
    };
    let hint = suggestion(other, known.iter().copied());
    Err(format!("{name} has no '{other}'{hint}; there are {}", known.join(", ")))
}

/// JSON where it is, else the text.
fn body_of(body: &[u8]) -> Value {
    let text = || Value::from(String::from_utf8_lossy(body).into_owned());
    serde_json::from_slice(body).unwrap_or_else(|_| text())
}

pub(super) fn tell_said(said: &Said) -> String {
    format!("'{}' sent {:?} to {}", said.account, said.text, said.chat)
}

pub(super) fn tell_posted(posted: &Posted) -> String {
    format!("a delivery to '{}': {}", posted.endpoint, body_of(&posted.body))
}
