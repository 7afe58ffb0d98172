//! What both files for editors say: functions by their place, events with their fields.
//!
//! In: rows and events. Out: the same as lists, in a fixed order. Must not know how a file is written.

use crate::event::{EVENTS, MESSAGE_FIELDS, Named};
use crate::script::api::event::ENVELOPE;
use crate::script::api::rows;
use crate::script::fields::type_of;
use crate::script::harness::rows::ROWS as OF_TESTS;
use crate::script::signature::{self, Type};

/// A function or a value.
pub(super) struct Entry {
    /// Its own name.
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) doc: &'static str,
}

/// Objects with methods: of the API, and the bot of tests.
pub(super) const OBJECTS: &[&str] = &["message", "event", "account", "bot"];

/// Keys of a filter with their types.
pub(super) const FILTER: &[(&str, &str)] = &[
    ("account", "(string | { string })?"),
    ("chat", "(string | { string })?"),
    ("from", "(string | { string })?"),
    ("is_group", "boolean?"),
    ("type", "(string | { string })?"),
    ("match", "(string | { string })?"),
    ("max_age", "(string | number)?"),
];

fn all() -> impl Iterator<Item = (&'static str, Entry)> {
    let api = rows().map(|row| (row.name, row.signature, row.doc));
    api.chain(OF_TESTS.iter().copied()).map(|(full, signature, doc)| {
        let kind = signature::parse(signature).unwrap_or(Type::Named("any".to_owned()));
        let name = full.rsplit([':', '.']).next().unwrap_or(full);
        (full, Entry { name, kind, doc })
    })
}

/// What lies directly in `wharf`.
pub(super) fn root() -> Vec<Entry> {
    let plain = all().filter(|(full, _)| !full.contains([':', '.']));
    plain.map(|(_, entry)| entry).collect()
}

/// Modules of `wharf`, in the order of the rows.
pub(super) fn modules() -> Vec<(&'static str, Vec<Entry>)> {
    let mut found: Vec<(&'static str, Vec<Entry>)> = Vec::new();
    for (full, entry) in all() {
        let Some((module, _)) = full.split_once('.').filter(|(module, _)| *module != "_G") else {
            continue;
        };
        match found.iter_mut().find(|(known, _)| *known == module) {
            Some((_, entries)) => entries.push(entry),
            None => found.push((module, vec![entry])),
        }
    }
    found
}

/// Methods of an object; their first parameter is the object.
pub(super) fn methods(object: &str) -> Vec<Entry> {
    let of = |full: &str| full.split_once(':').is_some_and(|(of, _)| of == object);
    all().filter(|(full, _)| of(full)).map(|(_, entry)| entry).collect()
}

/// Globals that the API adds.
pub(super) fn globals() -> Vec<Entry> {
    all()
        .filter(|(full, _)| full.starts_with("_G."))
        .map(|(_, entry)| entry)
        .collect()
}

/// Events that are not messages.
pub(super) fn other_events() -> impl Iterator<Item = &'static Named> {
    EVENTS.iter().filter(|event| event.fields != MESSAGE_FIELDS)
}

/// Names of the events that are messages.
pub(super) fn messages() -> Vec<&'static str> {
    let messages = EVENTS.iter().filter(|event| event.fields == MESSAGE_FIELDS);
    messages.map(|event| event.name).collect()
}

/// The fields of the envelope.
pub(super) fn envelope() -> Vec<(&'static str, Type)> {
    ENVELOPE.iter().map(|name| (*name, field("", name))).collect()
}

/// The fields of an event, without those of the envelope that mean the same there.
pub(super) fn fields(event: &Named) -> Vec<(&'static str, Type)> {
    event
        .fields
        .iter()
        .map(|name| (*name, field(event.name, name)))
        .collect()
}

/// The fields of a message, without those of the envelope that mean the same there.
pub(super) fn message_fields() -> Vec<(&'static str, Type)> {
    let own = MESSAGE_FIELDS.iter().filter(|name| !ENVELOPE.contains(name));
    // A message has an account, other events need not.
    own.chain(&["is_group", "account"])
        .map(|name| (*name, field("message", name)))
        .collect()
}

fn field(event: &str, name: &str) -> Type {
    let kind = type_of(event, name).and_then(signature::parse);
    kind.unwrap_or(Type::Named("any".to_owned()))
}

/// A name for the type of an event: `account.ready` is `AccountReady`.
pub(super) fn class(event: &str) -> String {
    let parts = event.split(['.', '_']);
    let capital = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    parts.map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::filter;

    #[test]
    fn every_row_and_every_key_of_a_filter_is_in_the_files() {
        let count = root().len() + globals().len();
        let in_modules: usize = modules().iter().map(|(_, entries)| entries.len()).sum();
        let in_objects: usize = OBJECTS.iter().map(|object| methods(object).len()).sum();
        assert_eq!(count + in_modules + in_objects, rows().count() + OF_TESTS.len());
        let keys: Vec<&str> = filter::KEYS.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, FILTER.iter().map(|(key, _)| *key).collect::<Vec<_>>());
        assert_eq!(class("account.ready"), "AccountReady");
    }
}
