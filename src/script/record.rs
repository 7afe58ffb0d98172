//! `wharf record`: events that really happened, as fixtures for tests.
//!
//! In: events of the journal. Out: the same events with other numbers and names, each always with the same one, so that what
//! belongs together still does. Must not keep a number of five digits or more, nor a name that a sender has chosen.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::event::Event;
use crate::store::{self, Store};

/// Shorter runs of digits are prices, hours, years.
const LONG: usize = 5;
/// Shorter names would be found in the middle of words.
const NAME: usize = 3;

/// Events that are looked through for those that are wanted.
const LOOKED: u64 = 10_000;
/// Events read at a time.
const PAGE: usize = 256;

/// The last `count` events of the journal with one of these names, or with any if there are none; oldest first.
///
/// # Errors
/// If the store cannot be read.
pub async fn last_events(store: &Store, count: usize, names: &[String]) -> Result<Vec<Event>, store::Error> {
    let head = *store.head().borrow();
    let mut from = head.saturating_sub(LOOKED);
    let mut found = VecDeque::new();
    while from < head {
        let page = store.events(from, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        from = last + 1;
        for (_, event) in page {
            if names.is_empty() || names.contains(&event.event.to_string()) {
                found.push_back((*event).clone());
            }
            if found.len() > count {
                found.pop_front();
            }
        }
    }
    Ok(found.into())
}

/// The events as they may be shared.
#[must_use]
pub fn anonymous(events: &[Event]) -> Vec<Value> {
    let mut events: Vec<Value> = events
        .iter()
        .map(|event| serde_json::to_value(event).unwrap_or_default())
        .collect();
    let mut veil = Veil::default();
    for event in &events {
        veil.learn(event);
    }
    for event in &mut events {
        veil.cover(event);
    }
    events
}

/// What stands for what.
#[derive(Default)]
struct Veil {
    numbers: BTreeMap<String, String>,
    /// Longest first, so that a name within another one is not torn out of it.
    names: Vec<(String, String)>,
}

impl Veil {
    /// Collects the names that people have: `name` of a sender, wherever it stands.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(name) if key == "name" => self.name(name),
                        value => self.learn(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    fn name(&mut self, name: &str) {
        if name.is_empty() || self.names.iter().any(|(known, _)| known == name) {
            return;
        }
        let other = format!("Person {}", self.names.len() + 1);
        self.names.push((name.to_owned(), other));
        self.names.sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
    }

    fn cover(&mut self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields.iter_mut() {
                    // The event's own id tells nothing, and tests sort by it.
                    if key != "id" || !value.as_str().is_some_and(|id| id.starts_with("evt_")) {
                        self.cover(value);
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.cover(item)),
            Value::String(text) => *text = self.covered(text),
            _ => {}
        }
    }

    fn covered(&mut self, text: &str) -> String {
        let mut plain = text.to_owned();
        for (name, other) in &self.names {
            if name.chars().count() >= NAME || *name == plain {
                plain = plain.replace(name.as_str(), other);
            }
        }
        let (mut out, mut digits) = (String::with_capacity(plain.len()), String::new());
        // One more, so that a number at the end is closed.
        for c in plain.chars().map(Some).chain([None]) {
            match c {
                Some(c) if c.is_ascii_digit() => digits.push(c),
                other => {
                    if !digits.is_empty() {
                        out.push_str(&self.number(&digits));
                        digits.clear();
                    }
                    out.extend(other);
                }
            }
        }
        out
    }

    /// Another number with as many digits.
    fn number(&mut self, digits: &str) -> String {
        if digits.len() < LONG {
            return digits.to_owned();
        }
        let next = self.numbers.len() + 1;
        let other = self
            .numbers
            .entry(digits.to_owned())
            .or_insert_with(|| format!("1{next:0width$}", width = digits.len() - 1));
        other.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Kind, Origin, SCHEMA};
    use serde_json::json;

    fn event(seq: u64, data: &Value) -> Event {
        Event {
            schema: SCHEMA.to_owned(),
            id: format!("evt_01KAV1234567890ABCDEFGHJK{seq}"),
            seq,
            event: Kind::MESSAGE,
            account: Some("shop".parse().unwrap()),
            timestamp: 1_767_600_000_000,
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap(),
        }
    }

    #[test]
    fn numbers_and_names_are_others_and_the_same_ones_stay_the_same() {
        let first = json!({
            "id": "false_491701234567@c.us_3EB0", "chat": "491701234567@c.us", "body": "Ann here, call 0049 491701234567 by 12:30, 40 EUR",
            "sender": { "id": "491701234567@c.us", "phone": "491701234567", "name": "Ann Miller", "lid": null },
        });
        let second = json!({
            "chat": "491707654321@c.us", "body": "I know Ann Miller and Bo", "sender": { "id": "491707654321@c.us", "name": "Bo" },
        });
        let covered = anonymous(&[event(1, &first), event(2, &second)]);
        let (one, two) = (&covered[0]["data"], &covered[1]["data"]);
        assert_eq!(one["chat"], "100000000001@c.us");
        assert_eq!(one["id"], "false_100000000001@c.us_3EB0");
        assert_eq!(one["body"], "Ann here, call 0049 100000000001 by 12:30, 40 EUR");
        assert_eq!(
            one["sender"],
            json!({ "id": "100000000001@c.us", "phone": "100000000001", "name": "Person 1", "lid": null })
        );
        assert_eq!(two["chat"], "100000000002@c.us");
        assert_eq!(two["body"], "I know Person 1 and Bo");
        assert_eq!(
            two["sender"]["name"], "Person 2",
            "a short name is replaced where it stands alone"
        );
        assert_eq!(covered[0]["id"], "evt_01KAV1234567890ABCDEFGHJK1");
        assert_eq!(covered[0]["timestamp"], 1_767_600_000_000_i64);
        let all = serde_json::to_string(&covered).unwrap();
        assert!(!all.contains("49170") && !all.contains("Miller"), "{all}");
    }
}
