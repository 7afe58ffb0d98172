//! Literals that a call would refuse: times, cron patterns, names of events, zones, filters, options.
//!
//! In: facts and meanings. Out: findings, with the words that the call itself would use. Must not report what is not a literal.

use std::collections::BTreeSet;
use std::rc::Rc;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::event::{AccountId, Kind, names};
use crate::script::api::Row;
use crate::script::cron::Cron;
use crate::script::error::suggestion;
use crate::script::filter::{Filter, parse_duration};
use crate::script::signature::{self, Type};

use super::facts::{Call, Entry, Facts, Spot, Term};
use super::finding::Finding;
use super::meaning::{Meanings, shown};

/// Options that are a time.
const TIMES: &[&str] = &["ttl", "timeout"];

/// Looks at every call of the API.
pub(super) fn look(file: &str, facts: &Facts, meanings: &Meanings<'_>) -> Vec<Finding> {
    let later = meanings.runs_later();
    let mut found = Vec::new();
    for call in &facts.calls {
        let Some(row) = meanings.called(call) else { continue };
        let Some(signature) = signature::parse(row.signature) else {
            continue;
        };
        let mut say = |spot: Spot, message: String| found.push(Finding::at(file, spot, message));
        if matches!(row.name, "on" | "gate") && call.within.iter().any(|function| later.contains(function)) {
            say(
                call.spot,
                format!(
                    "wharf.{}: handlers are registered while the file loads, not in a handler",
                    row.name
                ),
            );
        }
        // The object of a method is its first parameter, and no argument.
        let skip = usize::from(row.name.contains(':'));
        let parameters = signature.parameters().iter().skip(skip);
        for ((name, kind), (term, spot)) in parameters.zip(&call.arguments) {
            let name = name.as_deref().unwrap_or_default();
            if let Some(message) = argument(row, name, term) {
                say(*spot, format!("{}: {message}", shown(row)));
            }
            if let (Some(fields), Term::Table(entries)) = (kind.fields(), term) {
                for (spot, message) in options(&fields, entries) {
                    say(spot, format!("{}: {message}", shown(row)));
                }
            }
        }
        if matches!(row.name, "on" | "gate")
            && let Some((Term::Table(entries), _)) = call.arguments.get(1)
        {
            for (spot, message) in filter(entries) {
                say(spot, format!("wharf.{}: {message}", row.name));
            }
        }
    }
    found
}

/// What is wrong with an argument.
fn argument(row: &Row, name: &str, term: &Term) -> Option<String> {
    let Term::Text(text) = term else { return None };
    match (row.name, name) {
        ("after" | "every" | "sleep" | "later", "wait" | "time") => parse_duration(text).err(),
        ("cron", "pattern") => match Cron::parse(text, TimeZone::UTC) {
            Ok(cron) => {
                let never = cron.after(jiff::Timestamp::now().as_millisecond()).is_none();
                never.then(|| format!("'{text}' names no time that will ever come"))
            }
            Err(message) => Some(message),
        },
        ("on" | "gate", "event") => {
            let unknown = Kind::parse(text).is_none();
            unknown.then(|| format!("no event '{text}'{}", suggestion(text, names())))
        }
        ("account", "id") => text.parse::<AccountId>().err().map(|error| error.to_string()),
        (_, "seconds") => parse_duration(text).err(),
        (_, "zone") => zone(text),
        _ => None,
    }
}

fn zone(text: &str) -> Option<String> {
    TimeZone::get(text)
        .is_err()
        .then(|| format!("there is no time zone '{text}'; write it as in \"Europe/Berlin\""))
}

/// What is wrong with a table of options.
fn options(fields: &[(String, Type)], entries: &[Entry]) -> Vec<(Spot, String)> {
    let known = || fields.iter().map(|(name, _)| name.as_str());
    let mut found = Vec::new();
    for Entry { key, value, spot } in entries {
        let Some(key) = key else { continue };
        if known().all(|name| *name != **key) {
            let all = known().collect::<Vec<_>>().join(", ");
            found.push((
                *spot,
                format!("no option '{key}'{}; there are {all}", suggestion(key, known())),
            ));
            continue;
        }
        let Term::Text(text) = value else { continue };
        let wrong = match &**key {
            key if TIMES.contains(&key) => parse_duration(text).err(),
            "zone" => zone(text),
            _ => None,
        };
        found.extend(wrong.map(|message| (*spot, format!("{key}: {message}"))));
    }
    found
}

/// What is wrong with a filter, key by key.
fn filter(entries: &[Entry]) -> Vec<(Spot, String)> {
    let mut found = Vec::new();
    for Entry { key, value, spot } in entries {
        let Some(key) = key else { continue };
        // What is not a literal is given a value that none of them refuses.
        let value = match json_of(value) {
            Some(value) => value,
            None if **key == *"is_group" => json!(true),
            None => json!("1s"),
        };
        let filter = json!({ &**key: value });
        found.extend(Filter::parse(&filter).err().map(|message| (*spot, message)));
    }
    found
}

fn json_of(term: &Term) -> Option<Value> {
    match term {
        Term::Text(text) => Some(Value::from(&**text)),
        Term::Number(number) => Some(json!(number)),
        Term::Boolean(is) => Some(Value::from(*is)),
        Term::Table(entries) => {
            let all = entries.iter().map(|entry| match entry.key {
                None => json_of(&entry.value),
                Some(_) => None,
            });
            all.collect::<Option<Vec<Value>>>().map(Value::Array)
        }
        _ => None,
    }
}

/// Jobs that are made and that no handler takes: `(name, place)`. Nothing, if a name cannot be told.
pub(super) fn jobs_without_a_handler(all: &[(&Facts, &Meanings<'_>)]) -> Vec<(Rc<str>, usize, Spot)> {
    let (mut made, mut taken) = (Vec::new(), BTreeSet::new());
    for (at, (facts, meanings)) in all.iter().enumerate() {
        for call in &facts.calls {
            match (
                meanings.called(call).map(|row| row.name),
                literal(call, 0),
                literal(call, 1),
            ) {
                (Some("on" | "gate"), Some(event), _) => drop(taken.insert(event)),
                (Some("on" | "gate"), None, _) => return Vec::new(),
                (Some("later"), _, Some(name)) => made.push((name, at, call.spot)),
                _ => {}
            }
        }
    }
    made.retain(|(name, ..)| !taken.contains(format!("job.{name}").as_str()));
    made
}

fn literal(call: &Call, at: usize) -> Option<Rc<str>> {
    match call.arguments.get(at) {
        Some((Term::Text(text), _)) => Some(Rc::clone(text)),
        _ => None,
    }
}
