//! Sending messages.
//!
//! In: to whom and what, with an `Idempotency-Key` or none. Out: the message's id. The same key sends once, however often it
//! is asked for, for 24 hours and across restarts. Must not send by itself: the session does, by its own rules.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;

use super::super::auth::Caller;
use super::super::refusal::Refusal;
use super::super::server::Context;
use super::body::Body;
use super::{account, account_id, to_the_end};
use crate::action::{Content, FailureKind, SendOrder, Sent, State as Stand};
use crate::event::{AccountId, Source};
use crate::store::Intent;

/// The header that names a send.
const KEY: &str = "idempotency-key";

/// Characters of a text, as WhatsApp has it.
const TEXT: usize = 65_536;

/// How long a send may wait for its turn. An account that is not ready is refused at once.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Order {
    to: String,
    message: String,
}

/// `POST /api/accounts/{id}/messages/send`
pub(in super::super) async fn send(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    id: Path<String>,
    headers: HeaderMap,
    Body(order): Body<Order>,
) -> Result<Json<Sent>, Refusal> {
    let id = account_id(id)?;
    let key = key(&caller, &id, &headers)?;
    let to = recipient(&order.to)?;
    if order.message.trim().is_empty() || order.message.chars().count() > TEXT {
        return Err(Refusal::bad_request(
            "BAD_MESSAGE",
            format!("a message has 1 to {TEXT} characters"),
        ));
    }
    let content = Content::Text {
        text: order.message,
        quote: None,
        mentions: Vec::new(),
    };
    let state = account(&context, &id)?.state;
    let before = context.store.intent(&key).await?;
    let is_other = |intent: &Intent| intent.to != to || intent.content != content;
    if before.as_ref().is_some_and(is_other) {
        return Err(reused());
    }
    // What was sent before is answered whatever the account's state is now.
    if let Some(answer) = before.and_then(|intent| intent.answer) {
        return Ok(Json(answer));
    }
    if state != Stand::Ready {
        let message = format!("account {id} is not ready, it is {state}");
        return Err(Refusal::bad_request("ACCOUNT_NOT_READY", message));
    }
    let order = SendOrder {
        key: key.clone(),
        account: id,
        to: to.clone(),
        content: content.clone(),
        source: Source::Api,
        patience: PATIENCE,
    };
    let sessions = context.sessions.clone();
    match to_the_end(&context, async move { sessions.send(order).await }).await? {
        Ok(sent) => Ok(Json(sent)),
        // Of two at the same time the later one waited for the first, and is told by the session that it was another message.
        Err(failure) if failure.kind == FailureKind::Refused => {
            let kept = context.store.intent(&key).await?;
            Err(if kept.as_ref().is_some_and(is_other) {
                reused()
            } else {
                failure.into()
            })
        }
        Err(failure) => Err(failure.into()),
    }
}

fn reused() -> Refusal {
    let message = "this Idempotency-Key was used for another message; use a new key for each message";
    Refusal::conflict("IDEMPOTENCY_KEY_REUSED", message)
}

/// The name of the send: within one caller and account, so that two programs cannot meet in one key.
fn key(caller: &Caller, account: &AccountId, headers: &HeaderMap) -> Result<String, Refusal> {
    let Some(value) = headers.get(KEY) else {
        return Ok(format!("http/{}", ulid::Ulid::generate()));
    };
    let given = value.to_str().ok().filter(|key| (1..=255).contains(&key.len()));
    let given = given.ok_or_else(|| {
        Refusal::bad_request(
            "BAD_IDEMPOTENCY_KEY",
            "an Idempotency-Key has 1 to 255 visible characters of ASCII",
        )
    })?;
    Ok(format!("http/{}/{account}/{given}", caller.id))
}

/// A chat id as it is, a phone number without what people put into it.
fn recipient(to: &str) -> Result<String, Refusal> {
    let to = to.trim();
    let chat = to.split_once('@').is_some_and(|(user, server)| {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
        plain(user) && plain(server) && to.len() <= 128
    });
    if chat {
        return Ok(to.to_owned());
    }
    let digits: String = to
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/'))
        .collect();
    let digits = digits.strip_prefix('+').unwrap_or(&digits);
    if (5..=20).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) {
        return Ok(digits.to_owned());
    }
    let message = "`to` is a phone number with its country code, or a chat id such as 491700000002@c.us";
    Err(Refusal::bad_request("BAD_RECIPIENT", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_numbers_or_chat_ids() {
        for (to, expected) in [
            ("491700000002", "491700000002"),
            ("+49 170 000-0002", "491700000002"),
            ("(49) 170/000.0002", "491700000002"),
            ("491700000002@c.us", "491700000002@c.us"),
            (" 120363-1@g.us ", "120363-1@g.us"),
            ("1234@lid", "1234@lid"),
        ] {
            assert_eq!(recipient(to).unwrap(), expected, "{to}");
        }
        for to in [
            "",
            "anna",
            "12",
            "@c.us",
            "1@",
            "4917@c.us@x",
            "49170000000200000000000",
            "49\u{0661}70000000",
            "a b@c.us",
        ] {
            assert!(recipient(to).is_err(), "{to}");
        }
    }
}
