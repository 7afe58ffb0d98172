//! How a run ends: what it wants kept, as rows of one commit; what a failed one leaves behind.
//!
//! In: [`Effects`] and faults. Out: parts of a [`Batch`]. Must not commit.

use std::time::Duration;

use serde_json::json;

use crate::action::SendOrder;
use crate::event::{Draft, Event, Kind};
use crate::store::{Batch, DeadRun, Expect, FailedRun, Intent, KvOp, KvWrite, NewEvent, Post};

use super::error::Fault;
use super::live::now;
use super::run::{Change, Effects};
use super::slot::host_event;

/// Waits before a failed run is tried again; after the last one it is dead.
const RETRIES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// The name of what orders an event among others: its chat; without one, its account; without either, the host.
pub(crate) fn lane(event: &Event) -> String {
    let account = event.account.as_ref().map_or("", |id| id.as_str());
    format!("{account}/{}", event.chat().unwrap_or_default())
}

/// Puts what a run wants kept into a batch.
pub(crate) fn keep(batch: &mut Batch, script: &str, event: &Event, effects: Effects) {
    for write in effects.writes {
        let space = script.to_owned();
        if let Some(version) = write.expect {
            batch.expect.push(Expect {
                space: space.clone(),
                key: write.key.clone(),
                version,
            });
        }
        let op = match write.change {
            Change::Set(value) => KvOp::Set(value.to_string().into_bytes()),
            Change::Delete => KvOp::Delete,
            Change::Incr(by) => KvOp::Incr(by),
        };
        batch.kv.push(KvWrite {
            space,
            key: write.key,
            op,
            expires_at: write.expires_at,
        });
    }
    for posted in effects.posts {
        batch.posts.push(Post {
            endpoint: posted.endpoint,
            chat_key: lane(event),
            body: posted.body,
            script: Some(script.to_owned()),
            event_id: Some(event.id.clone()),
        });
    }
    batch.intents.extend(effects.sent.into_iter().map(|key| (key, None)));
    batch.intents.extend(
        effects
            .queued
            .iter()
            .map(|order| (order.key.clone(), Some(intent(order)))),
    );
}

/// The intent of a queued send, which has no message id yet.
fn intent(order: &SendOrder) -> Intent {
    Intent {
        key: order.key.clone(),
        account: order.account.clone(),
        chat: None,
        message_id: None,
        page_id: None,
        to: order.to.clone(),
        content: order.content.clone(),
        source: order.source,
        made_at: now(),
        answer: None,
        keep_until: None,
    }
}

/// What becomes of a run that failed.
pub(crate) enum Next {
    /// It is tried again after this time.
    Again(Duration, FailedRun),
    /// It is dead.
    Dead(DeadRun),
}

/// Decides about a run whose `tries`-th try failed.
pub(crate) fn after(tries: u32, script: &str, offset: u64, event: &Event, fault: &Fault) -> Next {
    let error = fault.headline();
    let wait = usize::try_from(tries)
        .ok()
        .and_then(|tries| RETRIES.get(tries.saturating_sub(1)));
    match wait {
        Some(wait) => {
            let due = now().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
            Next::Again(*wait, FailedRun { tries, due, error })
        }
        None => Next::Dead(DeadRun {
            id: format!("run_{}", ulid::Ulid::generate()),
            script: script.to_owned(),
            offset,
            event_id: event.id.clone(),
            error,
            at: now(),
        }),
    }
}

/// `script.error`, unless the failed run was itself about such an event.
pub(crate) fn error_event(script: &str, generation: u64, event: &Event, fault: &Fault, tries: u32) -> Option<NewEvent> {
    if about_scripts(event) {
        return None;
    }
    let data = json!({
        "script": script, "generation": generation, "message": fault.message, "file": fault.file, "line": fault.line,
        "event": event.id, "try": tries,
    });
    let draft: Draft = host_event("script.error", data);
    Some(NewEvent { draft, once: None })
}

fn about_scripts(event: &Event) -> bool {
    matches!(event.event, Kind::Named(name) if name.starts_with("script."))
}
