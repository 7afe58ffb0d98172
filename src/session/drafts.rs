//! The events that a session makes.
//!
//! In: messages and acknowledgements of the page, changes of state. Out: [`Draft`]s, with what names a message once for ever. Must
//! not hold a QR code, which is a credential.

use serde_json::{Map, Value, json};

use crate::action::State;
use crate::event::{AccountId, Draft, Kind, Message, Origin};
use crate::store::{self, Intent, NewEvent, Once};

/// WhatsApp's type of a message that could not be decrypted yet.
const ENCRYPTED: &str = "ciphertext";

/// A message as it is journaled: once, by canonical chat and raw id. One that could not be decrypted in time is told as it is,
/// and once more when it can be read.
pub(super) fn message(account: &AccountId, message: &Message, canonical: &str, origin: Origin) -> NewEvent {
    let event = if message.from_me {
        Kind::MESSAGE_ANY
    } else {
        Kind::MESSAGE
    };
    let data = match serde_json::to_value(message) {
        Ok(Value::Object(data)) => data,
        _ => unreachable!("a struct with text keys is a JSON object"),
    };
    let once = Once {
        account: account.clone(),
        chat: canonical.to_owned(),
        message_id: raw_id(&message.id).to_owned(),
        kind: if message.kind == ENCRYPTED {
            ENCRYPTED
        } else {
            store::MESSAGE
        }
        .to_owned(),
    };
    let draft = Draft {
        event,
        account: Some(account.clone()),
        timestamp: message.timestamp,
        origin,
        data,
    };
    NewEvent {
        draft,
        once: Some(once),
    }
}

/// The id without the parts that the library prints around it, which depend on how a chat is addressed:
/// `true_CHAT_ID`, and in groups `true_CHAT_ID_AUTHOR`.
pub(super) fn raw_id(printed: &str) -> &str {
    match printed.split_once('_') {
        Some(("true" | "false", rest)) => rest.split('_').nth(1).unwrap_or(printed),
        _ => printed,
    }
}

/// Own messages went further.
pub(super) fn ack(account: &AccountId, chat: &str, ids: &[String], ack: i64, sender: Option<&str>) -> NewEvent {
    let data = json!({ "chat": chat, "ids": ids, "ack": ack, "sender": sender });
    draft(account, Kind::MESSAGE_ACK, data).into()
}

/// A change of state: `account.ready`, `account.disconnected`, or `account.status`; none for `qr`, whose code is the event.
pub(super) fn change(
    account: &AccountId,
    (before, after): (State, State),
    reason: Option<&str>,
    phone: Option<&str>,
) -> Option<NewEvent> {
    let (name, data) = match (before, after) {
        (_, State::Ready) => ("account.ready", json!({ "phone": phone })),
        (State::Ready, _) => ("account.disconnected", json!({ "state": after, "reason": reason })),
        (_, State::Qr) => return None,
        _ => (
            "account.status",
            json!({ "state": after, "reason": reason, "previous": before }),
        ),
    };
    Some(named(account, name, data))
}

/// A code waits to be scanned.
pub(super) fn qr(account: &AccountId, attempt: u32, expires_at: i64) -> NewEvent {
    named(
        account,
        "account.qr",
        json!({ "attempt": attempt, "expires_at": expires_at }),
    )
}

/// The account was linked just now.
pub(super) fn authenticated(account: &AccountId, phone: Option<&str>) -> NewEvent {
    named(account, "account.authenticated", json!({ "phone": phone }))
}

/// A sweep has ended.
pub(super) fn synced(account: &AccountId, recovered: usize, truncated: bool) -> NewEvent {
    named(
        account,
        "account.synced",
        json!({ "recovered": recovered, "truncated": truncated }),
    )
}

/// The library lacks something.
pub(super) fn degraded(account: &AccountId, missing: &[String]) -> NewEvent {
    named(account, "account.degraded", json!({ "missing": missing }))
}

/// It cannot be known whether a message was sent. The key of a script's send begins with `SCRIPT/EVENT_ID/`.
pub(super) fn unknown(intent: &Intent) -> NewEvent {
    let mut parts = intent.key.split('/');
    let of_script = intent.source == crate::event::Source::Script;
    let script = parts.next().filter(|_| of_script);
    let event = parts.next().filter(|_| of_script);
    let data = json!({
        "id": intent.message_id, "chat": intent.chat, "source": intent.source, "script": script, "event": event,
    });
    named(&intent.account, "action.unknown", data)
}

fn named(account: &AccountId, name: &str, data: Value) -> NewEvent {
    draft(
        account,
        Kind::parse(name).expect("it stands in the table of event.rs"),
        data,
    )
    .into()
}

fn draft(account: &AccountId, event: Kind, data: Value) -> Draft {
    let data = match data {
        Value::Object(data) => data,
        _ => Map::new(),
    };
    Draft {
        event,
        account: Some(account.clone()),
        timestamp: super::now(),
        origin: Origin::Live,
        data,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_raw_id_is_the_same_however_the_chat_is_addressed() {
        for printed in [
            "3EB0AA",
            "false_1@c.us_3EB0AA",
            "true_1@lid_3EB0AA",
            "false_9-1@g.us_3EB0AA_2@c.us",
        ] {
            assert_eq!(raw_id(printed), "3EB0AA");
        }
        assert_eq!(raw_id("false_odd"), "false_odd");
    }

    #[test]
    fn every_event_has_the_fields_that_the_vocabulary_names() {
        let account: AccountId = "one".parse().unwrap();
        let change = |before, after| change(&account, (before, after), None, None);
        let made = [
            ack(&account, "c", &[], 1, None),
            change(State::Syncing, State::Ready).unwrap(),
            change(State::Ready, State::Starting).unwrap(),
            change(State::Starting, State::Syncing).unwrap(),
            qr(&account, 1, 2),
            authenticated(&account, None),
            synced(&account, 1, false),
            degraded(&account, &[]),
        ];
        for NewEvent { draft, .. } in made {
            let fields = draft.event.fields().unwrap();
            assert!(
                draft.data.keys().all(|key| fields.contains(&key.as_str())),
                "{:?}",
                draft.event
            );
            assert_eq!(draft.data.len(), fields.len(), "{:?}", draft.event);
        }
        assert!(change(State::Starting, State::Qr).is_none());
    }
}
