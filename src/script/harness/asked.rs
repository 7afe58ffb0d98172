//! What a test says of the world, and what it asks of a bot.
//!
//! In: the test's tables. Out: answers that the world gives, or a sentence with what was expected and what is. Must not run
//! the script.

use serde_json::{Map, Value};

use crate::action::FailureKind;
use crate::script::error::suggestion;
use crate::script::run::Posted;
use crate::script::world::Answer;

use super::bot::{Bot, wrong};
use super::expect;

impl Bot {
    pub(super) fn fail(&self, what: &str, kind: &str) -> mlua::Result<()> {
        if what != "send" {
            return Err(wrong(format!("bot:fail(\"{what}\"): only \"send\" can fail")));
        }
        let kinds = [
            FailureKind::NotConnected,
            FailureKind::Timeout,
            FailureKind::Refused,
            FailureKind::RateLimited,
        ];
        let found = kinds.into_iter().find(|known| known.as_str() == kind);
        let known = kinds.iter().map(|known| known.as_str());
        self.world
            .fail_next(found.ok_or_else(|| wrong(format!("no failure '{kind}'{}", suggestion(kind, known))))?);
        Ok(())
    }

    /// What a service answers from now on: `bot:http("POST https://…", { status, headers, json, body })`.
    pub(super) fn http(&self, call: String, answer: &Map<String, Value>) -> mlua::Result<()> {
        const PARTS: &[&str] = &["status", "headers", "json", "body"];
        if let Some(key) = answer.keys().find(|key| !PARTS.contains(&key.as_str())) {
            let hint = suggestion(key, PARTS.iter().copied());
            return Err(wrong(format!("an answer has no part '{key}'{hint}")));
        }
        let status = answer.get("status").and_then(Value::as_f64).unwrap_or(200.0);
        let headers = answer.get("headers").and_then(Value::as_object).into_iter().flatten();
        let headers = headers.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
        let body = match (answer.get("json"), answer.get("body")) {
            (Some(json), _) => json.to_string(),
            (None, Some(Value::String(body))) => body.clone(),
            (None, _) => String::new(),
        };
        let answer = Answer {
            // A status of a test has three digits.
            status: status as u16,
            headers: headers.collect(),
            body: body.into(),
        };
        self.world.services.borrow_mut().insert(call, answer);
        Ok(())
    }

    /// The next call of a service.
    pub(super) fn expect_http(&self, call: &str, expected: &Map<String, Value>) -> mlua::Result<()> {
        let Some(called) = self.world.called.borrow_mut().pop_front() else {
            self.still_fine()?;
            return Err(wrong(format!("expected the call {call}, but none was made")));
        };
        if called.what != call {
            return Err(wrong(format!("expected the call {call}, but it is {}", called.what)));
        }
        let posted = Posted {
            endpoint: String::new(),
            body: called.body,
        };
        let body = expected.get("json").or(expected.get("body"));
        let wanted = body.map(|body| ("body".to_owned(), body.clone()));
        expect::posted(&wanted.into_iter().collect(), &posted).map_err(wrong)
    }

    pub(super) fn expect_sent(&self, expected: &Map<String, Value>) -> mlua::Result<()> {
        let Some(said) = self.world.sent.borrow_mut().pop_front() else {
            self.still_fine()?;
            return Err(wrong(format!(
                "expected a message {}, but none was sent",
                Value::from(expected.clone())
            )));
        };
        expect::said(expected, &said).map_err(wrong)
    }

    pub(super) fn expect_webhook(&self, expected: &Map<String, Value>) -> mlua::Result<()> {
        let Some(posted) = self.world.posted.borrow_mut().pop_front() else {
            self.still_fine()?;
            return Err(wrong(format!(
                "expected a delivery {}, but none was posted",
                Value::from(expected.clone())
            )));
        };
        expect::posted(expected, &posted).map_err(wrong)
    }

    pub(super) fn expect_nothing(&self) -> mlua::Result<()> {
        if let Some(said) = self.world.sent.borrow().front() {
            return Err(wrong(format!("expected nothing, but {}", expect::tell_said(said))));
        }
        if let Some(posted) = self.world.posted.borrow().front() {
            return Err(wrong(format!(
                "expected nothing, but there is {}",
                expect::tell_posted(posted)
            )));
        }
        Ok(())
    }

    pub(super) fn expect_stopped(&self) -> mlua::Result<()> {
        if self.stopped.get() {
            Ok(())
        } else {
            Err(wrong("expected a gate to stop the event, but it passed"))
        }
    }

    pub(super) fn expect_error(&self, part: &str) -> mlua::Result<()> {
        match self.fault.take() {
            Some(fault) if fault.contains(part) => Ok(()),
            Some(fault) => Err(wrong(format!("expected an error with '{part}', but it is: {fault}"))),
            None => Err(wrong("expected a handler to fail, but none did")),
        }
    }

    pub(super) fn expect_kv(&self, key: &str, wanted: &Value) -> mlua::Result<()> {
        let found = self.world.key(key).map_or(Value::Null, |kept| kept.value);
        let same = found == *wanted || (found.is_number() && found.as_f64() == wanted.as_f64());
        if same {
            Ok(())
        } else {
            Err(wrong(format!("expected kv '{key}' = {wanted}, but it is {found}")))
        }
    }
}
