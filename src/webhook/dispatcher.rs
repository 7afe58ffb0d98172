//! Carries the outbox out: reads what waits, tries it when it is due, commits what became of it.
//!
//! In: the store's outbox and the configuration in force. Out: requests, and commits of their outcome. One task owns the
//! queue; each attempt is a task of its own, which ends with the commit, so nothing counts as delivered that is not
//! durably so. A crash between answer and commit makes the delivery once more, under the same id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::attempt::{self, Outcome};
use super::endpoint::{self, Target};
use super::queue::Queue;
use super::{Deps, schedule};
use crate::event::{Draft, Kind, Origin};
use crate::store::{Batch, Delivery, NewEvent, OutboxChange};

/// Rows of the outbox that are read at a time.
const PAGE: usize = 500;

/// How long deliveries of an endpoint that does not exist are held back before it is looked for again. A changed
/// configuration ends the holding back at once.
const UNKNOWN: Duration = Duration::from_secs(30);

/// The longest sleep, after which the clock is compared and forgotten deliveries are looked for.
const TICK: Duration = Duration::from_secs(30);

/// A clock that went back by less than this is left alone.
const JUMP: i64 = 30_000;

/// Time that attempts under way get at the end; what does not end is made again after the next start.
const LAST_ATTEMPTS: Duration = Duration::from_secs(10);

/// Waits between tries to commit when the store fails.
const STORE_WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

pub(super) struct Dispatcher {
    deps: Arc<Deps>,
    queue: Queue,
    /// The last row of the outbox that was read.
    cursor: Option<String>,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    disabled: Disabled,
    clock: (i64, Instant),
}

/// Endpoints that answered 410, as they were then: a change of theirs, or a new start, opens them again.
type Disabled = Arc<Mutex<HashMap<String, Target>>>;

/// What an attempt's task reports.
enum Finished {
    /// Delivered, dead, or not wanted: it is out of the outbox.
    Ended(Delivery),
    /// To be tried again when it is due.
    Again(Delivery),
    /// It could not be tried now: its endpoint does not exist, or the store cannot be read.
    Unknown(Delivery),
}

impl Dispatcher {
    pub(super) fn new(deps: Deps) -> Self {
        Self {
            deps: Arc::new(deps),
            queue: Queue::default(),
            cursor: None,
            running: FuturesUnordered::new(),
            disabled: Disabled::default(),
            clock: (now(), Instant::now()),
        }
    }

    pub(super) async fn run(mut self) {
        let stop = self.deps.stop.clone();
        let mut outbox = self.deps.store.outbox_changed();
        let mut config = self.deps.config.clone();
        self.read_new().await;
        loop {
            self.start();
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = self.running.next(), if !self.running.is_empty() => self.finish(finished).await,
                Ok(()) = outbox.changed() => self.read_new().await,
                Ok(()) = config.changed() => self.follow_config(),
                () = sleep(pause) => self.tick().await,
                else => break,
            }
        }
        let ending = async { while self.running.next().await.is_some() {} };
        if timeout(LAST_ATTEMPTS, ending).await.is_err() {
            tracing::info!(
                left = self.running.len(),
                "deliveries under way are left; they are made again at the next start"
            );
        }
    }

    /// Starts everything that is due and may go.
    fn start(&mut self) {
        let config = self.deps.config.borrow().clone();
        let now = now();
        let limit = |name: &str| endpoint::in_flight(name, &config);
        while let Some(delivery) = self.queue.take(now, config.webhooks.in_flight.max(1), limit) {
            let spare = delivery.clone();
            let task = carry_out(Arc::clone(&self.deps), Arc::clone(&self.disabled), delivery);
            let task = AbortOnDropHandle::new(self.deps.tracker.spawn(task));
            let finished = async move {
                task.await.unwrap_or_else(|error| {
                    tracing::error!(%error, delivery = %spare.id, "the task of a delivery ended by a defect; it is tried again");
                    Finished::Unknown(spare)
                })
            };
            self.running.push(finished.boxed());
        }
    }

    async fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Ended(delivery) => self.queue.end(&delivery),
            Finished::Again(delivery) => self.queue.put_back(delivery),
            Finished::Unknown(delivery) => {
                let endpoint = delivery.endpoint.clone();
                self.queue.put_back(delivery);
                self.queue.park(&endpoint, now() + millis(UNKNOWN));
            }
        }
        while let Some((endpoint, after)) = self.queue.short_of() {
            if !self.read(Some(after), Some(&endpoint)).await {
                break;
            }
        }
    }

    fn follow_config(&mut self) {
        let egress = self.deps.config.borrow().egress.clone();
        if let Err(error) = self.deps.client.follow(&egress) {
            tracing::error!(%error, "the old [egress] stays in force");
        }
        self.queue.unpark();
    }

    fn pause(&self) -> Duration {
        let now = now();
        let due = self
            .queue
            .next_due(now)
            .map(|due| Duration::from_millis(u64::try_from(due - now).unwrap_or(0)));
        due.unwrap_or(TICK).min(TICK)
    }

    async fn tick(&mut self) {
        let (wall, since) = std::mem::replace(&mut self.clock, (now(), Instant::now()));
        let jump = self.clock.0 - wall - millis(since.elapsed());
        if jump < -JUMP {
            tracing::warn!(
                seconds = jump / 1000,
                "the clock was set back; what waits keeps its wait"
            );
            self.queue.shift(-jump);
        }
        if self.queue.forgot() {
            match self.deps.store.deliveries(PAGE).await {
                Ok(rows) => rows
                    .into_iter()
                    .filter(|row| row.tries > 0)
                    .for_each(|row| self.queue.add(row, None)),
                Err(error) => tracing::warn!(%error, "the outbox cannot be read now"),
            }
        }
    }

    /// Reads what is new in the outbox.
    async fn read_new(&mut self) {
        self.read(self.cursor.clone(), None).await;
    }

    /// Reads the outbox in the order of arrival, all of it or that of one endpoint; answers whether it could.
    async fn read(&mut self, mut after: Option<String>, only: Option<&str>) -> bool {
        loop {
            let rows = match self.deps.store.deliveries_after(after.as_deref(), PAGE).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read now");
                    return false;
                }
            };
            let last = rows.len() < PAGE;
            for row in rows {
                let id = row.id.clone();
                if only.is_none_or(|endpoint| endpoint == row.endpoint) {
                    self.queue.add(row, after.as_deref());
                }
                after = Some(id);
            }
            if only.is_none() {
                self.cursor.clone_from(&after);
            }
            if last {
                return true;
            }
        }
    }
}

/// Tries one delivery and commits what became of it.
async fn carry_out(deps: Arc<Deps>, disabled: Disabled, mut delivery: Delivery) -> Finished {
    if now() - delivery.created_at > millis(schedule::OLDEST) {
        let why = delivery
            .last_error
            .clone()
            .unwrap_or_else(|| "its endpoint does not exist".to_owned());
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
        return settle(&deps, delivery, change, Vec::new()).await;
    }
    if delivery.tries == 0 && concerns(&deps, &delivery).await.as_deref() == Some(&delivery.endpoint) {
        tracing::debug!(delivery = %delivery.id, "an event about the endpoint itself is not delivered to it");
        let change = OutboxChange::Done(delivery.id.clone());
        return settle(&deps, delivery, change, Vec::new()).await;
    }
    let body = match deps.store.delivery_body(&delivery.body).await {
        Ok(Some(body)) => body,
        Ok(None) => return bury(&deps, delivery, "its body is not in the store".to_owned(), None).await,
        Err(error) => return later(&delivery, &error),
    };
    match attempt::attempt(&deps.client, &target, &delivery, body.into()).await {
        Outcome::Delivered => {
            let change = OutboxChange::Done(delivery.id.clone());
            settle(&deps, delivery, change, Vec::new()).await
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
                delivery.tries = tries;
                return bury(&deps, delivery, format!("failed {tries} times, at last: {why}"), None).await;
            };
            let due = now() + millis(pause);
            tracing::info!(
                endpoint = %delivery.endpoint, delivery = %delivery.id, attempt = tries, next_s = pause.as_secs(),
                "not delivered, tried again later: {why}"
            );
            let change = OutboxChange::Retry {
                id: delivery.id.clone(),
                due,
                tries,
                last_error: Some(why.clone()),
            };
            (delivery.tries, delivery.due, delivery.last_error) = (tries, due, Some(why));
            match settle(&deps, delivery, change, Vec::new()).await {
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
    tracing::warn!(endpoint = %delivery.endpoint, delivery = %delivery.id, "given up: {reason}");
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
    let change = OutboxChange::Dead {
        id: delivery.id.clone(),
        reason,
    };
    settle(deps, delivery, change, events).await
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
async fn settle(deps: &Deps, delivery: Delivery, change: OutboxChange, events: Vec<Draft>) -> Finished {
    let mut waits = STORE_WAITS.iter().chain(std::iter::repeat(&STORE_WAITS[3]));
    loop {
        let batch = Batch {
            outbox: vec![change.clone()],
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

fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
