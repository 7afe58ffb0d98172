//! The fields of events: what each means and of which type it is.
//!
//! In: nothing. Out: rows for the reference page, the files for editors and `wharf check`. The names themselves stand in
//! `event`; tests hold the two against each other. Must not know how a field is made.

use crate::event::{EVENTS, MESSAGE_FIELDS};

use super::signature::{self, Type};

/// A field of the envelope or of a message: its name, its type, what it means.
pub(crate) const FIELDS: &[(&str, &str, &str)] = &[
    (
        "event_id",
        "string",
        "the event's own id; `evt_` and a ULID, the same in every webhook and after every restart",
    ),
    ("event", "string", "its name"),
    (
        "account",
        "string?",
        "the id of the account; nil for events of the host",
    ),
    ("seq", "number", "its number within the account, without gaps"),
    ("origin", "string", "`live`, or `history` if it was found afterwards"),
    (
        "timestamp",
        "number",
        "when it happened, in ms since 1970; of a message: when it was written",
    ),
    ("id", "string", "the message's id"),
    ("chat", "string", "the chat: the address to answer to"),
    ("from", "string", "who sent it"),
    ("to", "string?", "whom it was sent to"),
    ("author", "string?", "in groups, who wrote it"),
    (
        "sender",
        "{ id: string?, lid: string?, phone: string?, name: string? }",
        "who wrote it, in parts: `id`, `lid`, `phone`, `name`; nil where it is not known",
    ),
    ("from_me", "boolean", "whether the account itself wrote it"),
    ("source", "string?", "of own messages: `phone`, `api` or `script`"),
    (
        "type",
        "string",
        "`chat` for text, else WhatsApp's word: `image`, `ptt`, `document`, …",
    ),
    // Of most media there is none; a handler that asks for texts should not have to look.
    ("body", "string", "the text"),
    ("caption", "string?", "the text beside a medium"),
    (
        "media",
        "{ id: string?, mimetype: string?, filename: string?, size: number?, sha256: string?, status: string? }?",
        "what is known of a medium: `mimetype`, `filename`, `size`, `sha256`, `status`; never the bytes",
    ),
    (
        "quoted",
        "{ id: string?, author: string?, type: string?, body: string? }?",
        "the message that it answers: `id`, `author`, `type`, `body`",
    ),
    ("mentions", "{ string }", "ids that are mentioned in it"),
    (
        "ack",
        "number?",
        "-1 error, 0 waiting, 1 sent, 2 delivered, 3 read, 4 played",
    ),
    ("is_group", "boolean", "whether the chat is a group"),
];

/// Types of the fields of other events, by their name; the same name is the same everywhere.
const OTHERS: &[(&str, &str)] = &[
    ("ids", "{ string }"),
    ("attempt", "number"),
    ("expires_at", "number?"),
    ("phone", "string?"),
    ("recovered", "number"),
    ("truncated", "boolean"),
    ("state", "string"),
    ("previous", "string?"),
    ("reason", "string?"),
    ("missing", "{ string }"),
    ("script", "string?"),
    ("generation", "number"),
    ("message", "string"),
    ("file", "string?"),
    ("line", "number?"),
    ("try", "number?"),
    ("advice", "string?"),
    ("excerpt", "string"),
    (
        "cause",
        "{ id: string, name: string, account: string?, chat: string? }?",
    ),
    ("count", "number"),
    ("endpoint", "string"),
    ("delivery", "string"),
    ("sections", "{ string }"),
    ("jump_ms", "number"),
];

/// Fields whose type in one event is not that of their name.
const APART: &[(&str, &str, &str)] = &[
    ("message", "account", "string"),
    ("message.any", "account", "string"),
    ("script.skipped", "from", "number"),
    ("script.skipped", "to", "number"),
    ("action.unknown", "event", "string?"),
    ("action.stopped", "event", "string?"),
    ("script.error", "event", "any"),
];

/// The type of a field of an event, in the notation of signatures.
pub(crate) fn type_of(event: &str, field: &str) -> Option<&'static str> {
    let apart = APART.iter().find(|(of, name, _)| *of == event && *name == field);
    let common = || {
        FIELDS
            .iter()
            .find(|(name, ..)| *name == field)
            .map(|(_, kind, _)| *kind)
    };
    let other = || OTHERS.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind);
    let is_message = EVENTS
        .iter()
        .any(|known| known.name == event && known.fields == MESSAGE_FIELDS);
    match (apart, is_message) {
        (Some((.., kind)), _) => Some(kind),
        (None, true) => common(),
        (None, false) => other().or_else(common),
    }
}

/// The parts of a field of a message that is a table.
pub(crate) fn parts(field: &str) -> Option<Vec<(String, Type)>> {
    let (_, kind, _) = FIELDS.iter().find(|(name, ..)| *name == field)?;
    signature::parse(kind)?.fields()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::api::event::ENVELOPE;

    #[test]
    fn every_field_of_a_message_is_explained_and_no_other() {
        let explained: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).collect();
        for name in MESSAGE_FIELDS.iter().chain(ENVELOPE) {
            assert!(explained.contains(name), "{name} is not explained");
        }
        for name in explained {
            let known = MESSAGE_FIELDS.contains(&name) || ENVELOPE.contains(&name) || name == "is_group";
            assert!(known, "{name} is no field");
        }
    }

    #[test]
    fn every_field_of_every_event_has_a_type_in_the_notation() {
        for event in EVENTS {
            for field in event.fields.iter().chain(ENVELOPE) {
                let kind = type_of(event.name, field);
                let kind =
                    kind.unwrap_or_else(|| panic!("'{field}' of {} has no type in src/script/fields.rs", event.name));
                assert!(signature::parse(kind).is_some(), "{kind}");
            }
        }
        for (event, field, _) in APART {
            let known = EVENTS.iter().find(|known| known.name == *event);
            assert!(
                known.is_some_and(|known| known.fields.contains(field) || ENVELOPE.contains(field)),
                "{event} {field}"
            );
        }
    }
}
