//! Carries the outbox out: reads what waits, tries it when it is due, commits what became of it.
//!
//! In: the store's outbox and the configuration in force. Out: requests, and commits of their outcome. One task owns the
//! queue; each attempt is a task of its own, which ends with the commit, so nothing counts as delivered that is not
//! durably so. A crash between answer and commit makes the delivery once more, under the same id.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::carry::{Disabled, Finished, carry_out};
use super::queue::Queue;
use super::{Deps, endpoint};

/// Rows of the outbox that are read at a time.
const PAGE: usize = 500;

/// How long deliveries of an endpoint that does not exist are held back before it is looked for again. A changed
/// configuration ends the holding back at once.
const UNKNOWN: Duration = Duration::from_secs(30);

/// How often the clock is compared and what could not be read is read again; also the longest sleep.
const TICK: Duration = Duration::from_secs(30);

/// A clock that went back by less than this is left alone.
const JUMP: i64 = 30_000;

/// Time that attempts under way get at the end; what does not end is made again after the next start.
const LAST_ATTEMPTS: Duration = Duration::from_secs(10);

pub(super) struct Dispatcher {
    deps: Arc<Deps>,
    queue: Queue,
    /// The last row of the outbox that was read.
    cursor: Option<String>,
    running: FuturesUnordered<BoxFuture<'static, Finished>>,
    disabled: Disabled,
    clock: (i64, Instant),
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
        // A beat of its own: the sleep below begins anew with each delivery that comes or goes.
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.read_new().await;
        loop {
            self.start();
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = self.running.next(), if !self.running.is_empty() => self.finish(finished).await,
                Ok(()) = outbox.changed() => self.read_new().await,
                Ok(()) = config.changed() => self.follow_config(),
                _ = ticks.tick() => self.tick().await,
                // Something is due.
                () = sleep(pause) => {}
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
            Finished::Ended(delivery) => {
                if let Some(after) = self.queue.end(&delivery) {
                    self.go_back(after);
                    self.read_new().await;
                }
            }
            Finished::Again(delivery) => self.queue.put_back(delivery),
            Finished::Unknown(delivery) => {
                let endpoint = delivery.endpoint.clone();
                self.queue.put_back(delivery);
                self.queue.park(&endpoint, now() + millis(UNKNOWN));
            }
        }
        self.refill().await;
    }

    /// Reads more of those endpoints of which the store has more, now that there is room.
    async fn refill(&mut self) {
        while let Some((endpoint, after)) = self.queue.short_of() {
            if !self.read(Some(after.clone()), Some(&endpoint)).await {
                return self.queue.owe(&endpoint, after);
            }
        }
        while let Some((endpoint, due)) = self.queue.short_of_late() {
            if !self.read_late(&endpoint, due).await {
                return self.queue.owe_late(&endpoint, due);
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
        self.refill().await;
    }

    /// Reads what is new in the outbox, and what was put back, which lies where it was.
    async fn read_new(&mut self) {
        if let Some(after) = self.deps.store.put_back_after() {
            self.go_back(after);
        }
        self.read(self.cursor.clone(), None).await;
    }

    fn go_back(&mut self, after: String) {
        if self.cursor.as_ref().is_some_and(|cursor| *cursor > after) {
            self.cursor = Some(after);
        }
    }

    /// Reads the outbox in the order of arrival, all of it, or that of one endpoint until its lane is full; answers whether it
    /// could.
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
                if only.is_some_and(|endpoint| self.queue.has_more(endpoint)) {
                    return true;
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

    /// Reads an endpoint's failed deliveries by due time from `due` on, until its lane is full; answers whether it could.
    async fn read_late(&mut self, endpoint: &str, mut due: i64) -> bool {
        let mut after: Option<String> = None;
        loop {
            let rows = match self.deps.store.deliveries_due(due, after.as_deref(), PAGE).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::warn!(%error, "the outbox cannot be read now");
                    return false;
                }
            };
            let Some(last) = rows.last() else {
                return true;
            };
            (due, after) = (last.due, Some(last.id.clone()));
            for row in rows.into_iter().filter(|row| row.tries > 0 && row.endpoint == endpoint) {
                self.queue.add(row, None);
                if self.queue.has_more_late(endpoint) {
                    return true;
                }
            }
        }
    }
}

pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
