//! Carries the outbox out: reads what waits, tries it when it is due, commits what became of it.
//!
//! In: the store's outbox and the configuration in force. Out: requests, and commits of their outcome. One task owns the
//! queue; each attempt is a task of its own, and so is the commit after it, so nothing counts as delivered that is not
//! durably so. A crash between answer and commit makes the delivery once more, under the same id.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::backlog::{self, Bounds, Job};
use super::carry::{self, Finished, Tried};
use super::clock::{Watch, millis, since};
use super::queue::Queue;
use super::records::Records;
use super::status::Question;
use super::valve::{Last, Valves};
use super::{Deps, Work, endpoint};
use crate::config::Config;
use crate::store::Delivery;

/// How long deliveries of an endpoint that does not exist are held back before it is looked for again. A changed
/// configuration ends the holding back at once.
const UNKNOWN: Duration = Duration::from_secs(30);

/// How often the clock is compared and the bounds are looked at; also the longest sleep.
const TICK: Duration = Duration::from_secs(1);

/// Ticks from one look at what could not be read, and at what is too old, to the next.
const READ: u64 = 30;

/// Ticks from one look at dead letters, and at endpoints that are gone, to the next.
const HOUR: u64 = 3_600;

/// Attempts and commits that may be under way; with more, nothing is started until the store has kept up.
const UNDER_WAY: usize = 1_024;

/// Time that attempts under way get at the end; what does not end is made again after the next start.
const LAST_ATTEMPTS: Duration = Duration::from_secs(10);

/// Waits for the store before the room can begin.
const BEGIN: Duration = Duration::from_secs(1);

pub(super) struct Dispatcher {
    pub(super) work: Arc<Work>,
    pub(super) queue: Queue,
    /// The last row of the outbox that was read.
    pub(super) cursor: Option<String>,
    pub(super) valves: Valves,
    running: FuturesUnordered<BoxFuture<'static, Ran>>,
    pub(super) bounds: Bounds,
    /// What waits to be done beside the deliveries; a job is there once at most.
    pub(super) jobs: VecDeque<Job>,
    pub(super) job: Option<BoxFuture<'static, backlog::Step>>,
    /// Whether there may be more than when the bounds were looked at last.
    pub(super) grown: bool,
    began: Instant,
    pub(super) watch: Watch,
    /// As it was when it was followed last.
    pub(super) config: Arc<Config>,
}

/// What a task came to.
enum Ran {
    /// With the breaker's turn in which the attempt was begun.
    Tried(Tried, u64),
    Settled(Finished),
}

/// Reads the records, as soon as the store can; then delivers until the host stops.
pub(super) async fn run(deps: Deps, questions: mpsc::Receiver<Question>) {
    let records = loop {
        match Records::read(deps.store.clone()).await {
            Ok(records) => break records,
            Err(error) => tracing::error!(%error, "deliveries wait for the store"),
        }
        if deps.stop.run_until_cancelled(sleep(BEGIN)).await.is_none() {
            return;
        }
    };
    Dispatcher::new(Work { deps, records }).deliver(questions).await;
}

impl Dispatcher {
    fn new(work: Work) -> Self {
        let began = Instant::now();
        let config = work.deps.config.borrow().clone();
        let mut queue = Queue::default();
        queue.follow_strict(endpoint::strict(&config));
        Self {
            watch: Watch::new(work.deps.clock.now(), since(began)),
            work: Arc::new(work),
            queue,
            cursor: None,
            valves: Valves::default(),
            running: FuturesUnordered::new(),
            bounds: Bounds::default(),
            jobs: VecDeque::new(),
            job: None,
            grown: true,
            began,
            config,
        }
    }

    async fn deliver(mut self, mut questions: mpsc::Receiver<Question>) {
        let stop = self.work.deps.stop.clone();
        let mut outbox = self.work.deps.store.outbox_changed();
        let mut config = self.work.deps.config.clone();
        // A beat of its own: the sleep below begins anew with each delivery that comes or goes.
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat: u64 = 0;
        self.note_endpoints();
        self.read_new().await;
        loop {
            self.look_at_clock();
            self.start();
            self.start_job();
            let pause = self.pause();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ran) = self.running.next(), if !self.running.is_empty() => self.ran(ran).await,
                Ok(()) = outbox.changed() => {
                    self.grown = true;
                    self.read_new().await;
                }
                Ok(()) = config.changed() => self.follow_config().await,
                Some(question) = questions.recv() => self.answer(question).await,
                step = next_step(&mut self.job) => self.job_step(step),
                _ = ticks.tick() => {
                    beat += 1;
                    self.tick(beat).await;
                }
                // Something is due.
                () = sleep(pause) => {}
            }
        }
        let ending = async {
            while let Some(ran) = self.running.next().await {
                if let Ran::Tried(tried, _) = ran {
                    self.settle(tried);
                }
            }
        };
        if timeout(LAST_ATTEMPTS, ending).await.is_err() {
            tracing::info!(
                left = self.running.len(),
                "deliveries under way are left; they are made again at the next start"
            );
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.work.deps.clock.now()
    }

    /// Time that the wall clock does not change.
    pub(super) fn passed(&self) -> Duration {
        since(self.began)
    }

    /// Starts everything that is due and may go.
    fn start(&mut self) {
        let (now, passed) = (self.now(), self.passed());
        let config = Arc::clone(&self.config);
        while self.running.len() < UNDER_WAY {
            let limit = |name: &str| self.valves.limit(name, &config, passed);
            let Some(delivery) = self.queue.take(now, config.webhooks.in_flight.max(1), limit) else {
                return;
            };
            let turn = self.valves.begin(&delivery.endpoint, &config, passed);
            let spare = delivery.clone();
            let task = carry::try_out(Arc::clone(&self.work), delivery);
            self.spawn(spare, async move { Ran::Tried(task.await, turn) });
        }
    }

    fn settle(&mut self, tried: Tried) {
        let spare = tried.delivery.clone();
        let task = carry::settle(Arc::clone(&self.work), tried);
        self.spawn(spare, async move { Ran::Settled(task.await) });
    }

    fn spawn(&mut self, spare: Delivery, task: impl Future<Output = Ran> + Send + 'static) {
        let task = AbortOnDropHandle::new(self.work.deps.tracker.spawn(task));
        let ran = async move {
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, delivery = %spare.id, "the task of a delivery ended by a defect; it is tried again");
                Ran::Settled(Finished::Unknown(spare))
            })
        };
        self.running.push(ran.boxed());
    }

    async fn ran(&mut self, ran: Ran) {
        match ran {
            Ran::Tried(tried, turn) => {
                self.queue.answered(&tried.delivery);
                if let Some((ending, status, ms)) = tried.ending {
                    let last = Last {
                        at: self.now(),
                        ending,
                        status,
                        ms,
                    };
                    let passed = self.passed();
                    self.valves.end(&tried.delivery.endpoint, turn, passed, last);
                }
                return self.settle(tried);
            }
            Ran::Settled(Finished::Ended(delivery)) => {
                if let Some(after) = self.queue.end(&delivery) {
                    self.go_back(after);
                    self.read_new().await;
                }
            }
            Ran::Settled(Finished::Again(delivery)) => self.queue.put_back(delivery),
            Ran::Settled(Finished::Unknown(delivery)) => {
                let (endpoint, until) = (delivery.endpoint.clone(), self.now() + millis(UNKNOWN));
                self.queue.put_back(delivery);
                self.queue.park(&endpoint, until);
            }
        }
        self.refill().await;
    }

    async fn follow_config(&mut self) {
        let new = self.work.deps.config.borrow().clone();
        let old = std::mem::replace(&mut self.config, new);
        if let Err(error) = self.work.deps.client.follow(&self.config.egress) {
            tracing::error!(%error, "the old [egress] stays in force");
        }
        let new = &self.config;
        let same_egress = old.egress == new.egress;
        self.valves
            .reset(|name| !same_egress || old.endpoint.get(name) != new.endpoint.get(name));
        self.queue.follow_strict(endpoint::strict(new));
        self.queue.unpark();
        self.note_endpoints();
        self.refill().await;
    }

    /// Takes up changed secrets and forgets endpoints that are gone, behind the deliveries.
    fn note_endpoints(&self) {
        let work = Arc::clone(&self.work);
        self.work.deps.tracker.spawn(async move {
            let config = work.deps.config.borrow().clone();
            let noted = async {
                let names = endpoint::names(&config, &work.deps.store).await?;
                for name in &names {
                    if let Some(target) = endpoint::resolve(name, &config, &work.deps.store).await? {
                        work.records.admit(name, &target, work.deps.clock.now()).await?;
                    }
                }
                work.records.keep_only(&names).await
            };
            if let Err(error) = noted.await {
                tracing::warn!(%error, "changed secrets of endpoints are taken up with their next delivery");
            }
        });
    }

    fn pause(&mut self) -> Duration {
        let (now, passed) = (self.now(), self.passed());
        let due = self
            .queue
            .next_due(now)
            .map(|due| Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0)));
        let opens = self.valves.opens_at(self.queue.ready(now), passed);
        let opens = opens.map(|at| at.saturating_sub(passed));
        due.into_iter().chain(opens).min().unwrap_or(TICK).min(TICK)
    }

    async fn tick(&mut self, beat: u64) {
        if std::mem::take(&mut self.grown) {
            match self.work.deps.store.backlog().await {
                Ok((held, shares)) => {
                    for job in self.bounds.look(held, &shares) {
                        self.want(job);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the bounds of the outbox are looked at later");
                    self.grown = true;
                }
            }
        }
        if beat.is_multiple_of(READ) {
            self.want(Job::Expire);
            self.refill().await;
        }
        if beat.is_multiple_of(HOUR) {
            self.want(Job::Letters);
            self.note_endpoints();
        }
    }
}

/// The end of the job that is at work; never, if there is none.
async fn next_step(job: &mut Option<BoxFuture<'static, backlog::Step>>) -> backlog::Step {
    match job {
        Some(job) => job.await,
        None => std::future::pending().await,
    }
}
