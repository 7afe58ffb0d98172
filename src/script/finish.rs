//! How a run ends: what it wants kept, as rows of one commit; what a failed one leaves behind.
//!
//! In: [`Effects`] and faults. Out: parts of a [`Batch`]. Must not commit.

use std::time::Duration;

use serde_json::json;

use crate::action::SendOrder;
use crate::event::{Draft, Event, Kind};
use crate::store::{Batch, DeadRun, Expect, FailedRun, Intent, KvOp, KvWrite, NewEvent, NewJob, Post};

use super::error::Fault;
use super::live::now;
use super::run::{Change, Effects, Later};
use super::shared::host_event;
use super::views::Cause;

/// The name of what orders an event among others: its chat; without one, its account; without either, the host.
pub(crate) fn lane(event: &Event) -> String {
    event.lane()
}

/// Puts what a run wants kept into a batch; `event` is `None` for a timer's.
pub(crate) fn keep(batch: &mut Batch, script: &str, event: Option<&Event>, effects: Effects) {
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
            Change::Update(Some(value)) => KvOp::Set(value.to_string().into_bytes()),
            Change::Delete | Change::Update(None) => KvOp::Delete,
            Change::Incr(by) => KvOp::Incr(by),
        };
        batch.kv.push(KvWrite {
            space,
            key: write.key,
            op,
            expires_at: write.expires_at,
        });
    }
    for Later { name, due, data } in effects.jobs {
        batch.jobs.push(NewJob {
            script: script.to_owned(),
            name,
            due,
            data,
        });
    }
    for posted in effects.posts {
        batch.posts.push(Post {
            endpoint: posted.endpoint,
            chat_key: event.map_or_else(|| format!("/{script}"), lane),
            body: posted.body,
            script: Some(script.to_owned()),
            event_id: event.map(|event| event.id.clone()),
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
pub(crate) fn after(retries: &[Duration], tries: u32, script: &str, offset: u64, event: &Event, fault: &Fault) -> Next {
    let error = fault.headline();
    let wait = usize::try_from(tries)
        .ok()
        .and_then(|tries| retries.get(tries.saturating_sub(1)));
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
pub(crate) fn error_event(
    script: &str,
    generation: u64,
    event: Option<&Event>,
    fault: &Fault,
    tries: u32,
) -> Option<NewEvent> {
    if event.is_some_and(about_scripts) {
        return None;
    }
    let cause = event.map(Cause::of);
    let data = json!({
        "script": script, "generation": generation, "message": fault.message, "advice": fault.advice,
        "file": fault.file, "line": fault.line, "excerpt": fault.excerpt, "try": tries,
        "event": event.map(|event| &event.id), "cause": cause,
    });
    let draft: Draft = host_event("script.error", &data);
    Some(NewEvent { draft, once: None })
}

fn about_scripts(event: &Event) -> bool {
    matches!(event.event, Kind::Named(name) if name.starts_with("script."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Origin, SCHEMA};
    use crate::script::error::FaultKind;
    use crate::script::generation::Source;
    use crate::script::library::Libraries;
    use crate::script::times::Times;

    #[test]
    fn a_failed_run_is_tried_again_after_1_10_60_and_300_seconds_and_is_dead_then() {
        let event = Event {
            schema: SCHEMA.to_owned(),
            id: "evt_1".to_owned(),
            seq: 1,
            event: Kind::MESSAGE,
            account: None,
            timestamp: 0,
            origin: Origin::Live,
            data: serde_json::Map::new(),
        };
        let source = Source {
            name: "bot".to_owned(),
            file: "scripts/bot.lua".to_owned(),
            text: String::new(),
            libraries: Libraries::new(),
        };
        let fault = Fault::told(FaultKind::Raised, "no".to_owned(), &source);
        let retries = Times::default().retries;
        let waits = (1..=5).map(|tries| match after(&retries, tries, "bot", 7, &event, &fault) {
            Next::Again(wait, failed) => {
                assert_eq!((failed.tries, failed.error.as_str()), (tries, "scripts/bot.lua: no"));
                Some(wait.as_secs())
            }
            Next::Dead(dead) => {
                assert_eq!((dead.offset, dead.event_id.as_str()), (7, "evt_1"));
                None
            }
        });
        assert_eq!(
            waits.collect::<Vec<_>>(),
            [Some(1), Some(10), Some(60), Some(300), None]
        );
    }
}
