//! One delivery, from the moment that it may be tried to the commit of what became of it.
//!
//! In: a delivery that is due. Out: an attempt, the commit of its outcome with the events about it, and a [`Finished`] for the
//! dispatcher. Must not decide who is next.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::time::sleep;

use super::attempt::{self, Outcome};
use super::dispatcher::{millis, now};
use super::endpoint::{self, Target};
use super::{Deps, schedule};
use crate::event::{Draft, Kind, Origin};
use crate::store::{Batch, Delivery, NewEvent, OutboxChange};

/// Waits between tries to commit when the store fails.
const STORE_WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// Endpoints that answered 410, as they were then: a change of theirs, or a new start, opens them again.
pub(super) type Disabled = Arc<Mutex<HashMap<String, Target>>>;

/// What an attempt's task reports.
pub(super) enum Finished {
    /// Delivered, dead, or not wanted: it is out of the outbox.
    Ended(Delivery),
    /// To be tried again when it is due.
    Again(Delivery),
    /// It could not be tried now: its endpoint does not exist, or the store cannot be read.
    Unknown(Delivery),
}

/// Tries one delivery and commits what became of it.
pub(super) async fn carry_out(deps: Arc<Deps>, disabled: Disabled, mut delivery: Delivery) -> Finished {
    if now() - delivery.created_at > millis(schedule::OLDEST) {
        // Its last error is kept with it, and stays out of the event.
        let why = if delivery.tries > 0 {
            "every attempt failed"
        } else {
            "its endpoint does not exist"
        };
        return bury(&deps, delivery, format!("older than four days: {why}"), None).await;
    }
    let config = deps.config.borrow().clone();
    let target = match endpoint::resolve(&delivery.endpoint, &config, &deps.store).await {
        Ok(Some(target)) => target,
        Ok(None) => return Finished::Unknown(delivery),
        Err(error) => return later(&delivery, &error),
    };
    let shut = {
        let mut disabled = disabled.lock().unwrap_or_else(PoisonError::into_inner);
        if disabled.get(&delivery.endpoint).is_some_and(|then| *then != target) {
            disabled.remove(&delivery.endpoint);
        }
        disabled.contains_key(&delivery.endpoint)
    };
    if shut {
        let change = OutboxChange::Dead {
            id: delivery.id.clone(),
            reason: "the endpoint is disabled".to_owned(),
        };
        return settle(&deps, delivery, vec![change], Vec::new()).await;
    }
    if delivery.tries == 0 && concerns(&deps, &delivery).await.as_deref() == Some(&delivery.endpoint) {
        tracing::debug!(delivery = %delivery.id, "an event about the endpoint itself is not delivered to it");
        let change = OutboxChange::Done(delivery.id.clone());
        return settle(&deps, delivery, vec![change], Vec::new()).await;
    }
    let body = match deps.store.delivery_body(&delivery.body).await {
        Ok(Some(body)) => body,
        Ok(None) => return bury(&deps, delivery, "its body is not in the store".to_owned(), None).await,
        Err(error) => return later(&delivery, &error),
    };
    match attempt::attempt(&deps.client, &target, &delivery, body.into()).await {
        Outcome::Delivered => {
            let change = OutboxChange::Done(delivery.id.clone());
            settle(&deps, delivery, vec![change], Vec::new()).await
        }
        Outcome::Gone => {
            let reason = "answered 410: it wants nothing any more".to_owned();
            tracing::warn!(endpoint = %delivery.endpoint, "disabled: it answered 410");
            disabled
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(delivery.endpoint.clone(), target);
            bury(&deps, delivery, reason, Some("endpoint.disabled")).await
        }
        Outcome::Final(reason) => bury(&deps, delivery, reason, None).await,
        Outcome::Failed { met, why } => {
            let tries = delivery.tries + 1;
            let Some(pause) = schedule::wait(tries, met, &config.webhooks.retries, schedule::chance()) else {
                (delivery.tries, delivery.last_error) = (tries, Some(why.detail));
                return bury(
                    &deps,
                    delivery,
                    format!("failed {tries} times, at last: {}", why.told),
                    None,
                )
                .await;
            };
            let due = now() + millis(pause);
            tracing::info!(
                endpoint = %delivery.endpoint, delivery = %delivery.id, attempt = tries, next_s = pause.as_secs(),
                "not delivered, tried again later: {}", why.detail
            );
            let change = OutboxChange::Retry {
                id: delivery.id.clone(),
                due,
                tries,
                last_error: Some(why.detail.clone()),
            };
            (delivery.tries, delivery.due, delivery.last_error) = (tries, due, Some(why.detail));
            match settle(&deps, delivery, vec![change], Vec::new()).await {
                Finished::Ended(delivery) => Finished::Again(delivery),
                other => other,
            }
        }
    }
}

/// The store could not be read: the delivery is looked at again soon, as it is.
fn later(delivery: &Delivery, error: &crate::store::Error) -> Finished {
    tracing::warn!(%error, delivery = %delivery.id, "a delivery has to wait for the store");
    Finished::Unknown(delivery.clone())
}

/// Makes a delivery a dead letter and says so, unless it was itself about a delivery or an endpoint: two dead endpoints
/// that are told of each other would make events for ever.
async fn bury(deps: &Deps, delivery: Delivery, reason: String, also: Option<&'static str>) -> Finished {
    tracing::warn!(
        endpoint = %delivery.endpoint, delivery = %delivery.id, last_error = delivery.last_error, "given up: {reason}"
    );
    let mut events = Vec::new();
    if let Some(name) = also {
        events.push(draft(name, [("endpoint", &delivery.endpoint), ("reason", &reason)]));
    }
    if concerns(deps, &delivery).await.is_none() {
        let fields = [
            ("endpoint", &delivery.endpoint),
            ("delivery", &delivery.id),
            ("reason", &reason),
        ];
        events.push(draft("delivery.dead", fields));
    }
    // A dead letter is the delivery as it was last, so what the last attempt met is written first.
    let last = OutboxChange::Retry {
        id: delivery.id.clone(),
        due: delivery.due,
        tries: delivery.tries,
        last_error: delivery.last_error.clone(),
    };
    let dead = OutboxChange::Dead {
        id: delivery.id.clone(),
        reason,
    };
    settle(deps, delivery, vec![last, dead], events).await
}

/// The endpoint that the event behind a delivery is about, if it is about one.
async fn concerns(deps: &Deps, delivery: &Delivery) -> Option<String> {
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

fn draft<const N: usize>(name: &'static str, fields: [(&str, &String); N]) -> Draft {
    let data: Map<String, Value> = fields
        .into_iter()
        .map(|(field, value)| (field.to_owned(), Value::from(value.as_str())))
        .collect();
    Draft {
        event: Kind::Named(name),
        account: None,
        timestamp: now(),
        origin: Origin::Live,
        data,
    }
}

/// Commits the outcome, however long the store takes: what was answered is not sent again for the store's sake.
async fn settle(deps: &Deps, delivery: Delivery, changes: Vec<OutboxChange>, events: Vec<Draft>) -> Finished {
    let mut waits = STORE_WAITS.iter().chain(std::iter::repeat(&STORE_WAITS[3]));
    loop {
        let batch = Batch {
            outbox: changes.clone(),
            events: events.iter().cloned().map(NewEvent::from).collect(),
            ..Batch::default()
        };
        match deps.store.commit(batch).await {
            Ok(_) => return Finished::Ended(delivery),
            Err(error) => {
                tracing::error!(%error, delivery = %delivery.id, "the outcome of a delivery is not committed yet")
            }
        }
        sleep(*waits.next().unwrap_or(&STORE_WAITS[3])).await;
    }
}
