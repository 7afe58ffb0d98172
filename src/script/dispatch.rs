//! Brings one script the events that it wants: in order within a chat, different chats together, each run to its commit.
//!
//! In: the journal from the script's position on, the gates' verdicts. Out: one commit for each run. The journal is the
//! queue: what has not been taken from it waits there. Must not know Lua.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use crate::event::Event;
use crate::store::{Batch, Error as StoreError, FailedRun};

use super::dead::{Revival, next};
use super::finish::lane;
use super::gates::Gates;
use super::live::now;
use super::shared::Shared;
use super::slot::Slot;

mod dead;
mod runs;
mod skip;

/// Runs of one script that are at work at a time.
const AT_WORK: usize = 64;
/// Events that may be taken from the journal and stand unfinished; while they do, others wait in the journal.
const WINDOW: usize = 1000;
/// Events read at a time.
const PAGE: usize = 64;
/// Wait before the store is asked again when it is out of service.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Events that may move the position without a commit.
const QUIET_MOVES: u64 = 1000;
/// Commits of the position after which the gates forget what all scripts have passed.
const FORGET_EVERY: u64 = 100;

/// The dispatch of one script.
pub(crate) struct Dispatch {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    gates: Arc<Gates>,
    places: Arc<Semaphore>,
    /// Below this, runs may have been begun by a host that is gone.
    began: u64,
    /// The mark of the last such commit.
    committed: AtomicU64,
    /// Such commits.
    commits: AtomicU64,
}

/// An event in its lane.
struct Turn {
    offset: u64,
    event: Arc<Event>,
    /// It is a dead run's, which is run again.
    revival: Option<Revival>,
}

struct Lanes {
    waiting: HashMap<String, VecDeque<Turn>>,
    open: usize,
    done: mpsc::Sender<String>,
}

impl Dispatch {
    /// The dispatch of a script that has a position. `began` is the journal's head when the host started.
    pub(crate) fn new(slot: &Arc<Slot>, shared: &Arc<Shared>, gates: &Arc<Gates>, began: u64) -> Arc<Self> {
        let mark = slot.position().map_or(0, |position| position.mark);
        Arc::new(Self {
            slot: Arc::clone(slot),
            shared: Arc::clone(shared),
            gates: Arc::clone(gates),
            places: Arc::new(Semaphore::new(AT_WORK)),
            began,
            committed: AtomicU64::new(mark),
            commits: AtomicU64::new(0),
        })
    }

    /// Works until the host stops; then lets runs end and commits the position.
    pub(crate) async fn run(self: Arc<Self>) {
        let (done, mut finished) = mpsc::channel(PAGE);
        let mut lanes = Lanes {
            waiting: HashMap::new(),
            open: 0,
            done,
        };
        tokio::select! {
            () = self.work(&mut lanes, &mut finished) => {}
            () = self.shared.stop.cancelled() => {}
        }
        let last = async {
            while !lanes.waiting.is_empty() {
                let Some(key) = finished.recv().await else { break };
                lanes.waiting.remove(&key);
            }
        };
        if tokio::time::timeout(self.shared.times.last_runs, last).await.is_err() {
            tracing::warn!(target: "wharf::script", script = &*self.slot.name, "runs were cut off; they start again");
        }
        self.slot.cut();
        if let Err(error) = self.commit_position(Batch::default(), None).await {
            tracing::error!(target: "wharf::script", script = &*self.slot.name, "the position was not committed: {error}");
        }
    }

    async fn work(self: &Arc<Self>, lanes: &mut Lanes, finished: &mut mpsc::Receiver<String>) {
        let mut head = self.shared.store.head();
        let mut failed = self.failed_runs().await;
        let mut cursor = self.slot.position().map_or(0, |position| position.mark);
        let mut dead = self.slot.revivals().listen();
        loop {
            while let Ok(key) = finished.try_recv() {
                self.follow(lanes, key, &mut failed);
            }
            if cursor < *head.borrow_and_update() && lanes.open < WINDOW {
                match self.shared.store.events(cursor, PAGE.min(WINDOW - lanes.open)).await {
                    Ok(events) if events.is_empty() => cursor = *head.borrow(),
                    Ok(events) => {
                        for (offset, event) in events {
                            if cursor < offset {
                                self.skip(cursor, offset, &mut failed).await;
                            }
                            cursor = offset + 1;
                            self.take(lanes, offset, event, &mut failed).await;
                        }
                    }
                    Err(error) => {
                        tracing::error!(target: "wharf::script", script = &*self.slot.name, "cannot read the journal: {error}");
                        tokio::time::sleep(STORE_PAUSE).await;
                    }
                }
                continue;
            }
            tokio::select! {
                key = finished.recv() => {
                    let Some(key) = key else { return };
                    self.follow(lanes, key, &mut failed);
                }
                Some(revival) = next(&mut dead) => self.take_dead(lanes, revival, &mut failed),
                changed = head.changed(), if lanes.open < WINDOW => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Takes an event from the journal: into its lane, or past it if nobody wants it.
    async fn take(
        self: &Arc<Self>,
        lanes: &mut Lanes,
        offset: u64,
        event: Arc<Event>,
        failed: &mut HashMap<u64, FailedRun>,
    ) {
        if self.slot.is_finished(offset) {
            return;
        }
        if !failed.contains_key(&offset) && self.is_nothing(offset, &event) {
            self.pass(offset).await;
            return;
        }
        let key = lane(&event);
        lanes.open += 1;
        let queue = lanes.waiting.entry(key.clone()).or_default();
        queue.push_back(Turn {
            offset,
            event,
            revival: None,
        });
        if queue.len() == 1 {
            self.begin(lanes, key, failed);
        }
    }

    /// Takes a dead run into the lane of its event, behind what is there.
    fn take_dead(self: &Arc<Self>, lanes: &mut Lanes, revival: Revival, failed: &mut HashMap<u64, FailedRun>) {
        let key = lane(&revival.event);
        lanes.open += 1;
        let queue = lanes.waiting.entry(key.clone()).or_default();
        queue.push_back(Turn {
            offset: revival.dead.offset,
            event: Arc::clone(&revival.event),
            revival: Some(revival),
        });
        if queue.len() == 1 {
            self.begin(lanes, key, failed);
        }
    }

    /// Whether the script does not want an event, as far as can be said now.
    fn is_nothing(&self, offset: u64, event: &Event) -> bool {
        let Some(runner) = self.slot.current() else {
            return false;
        };
        // A run that was begun before may be older than its filter says, and is looked up in the store.
        let outline = runner.outline();
        !outline.wants(event, now(), offset < self.began)
            && (self.gates.is_decided(offset) || outline.gates_for(event, now()).is_empty())
    }

    /// Moves the position past an event, mostly without a commit.
    async fn pass(&self, offset: u64) {
        self.slot.advance(|position| position.finish(offset));
        let mark = self.slot.position().map_or(0, |position| position.mark);
        if mark.saturating_sub(self.committed.load(Ordering::Relaxed)) >= QUIET_MOVES
            && let Err(error) = self.commit_position(Batch::default(), None).await
        {
            tracing::error!(target: "wharf::script", script = &*self.slot.name, "the position was not committed: {error}");
        }
    }

    fn follow(self: &Arc<Self>, lanes: &mut Lanes, key: String, failed: &mut HashMap<u64, FailedRun>) {
        let Some(queue) = lanes.waiting.get_mut(&key) else {
            return;
        };
        queue.pop_front();
        lanes.open = lanes.open.saturating_sub(1);
        if queue.is_empty() {
            lanes.waiting.remove(&key);
        } else {
            self.begin(lanes, key, failed);
        }
    }

    /// Begins the first run of a lane.
    fn begin(self: &Arc<Self>, lanes: &mut Lanes, key: String, failed: &mut HashMap<u64, FailedRun>) {
        let Some(turn) = lanes.waiting.get_mut(&key).and_then(VecDeque::front_mut) else {
            return;
        };
        let (offset, event, revival) = (turn.offset, Arc::clone(&turn.event), turn.revival.take());
        let before = failed.remove(&offset);
        let (dispatch, done) = (Arc::clone(self), lanes.done.clone());
        self.shared.tracker.spawn_on(
            async move {
                match revival {
                    None => dispatch.see_through(offset, &event, before).await,
                    Some(revival) => dispatch.revive(revival).await,
                }
                // The reader is gone when the script is.
                done.send(key).await.ok();
            },
            &self.shared.runtime,
        );
    }

    /// Commits a batch together with the position, which passes `offset` only if the commit is kept. Runs that end together
    /// share a commit: each claims what is finished already and its own event, and the store adds them up.
    async fn commit_position(&self, batch: Batch, offset: Option<u64>) -> Result<(), StoreError> {
        self.commit_past(batch, offset.map(|offset| (offset, offset + 1))).await
    }

    /// The same, past this half-open range.
    async fn commit_past(&self, mut batch: Batch, range: Option<(u64, u64)>) -> Result<(), StoreError> {
        let Some(mut position) = self.slot.position() else {
            return Ok(());
        };
        if let Some((from, to)) = range {
            position.finish_range(from, to);
        }
        let (mark, offset) = (position.mark, range.map(|(from, _)| from));
        batch.positions.push((self.slot.name.to_string(), position));
        tracing::trace!(target: "wharf::path", script = &*self.slot.name, offset, "run in commit");
        self.shared.store.commit(batch).await?;
        tracing::trace!(target: "wharf::path", script = &*self.slot.name, offset, "run committed");
        self.committed.fetch_max(mark, Ordering::Relaxed);
        if self
            .commits
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(FORGET_EVERY)
        {
            self.gates.forget_finished();
        }
        if let Some((from, to)) = range {
            self.slot.advance(|position| position.finish_range(from, to));
        }
        Ok(())
    }
}
