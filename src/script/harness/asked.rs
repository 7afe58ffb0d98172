//! What a test says of the world, and what it asks of a bot.
//!
//! In: the test's tables. Out: answers that the world gives, or a sentence with what was expected and what is. Must not run
//! the script.

use serde_json::{Map, Value};

use crate::action::FailureKind;
use crate::script::error::suggestion;
use crate::script::world::Answer;

use super::bot::{Bot, Verdict, wrong};
use super::expect;
use super::failing::CALLS;

/// So many sends in a row may be told to fail; beyond it, it is `"always"`.
const MOST_FAILURES: u64 = 1_000;

impl Bot {
    /// Lets sends fail: the next one, the next `times`, all from now on; or none any more, without a kind.
    pub(super) fn fail(&self, what: &str, kind: Option<&str>, times: &Value) -> mlua::Result<()> {
        if !CALLS.contains(&what) {
            let hint = suggestion(what, CALLS.iter().copied());
            return Err(wrong(format!(
                "bot:fail: there is no call '{what}' that can fail{hint}"
            )));
        }
        let failing = &self.world.failing;
        let Some(kind) = kind else {
            failing.no_more(what);
            return Ok(());
        };
        let kinds = [
            FailureKind::NotConnected,
            FailureKind::Timeout,
            FailureKind::Refused,
            FailureKind::RateLimited,
            FailureKind::NotSupported,
        ];
        let found = kinds.into_iter().find(|known| known.as_str() == kind);
        let known = kinds.iter().map(|known| known.as_str());
        let found = found.ok_or_else(|| wrong(format!("no failure '{kind}'{}", suggestion(kind, known))))?;
        match times {
            Value::Null => failing.times(what, found, 1),
            Value::String(word) if word == "always" => failing.always(what, found),
            number => match number.as_u64().filter(|times| (1..=MOST_FAILURES).contains(times)) {
                Some(times) => failing.times(what, found, times),
                None => {
                    let text = format!(
                        "bot:fail: how often is a number from 1 to {MOST_FAILURES} or \"always\", not {number}"
                    );
                    return Err(wrong(text));
                }
            },
        }
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
        expect::called(call, expected, &called).map_err(wrong)
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
        match self.judged()? {
            Verdict::Stopped => Ok(()),
            Verdict::Passed => Err(wrong("expected a gate to stop the event, but it passed")),
            Verdict::NotAsked => Err(wrong(
                "expected a gate to stop the event, but it passed: its filter fits no gate",
            )),
        }
    }

    pub(super) fn expect_passed(&self) -> mlua::Result<()> {
        match self.judged()? {
            // A gate whose filter does not want the event lets it pass as well.
            Verdict::Passed | Verdict::NotAsked => Ok(()),
            Verdict::Stopped => Err(wrong("expected the event to pass the gates, but one stopped it")),
        }
    }

    /// What the gates said to the last event.
    fn judged(&self) -> mlua::Result<Verdict> {
        self.still_fine()?;
        if !self.has_gate() {
            return Err(wrong("the script has no gate"));
        }
        self.verdict.get().ok_or_else(|| wrong("no event has happened yet"))
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
        expect::kept(key, wanted, &found).map_err(wrong)
    }
}
