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
use crate::store::{Batch, DeadRun, Error as StoreError, FailedRun, Position};

use super::error::{Fault, FaultKind};
use super::finish::{Next, after, error_event, keep, lane};
use super::gates::Gates;
use super::host::{Runner, Work};
use super::live::now;
use super::run::Effects;
use super::slot::{Shared, Slot};

/// Runs of one script that are at work at a time.
const AT_WORK: usize = 64;
/// Events that may be taken from the journal and stand unfinished; while they do, others wait in the journal.
const WINDOW: usize = 1000;
/// Events read at a time.
const PAGE: usize = 64;
/// How often a run is run again because another one wrote what it read.
const CONFLICTS: u32 = 3;
/// Wait before the store is asked again when it is out of service.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// Events that may move the position without a commit.
const QUIET_MOVES: u64 = 1000;
/// How long runs may go on when the host stops.
pub(crate) const LAST_RUNS: Duration = Duration::from_secs(10);

/// The dispatch of one script.
pub(crate) struct Dispatch {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
    gates: Arc<Gates>,
    places: Arc<Semaphore>,
    /// Below this, runs may have been begun by a host that is gone.
    began: u64,
    /// Held over each commit that moves the position, so that none claims what another has not committed.
    committing: tokio::sync::Mutex<()>,
    /// The mark of the last such commit.
    committed: AtomicU64,
}

struct Lanes {
    waiting: HashMap<String, VecDeque<(u64, Arc<Event>)>>,
    open: usize,
    done: mpsc::Sender<String>,
}

/// What is known of a run from its tries so far.
#[derive(Default)]
struct SoFar {
    /// Tries that failed.
    tries: u32,
    /// Commits that conflicted since the last failure.
    conflicts: u32,
    /// Whether a try was ever begun, here or by a host that is gone.
    begun: bool,
}

/// How one try of a run ended.
enum Tried {
    Finished,
    /// Through no fault of its own: it starts again.
    NotBegun,
    Failed(Arc<Runner>, Fault),
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
            committing: tokio::sync::Mutex::default(),
            committed: AtomicU64::new(mark),
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
        if tokio::time::timeout(LAST_RUNS, last).await.is_err() {
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
        loop {
            while let Ok(key) = finished.try_recv() {
                self.follow(lanes, key, &mut failed);
            }
            if cursor < *head.borrow_and_update() && lanes.open < WINDOW {
                match self.shared.store.events(cursor, PAGE.min(WINDOW - lanes.open)).await {
                    Ok(events) if events.is_empty() => cursor = *head.borrow(),
                    Ok(events) => {
                        for (offset, event) in events {
                            // What retention has taken away is finished.
                            self.slot.advance(|position| position.finish_range(cursor, offset));
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
        queue.push_back((offset, event));
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
        if mark.saturating_sub(self.committed.load(Ordering::Relaxed)) >= QUIET_MOVES {
            if let Err(error) = self.commit_position(Batch::default(), None).await {
                tracing::error!(target: "wharf::script", script = &*self.slot.name, "the position was not committed: {error}");
            }
            self.gates.forget_finished();
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
    fn begin(self: &Arc<Self>, lanes: &Lanes, key: String, failed: &mut HashMap<u64, FailedRun>) {
        let Some((offset, event)) = lanes.waiting.get(&key).and_then(|queue| queue.front()).cloned() else {
            return;
        };
        let before = failed.remove(&offset);
        let (dispatch, done) = (Arc::clone(self), lanes.done.clone());
        self.shared.tracker.spawn_on(
            async move {
                dispatch.see_through(offset, &event, before).await;
                // The reader is gone when the script is.
                done.send(key).await.ok();
            },
            &self.shared.runtime,
        );
    }

    /// Tries a run until it is finished or dead, or the host stops.
    async fn see_through(&self, offset: u64, event: &Arc<Event>, before: Option<FailedRun>) {
        let mut so_far = SoFar {
            tries: before.as_ref().map_or(0, |failed| failed.tries),
            ..SoFar::default()
        };
        let mut wait = before.map_or(Duration::ZERO, |failed| {
            Duration::from_millis(u64::try_from(failed.due.saturating_sub(now())).unwrap_or(0))
        });
        loop {
            let stopped = tokio::select! {
                stopped = async {
                    tokio::time::sleep(wait).await;
                    self.gates.stopped(offset).await
                } => stopped,
                () = self.shared.stop.cancelled() => return,
            };
            if stopped {
                self.pass(offset).await;
                return;
            }
            wait = Duration::ZERO;
            match self.attempt(offset, event, &mut so_far).await {
                Tried::Finished => return,
                Tried::NotBegun if self.shared.stop.is_cancelled() => return,
                Tried::NotBegun => {}
                Tried::Failed(runner, fault) => {
                    so_far = SoFar {
                        tries: so_far.tries + 1,
                        conflicts: 0,
                        begun: true,
                    };
                    self.slot.failed(&runner, &fault).await;
                    match self.note_failure(offset, event, so_far.tries, &runner, &fault).await {
                        Some(pause) => wait = pause,
                        None => return,
                    }
                }
            }
        }
    }

    async fn attempt(&self, offset: u64, event: &Arc<Event>, so_far: &mut SoFar) -> Tried {
        let Some(runner) = self.slot.runner().await else {
            return Tried::NotBegun;
        };
        if !so_far.begun {
            so_far.begun = so_far.tries > 0 || (offset < self.began && self.has_intents(event).await);
        }
        if !runner.outline().wants(event, now(), so_far.begun) {
            if !so_far.begun {
                self.pass(offset).await;
                return Tried::Finished;
            }
            return self.commit(offset, event, Effects::default(), &runner, so_far).await;
        }
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return Tried::NotBegun;
        };
        let place = Some((Arc::clone(&self.places), place));
        let work = Work::Handlers { any_age: so_far.begun };
        let ran = runner.run(event, work, place).await;
        match ran {
            Ok(Ok(ran)) => self.commit(offset, event, ran.effects, &runner, so_far).await,
            Ok(Err(fault)) => Tried::Failed(runner, fault),
            Err(_) => {
                so_far.begun = true;
                Tried::NotBegun
            }
        }
    }

    /// The one commit of a run.
    async fn commit(
        &self,
        offset: u64,
        event: &Event,
        effects: Effects,
        runner: &Arc<Runner>,
        so_far: &mut SoFar,
    ) -> Tried {
        let mut batch = Batch::default();
        keep(&mut batch, &self.slot.name, event, effects);
        if so_far.begun {
            self.forget_intents(&mut batch, event).await;
            batch.tries.push((self.slot.name.to_string(), offset, None));
        }
        so_far.begun = true;
        let source = &runner.plan().source;
        match self.commit_position(batch, Some(offset)).await {
            Ok(()) => Tried::Finished,
            Err(error @ StoreError::Conflict { .. }) => {
                so_far.conflicts += 1;
                if so_far.conflicts <= CONFLICTS {
                    return Tried::NotBegun;
                }
                Tried::Failed(
                    Arc::clone(runner),
                    Fault::told(FaultKind::Raised, error.to_string(), source),
                )
            }
            Err(StoreError::Closed) => Tried::NotBegun,
            Err(error) if error.is_transient() => {
                tracing::error!(target: "wharf::script", script = &*self.slot.name, "a run was not committed: {error}");
                if self.is_committed(offset).await {
                    Tried::Finished
                } else {
                    Tried::NotBegun
                }
            }
            Err(error) => Tried::Failed(
                Arc::clone(runner),
                Fault::told(FaultKind::Raised, error.to_string(), source),
            ),
        }
    }

    /// Commits a batch together with the position, which passes `offset` only if the commit is kept.
    async fn commit_position(&self, mut batch: Batch, offset: Option<u64>) -> Result<(), StoreError> {
        let _one = self.committing.lock().await;
        let Some(mut position) = self.slot.position() else {
            return Ok(());
        };
        if let Some(offset) = offset {
            position.finish(offset);
        }
        let mark = position.mark;
        batch.positions.push((self.slot.name.to_string(), position));
        self.shared.store.commit(batch).await?;
        self.committed.store(mark, Ordering::Relaxed);
        if let Some(offset) = offset {
            self.slot.advance(|position| position.finish(offset));
        }
        Ok(())
    }

    /// Notes a failed try; answers the wait before the next one, or `None` if the run is over.
    async fn note_failure(
        &self,
        offset: u64,
        event: &Event,
        tries: u32,
        runner: &Runner,
        fault: &Fault,
    ) -> Option<Duration> {
        let name = self.slot.name.to_string();
        loop {
            let mut batch = Batch::default();
            batch
                .events
                .extend(error_event(&name, runner.number(), event, fault, tries));
            let done = match after(tries, &name, offset, event, fault) {
                Next::Again(wait, failed) => {
                    batch.tries.push((name.clone(), offset, Some(failed)));
                    self.shared.store.commit(batch).await.map(|_| Some(wait))
                }
                Next::Dead(dead) => self.bury(batch, offset, event, dead).await.map(|()| None),
            };
            match done {
                Ok(next) => return next,
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    tracing::error!(target: "wharf::script", script = name, "a failed run was not noted: {error}");
                    tokio::select! {
                        () = tokio::time::sleep(STORE_PAUSE) => {}
                        () = self.shared.stop.cancelled() => return None,
                    }
                }
            }
        }
    }

    async fn bury(&self, mut batch: Batch, offset: u64, event: &Event, dead: DeadRun) -> Result<(), StoreError> {
        tracing::error!(target: "wharf::script", script = &*self.slot.name, event = event.id, "given up: {}", dead.error);
        // Its intents stay: a dead run that is started again must not send again what it has sent.
        batch.tries.push((self.slot.name.to_string(), offset, None));
        batch.dead_runs.push(dead);
        self.commit_position(batch, Some(offset)).await
    }

    /// Removes the intents of all sends of a run, also of tries that took another way.
    async fn forget_intents(&self, batch: &mut Batch, event: &Event) {
        let prefix = format!("{}/{}/main/", self.slot.name, event.id);
        match self.shared.store.intents_with_prefix(&prefix).await {
            Ok(intents) => {
                let known: Vec<_> = batch.intents.iter().map(|(key, _)| key.clone()).collect();
                let more = intents
                    .into_iter()
                    .map(|intent| intent.key)
                    .filter(|key| !known.contains(key));
                batch.intents.extend(more.map(|key| (key, None)));
            }
            // Those that remain do no harm: their keys are never used again.
            Err(error) => tracing::warn!(target: "wharf::script", "intents could not be read: {error}"),
        }
    }

    async fn has_intents(&self, event: &Event) -> bool {
        let prefix = format!("{}/{}/main/", self.slot.name, event.id);
        self.shared
            .store
            .intents_with_prefix(&prefix)
            .await
            .is_ok_and(|intents| !intents.is_empty())
    }

    /// After a commit whose fate is not known: waits for the store and looks.
    async fn is_committed(&self, offset: u64) -> bool {
        loop {
            match self.shared.store.position(&self.slot.name).await {
                Ok(position) => {
                    let kept = position.is_some_and(|position: Position| position.is_finished(offset));
                    if kept {
                        self.slot.advance(|position| position.finish(offset));
                    }
                    return kept;
                }
                Err(StoreError::Closed) => return false,
                Err(_) => tokio::time::sleep(STORE_PAUSE).await,
            }
        }
    }

    async fn failed_runs(&self) -> HashMap<u64, FailedRun> {
        loop {
            match self.shared.store.tries(&self.slot.name).await {
                Ok(tries) => return tries.into_iter().collect(),
                Err(error) => {
                    tracing::error!(target: "wharf::script", script = &*self.slot.name, "failed runs cannot be read: {error}");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}
