//! One delivery, from the moment that it may be tried to the commit of what became of it.
//!
//! In: a delivery that is due. Out: first an attempt ([`Tried`]), so that the endpoint's next request need not wait for the disk;
//! then the commit of its outcome with the events about it, and a [`Finished`] for the dispatcher. Must not decide who is next.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::attempt::{self, Ending, Made, Outcome};
use super::clock::millis;
use super::endpoint::{self, Target};
use super::records::Admission;
use super::{Deps, Work, schedule, sign};
use crate::event::{Draft, Kind, Origin};
use crate::store::{Attempt, Batch, Delivery, NewEvent, OutboxChange};

/// Waits between tries to commit when the store fails.
const STORE_WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// A delivery that was looked at, before anything of it is committed.
pub(super) struct Tried {
    /// As it is to be kept, if it is.
    pub(super) delivery: Delivery,
    /// How the attempt ended, if one was made, with the status and the time it took.
    pub(super) ending: Option<(Ending, Option<u16>, u64)>,
    verdict: Verdict,
    /// What the attempt met, for its log.
    attempt: Option<Attempt>,
}

/// What is to become of it.
enum Verdict {
    /// It is out of the outbox: delivered, or not wanted by whom it is about.
    Done,
    /// To be tried again when it is due.
    Again,
    /// Given up; said by an event unless it was said already.
    Dead { reason: String, told: bool },
    /// Given up, and its endpoint is disabled.
    Gone { reason: String, target: Box<Target> },
    /// It could not be tried now: its endpoint does not exist, or the store cannot be read.
    Unknown,
}

/// What a delivery came to.
pub(super) enum Finished {
    /// Delivered, dead, or not wanted: it is out of the outbox.
    Ended(Delivery),
    /// To be tried again when it is due.
    Again(Delivery),
    /// It could not be tried now.
    Unknown(Delivery),
}

impl Tried {
    fn of(delivery: Delivery, verdict: Verdict) -> Self {
        Self {
            delivery,
            ending: None,
            verdict,
            attempt: None,
        }
    }

    fn dead(delivery: Delivery, reason: String) -> Self {
        Self::of(delivery, Verdict::Dead { reason, told: false })
    }
}

/// Tries one delivery.
pub(super) async fn try_out(work: Arc<Work>, delivery: Delivery) -> Tried {
    let deps = &work.deps;
    let now = deps.clock.now();
    if now.saturating_sub(delivery.created_at) > millis(schedule::OLDEST) {
        let reason = too_old(&delivery).to_owned();
        return Tried::dead(delivery, reason);
    }
    let config = deps.config.borrow().clone();
    let found = endpoint::resolve(&delivery.endpoint, &config, &deps.store).await;
    let target = match found {
        Ok(Some(target)) => target,
        Ok(None) => return Tried::of(delivery, Verdict::Unknown),
        Err(error) => return later(delivery, &error),
    };
    let secrets = match work.records.admit(&delivery.endpoint, &target, now).await {
        Ok(Admission::Open(secrets)) => secrets,
        Ok(Admission::Disabled) => {
            let reason = "the endpoint is disabled".to_owned();
            return Tried::of(delivery, Verdict::Dead { reason, told: true });
        }
        Err(error) => return later(delivery, &error),
    };
    let keys: Vec<sign::Key> = match secrets.iter().map(sign::Key::parse).collect() {
        Ok(keys) => keys,
        Err(error) => return Tried::dead(delivery, error.to_string()),
    };
    if delivery.tries == 0 && concerns(deps, &delivery).await.as_deref() == Some(&delivery.endpoint) {
        tracing::debug!(delivery = %delivery.id, "an event about the endpoint itself is not delivered to it");
        return Tried::of(delivery, Verdict::Done);
    }
    let body = match deps.store.delivery_body(&delivery.body).await {
        Ok(Some(body)) => body,
        Ok(None) => return Tried::dead(delivery, "its body is not in the store".to_owned()),
        Err(error) => return later(delivery, &error),
    };
    let at = deps.clock.now();
    let made = attempt::attempt(&deps.client, &target, &keys, &delivery, (body.into(), at)).await;
    judge(deps, delivery, target, made)
}

/// What is to become of a delivery after an attempt.
fn judge(deps: &Deps, mut delivery: Delivery, target: Target, made: Made) -> Tried {
    let ending = (made.ending, made.logged.status, made.logged.ms);
    let verdict = match made.outcome {
        Outcome::Delivered => Verdict::Done,
        Outcome::Gone => Verdict::Gone {
            reason: "answered 410: it wants nothing any more".to_owned(),
            target: Box::new(target),
        },
        Outcome::Final(reason) => Verdict::Dead { reason, told: false },
        Outcome::Failed { met, why } => {
            delivery.tries += 1;
            let tries = delivery.tries;
            let retries = &deps.config.borrow().webhooks.retries;
            let pause = schedule::wait(tries, met, retries, schedule::chance());
            let verdict = match pause {
                Some(pause) => {
                    delivery.due = deps.clock.now().saturating_add(millis(pause));
                    tracing::info!(
                        endpoint = %delivery.endpoint, delivery = %delivery.id, attempt = tries, next_s = pause.as_secs(),
                        "not delivered, tried again later: {}", why.detail
                    );
                    Verdict::Again
                }
                None => Verdict::Dead {
                    reason: format!("failed {tries} times, at last: {}", why.told),
                    told: false,
                },
            };
            delivery.last_error = Some(why.detail);
            verdict
        }
    };
    Tried {
        delivery,
        ending: Some(ending),
        verdict,
        attempt: Some(made.logged),
    }
}

/// Why a delivery is given up by its age. Its last error is kept with it, and stays out of the event.
pub(super) fn too_old(delivery: &Delivery) -> &'static str {
    if delivery.tries > 0 {
        "older than four days: every attempt failed"
    } else {
        "older than four days: its endpoint did not exist, or was left alone because it failed"
    }
}

/// The store could not be read: the delivery is looked at again soon, as it is.
fn later(delivery: Delivery, error: &crate::store::Error) -> Tried {
    tracing::warn!(%error, delivery = %delivery.id, "a delivery has to wait for the store");
    Tried::of(delivery, Verdict::Unknown)
}

/// Commits what became of a delivery.
pub(super) async fn settle(work: Arc<Work>, tried: Tried) -> Finished {
    let Tried {
        delivery,
        verdict,
        attempt,
        ..
    } = tried;
    let id = delivery.id.clone();
    // A dead letter is the delivery as it was last, so what the last attempt met is written first.
    let last = OutboxChange::Retry {
        id: id.clone(),
        due: delivery.due,
        tries: delivery.tries,
        last_error: delivery.last_error.clone(),
        attempt,
    };
    let (reason, told, gone) = match verdict {
        Verdict::Unknown => return Finished::Unknown(delivery),
        Verdict::Done => {
            commit(&work, &delivery, &[OutboxChange::Done(id)], &[], None).await;
            return Finished::Ended(delivery);
        }
        Verdict::Again => {
            commit(&work, &delivery, &[last], &[], None).await;
            return Finished::Again(delivery);
        }
        Verdict::Dead { reason, told } => (reason, told, None),
        Verdict::Gone { reason, target } => (reason, false, Some(target)),
    };
    let mut events = Vec::new();
    if gone.is_some() {
        tracing::warn!(endpoint = %delivery.endpoint, "disabled: it answered 410");
        let fields = [
            ("endpoint", Value::from(&*delivery.endpoint)),
            ("reason", Value::from(&*reason)),
        ];
        events.push(draft(&work.deps, "endpoint.disabled", fields));
    }
    if !told {
        tracing::warn!(
            endpoint = %delivery.endpoint, delivery = %delivery.id, last_error = delivery.last_error, "given up: {reason}"
        );
        // Two dead endpoints that are told of each other would make events for ever.
        if concerns(&work.deps, &delivery).await.is_none() {
            events.push(dead_event(&work.deps, &delivery, &reason, 1));
        }
    }
    let changes = [
        last,
        OutboxChange::Dead {
            id,
            reason: reason.clone(),
        },
    ];
    let disables = gone.as_deref().map(|target| (target, reason.as_str()));
    commit(&work, &delivery, &changes, &events, disables).await;
    Finished::Ended(delivery)
}

/// The event of a delivery that was given up, or of `count` of which it is the first.
pub(super) fn dead_event(deps: &Deps, delivery: &Delivery, reason: &str, count: usize) -> Draft {
    let fields = [
        ("endpoint", Value::from(&*delivery.endpoint)),
        ("delivery", Value::from(&*delivery.id)),
        ("reason", Value::from(reason)),
        ("count", Value::from(count)),
    ];
    draft(deps, "delivery.dead", fields)
}

/// The endpoint that the event behind a delivery is about, if it is about one.
pub(super) async fn concerns(deps: &Deps, delivery: &Delivery) -> Option<String> {
    // An event that is not in the journal any more is old; what it was about does not matter now.
    let (_, event) = deps
        .store
        .find_event(delivery.event_id.as_deref()?)
        .await
        .ok()
        .flatten()?;
    let about = matches!(event.event, Kind::Named("delivery.dead" | "endpoint.disabled"));
    about.then(|| event.text("endpoint").unwrap_or_default().to_owned())
}

pub(super) fn draft<const N: usize>(deps: &Deps, name: &'static str, fields: [(&str, Value); N]) -> Draft {
    let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), value));
    Draft {
        event: Kind::Named(name),
        account: None,
        timestamp: deps.clock.now(),
        origin: Origin::Live,
        data: Map::from_iter(fields),
    }
}

/// Commits the outcome, however long the store takes: what was answered is not sent again for the store's sake.
async fn commit(
    work: &Work,
    delivery: &Delivery,
    changes: &[OutboxChange],
    events: &[Draft],
    disables: Option<(&Target, &str)>,
) {
    let mut waits = STORE_WAITS.iter().chain(std::iter::repeat(&STORE_WAITS[3]));
    loop {
        let batch = Batch {
            outbox: changes.to_vec(),
            events: events.iter().cloned().map(NewEvent::from).collect(),
            ..Batch::default()
        };
        let committed = match disables {
            None => work.deps.store.commit(batch).await.map(|_| ()),
            Some((target, reason)) => {
                let now = work.deps.clock.now();
                work.records
                    .disable(&delivery.endpoint, target, reason, now, batch)
                    .await
            }
        };
        let Err(error) = committed else { return };
        tracing::error!(%error, delivery = %delivery.id, "the outcome of a delivery is not committed yet");
        sleep(*waits.next().unwrap_or(&STORE_WAITS[3])).await;
    }
}
