//! What a test expects, held against what happened.
//!
//! In: the test's tables, what the world recorded. Out: `Ok`, or a sentence with both. Must not know Lua.

use serde_json::{Map, Value};

use crate::script::run::Posted;

use super::world::Said;

/// Holds the fields that the test names against a message.
pub(super) fn said(expected: &Map<String, Value>, said: &Said) -> Result<(), String> {
    for (field, wanted) in expected {
        let found = match field.as_str() {
            "account" => Value::from(said.account.as_str()),
            "chat" => Value::from(said.chat.as_str()),
            "text" => Value::from(said.text.as_str()),
            "quote" => Value::from(said.quote.clone()),
            "file" => said.file.as_ref().map_or(Value::Null, |file| {
                Value::from(file.filename.clone().unwrap_or_else(|| file.mimetype.clone()))
            }),
            other => {
                return Err(format!(
                    "expect_sent has no '{other}'; there are account, chat, text, quote, file"
                ));
            }
        };
        if found != *wanted {
            return Err(format!(
                "expected {field} = {wanted}, but it is {found}: {}",
                tell_said(said)
            ));
        }
    }
    Ok(())
}

/// Holds an endpoint and a part of the body against a delivery.
pub(super) fn posted(expected: &Map<String, Value>, posted: &Posted) -> Result<(), String> {
    for (field, wanted) in expected {
        match field.as_str() {
            "endpoint" if wanted.as_str() == Some(posted.endpoint.as_str()) => {}
            "endpoint" => {
                return Err(format!(
                    "expected endpoint = {wanted}, but it is \"{}\"",
                    posted.endpoint
                ));
            }
            "body" => {
                let body = body_of(posted);
                part(wanted, &body, "body")?;
            }
            other => return Err(format!("expect_webhook has no '{other}'; there are endpoint, body")),
        }
    }
    Ok(())
}

/// JSON where it is, else the text.
fn body_of(posted: &Posted) -> Value {
    let text = || Value::from(String::from_utf8_lossy(&posted.body).into_owned());
    serde_json::from_slice(&posted.body).unwrap_or_else(|_| text())
}

/// Whether `wanted` is a part of `found`: tables may have more fields, lists and values must be equal.
fn part(wanted: &Value, found: &Value, place: &str) -> Result<(), String> {
    if let (Value::Object(wanted), Value::Object(found)) = (wanted, found) {
        for (name, wanted) in wanted {
            let place = format!("{place}.{name}");
            part(wanted, found.get(name).unwrap_or(&Value::Null), &place)?;
        }
        return Ok(());
    }
    // Lua has one kind of number.
    let same = wanted == found || (wanted.is_number() && wanted.as_f64() == found.as_f64());
    if same {
        Ok(())
    } else {
        Err(format!("expected {place} = {wanted}, but it is {found}"))
    }
}

pub(super) fn tell_said(said: &Said) -> String {
    format!("'{}' sent {:?} to {}", said.account, said.text, said.chat)
}

pub(super) fn tell_posted(posted: &Posted) -> String {
    format!("a delivery to '{}': {}", posted.endpoint, body_of(posted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_of_a_body_is_enough_but_must_be_right() {
        let body = json!({ "event": "message", "data": { "body": "hi", "n": 1 } });
        assert!(part(&json!({ "data": { "body": "hi" } }), &body, "body").is_ok());
        assert!(part(&json!({ "data": { "n": 1.0 } }), &body, "body").is_ok());
        let wrong = part(&json!({ "data": { "body": "ho" } }), &body, "body").unwrap_err();
        assert_eq!(wrong, "expected body.data.body = \"ho\", but it is \"hi\"");
        assert!(part(&json!({ "missing": 1 }), &body, "body").is_err());
    }
}
