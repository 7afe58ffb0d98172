//! One run of a script, from its first try to its commit or its end.
//!
//! In: an event whose turn it is, and what is known of earlier tries. Out: one commit, or a dead run. Waits between tries;
//! the chat waits with it. Must not read the journal.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;
use crate::store::{Batch, DeadRun, Error as StoreError, FailedRun, Intent, Position};

use super::super::error::{Fault, FaultKind};
use super::super::finish::{Next, after, error_event, keep};
use super::super::host::{Ran, Runner, Work};
use super::super::live::now;
use super::super::run::Effects;
use super::{Dispatch, STORE_PAUSE};

/// How often a run is run again because another one wrote what it read.
const CONFLICTS: u32 = 3;
/// How often the commit of one run is made with newer values of its updates. Whoever was faster has committed, so of the runs
/// that are at work together each is slower at most once for each other.
const UPDATES: u32 = 200;
/// How long a thread that gave no answer may take to end.
const ENDING: Duration = Duration::from_secs(1);
/// Intents beside its own that the commit of a run removes or keeps: what the five tries of a run can leave at most, less
/// what would make the commit too large for the store.
const MAX_FORGOTTEN: usize = 128;
/// How long the intents of a dead run are kept, in milliseconds: as long as a message id is known.
const KEEP_DEAD_MS: i64 = 15 * 24 * 60 * 60 * 1000;

/// What is known of a run from its tries so far.
#[derive(Default)]
pub(super) struct SoFar {
    /// Tries that failed.
    pub(super) tries: u32,
    /// Commits that conflicted since the last failure.
    pub(super) conflicts: u32,
    /// Whether a try was ever begun, here or by a host that is gone.
    pub(super) begun: bool,
}

/// What a run is of.
pub(super) enum Subject {
    /// The event at this offset, whose turn it is.
    Live(u64),
    /// The dead run of this id, which the position has passed.
    Dead(String),
}

impl Subject {
    /// What the position passes with its commit.
    fn offset(&self) -> Option<u64> {
        match self {
            Subject::Live(offset) => Some(*offset),
            Subject::Dead(_) => None,
        }
    }
}

/// How one try of a run ended.
pub(super) enum Tried {
    Finished,
    /// Through no fault of its own: it starts again after this time.
    NotBegun(Duration),
    Failed(Arc<Runner>, Fault),
}

impl Tried {
    const AT_ONCE: Tried = Tried::NotBegun(Duration::ZERO);
}

impl Dispatch {
    /// Tries a run until it is finished or dead, or the host stops.
    pub(super) async fn see_through(&self, offset: u64, event: &Arc<Event>, before: Option<FailedRun>) {
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
            match self.attempt(offset, event, &mut so_far).await {
                Tried::Finished => return,
                Tried::NotBegun(_) if self.shared.stop.is_cancelled() => return,
                Tried::NotBegun(pause) => wait = pause,
                Tried::Failed(runner, fault) => {
                    so_far = SoFar {
                        tries: so_far.tries + 1,
                        conflicts: 0,
                        begun: true,
                    };
                    self.slot.failed(&runner, &fault, Some(event)).await;
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
            return Tried::AT_ONCE;
        };
        if self.was_passed(offset).await {
            return Tried::Finished;
        }
        so_far.begun |= so_far.tries > 0;
        if !so_far.begun && offset < self.began {
            match self.has_intents(event).await {
                Ok(intents) => so_far.begun = intents,
                Err(error) => {
                    tracing::error!(target: "wharf::script", "intents could not be read: {error}");
                    return Tried::NotBegun(STORE_PAUSE);
                }
            }
        }
        if !runner.outline().wants(event, now(), so_far.begun) {
            if !so_far.begun {
                self.pass(offset).await;
                return Tried::Finished;
            }
            let nothing = Ran::of(Effects::default());
            return self
                .commit(&Subject::Live(offset), event, nothing, &runner, so_far)
                .await;
        }
        self.work_on(&Subject::Live(offset), event, runner, so_far).await
    }

    /// One try of all handlers, to its commit.
    pub(super) async fn work_on(
        &self,
        subject: &Subject,
        event: &Arc<Event>,
        runner: Arc<Runner>,
        so_far: &mut SoFar,
    ) -> Tried {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return Tried::AT_ONCE;
        };
        let place = Some((Arc::clone(&self.places), place));
        let work = Work::Handlers { any_age: so_far.begun };
        let ran = runner.run(event, work, place).await;
        match ran {
            Ok(Ok(ran)) => self.commit(subject, event, ran, &runner, so_far).await,
            Ok(Err(fault)) => Tried::Failed(runner, fault),
            Err(_) => {
                so_far.begun = true;
                self.unanswered(runner).await
            }
        }
    }

    /// A VM did not answer a run. That it was replaced, or cut off at a reload, is nobody's fault; that its thread ended is
    /// its script's, but which run's cannot be told; with the thread alive it was this run.
    async fn unanswered(&self, runner: Arc<Runner>) -> Tried {
        let ended = tokio::time::timeout(ENDING, runner.ended().cancelled()).await.is_ok();
        if !self.slot.is_current(&runner) {
            return Tried::AT_ONCE;
        }
        let source = &runner.plan().source;
        if !ended {
            let message = "it ended without an answer; please report this".to_owned();
            let fault = Fault::told(FaultKind::Raised, message, source);
            return Tried::Failed(runner, fault);
        }
        let message = "the thread of its VM ended; please report this".to_owned();
        self.slot
            .failed(&runner, &Fault::told(FaultKind::Gone, message, source), None)
            .await;
        Tried::NotBegun(STORE_PAUSE)
    }

    /// The one commit of a run.
    pub(super) async fn commit(
        &self,
        subject: &Subject,
        event: &Event,
        mut ran: Ran,
        runner: &Arc<Runner>,
        so_far: &mut SoFar,
    ) -> Tried {
        let begun = std::mem::replace(&mut so_far.begun, true);
        let source = &runner.plan().source;
        let mut updates = 0;
        let committed = loop {
            let mut batch = Batch::default();
            keep(&mut batch, &self.slot.name, Some(event), ran.effects.clone());
            match subject {
                Subject::Live(offset) if begun => {
                    self.forget_intents(&mut batch, event).await;
                    batch.tries.push((self.slot.name.to_string(), *offset, None));
                }
                Subject::Live(_) => {}
                Subject::Dead(id) => {
                    self.forget_intents(&mut batch, event).await;
                    batch.revived.push(id.clone());
                }
            }
            match self.commit_position(batch, subject.offset()).await {
                Err(StoreError::Conflict { space, key }) if updates < UPDATES => {
                    updates += 1;
                    match ran.update_again(&key).await {
                        Ok(Ok(true)) => {}
                        Ok(Ok(false)) => break Err(StoreError::Conflict { space, key }),
                        Ok(Err(fault)) => return Tried::Failed(Arc::clone(runner), fault),
                        Err(_) => return self.unanswered(Arc::clone(runner)).await,
                    }
                }
                committed => break committed,
            }
        };
        match committed {
            Ok(()) => {
                ran.committed();
                Tried::Finished
            }
            Err(error @ StoreError::Conflict { .. }) => {
                so_far.conflicts += 1;
                if so_far.conflicts <= CONFLICTS {
                    return Tried::AT_ONCE;
                }
                Tried::Failed(
                    Arc::clone(runner),
                    Fault::told(FaultKind::Raised, error.to_string(), source),
                )
            }
            Err(StoreError::Closed) => Tried::NotBegun(STORE_PAUSE),
            Err(error) if error.is_transient() => {
                tracing::error!(target: "wharf::script", script = &*self.slot.name, "a run was not committed: {error}");
                if self.is_committed(subject).await {
                    ran.committed();
                    Tried::Finished
                } else {
                    Tried::NotBegun(STORE_PAUSE)
                }
            }
            Err(error) => Tried::Failed(
                Arc::clone(runner),
                Fault::told(FaultKind::Raised, error.to_string(), source),
            ),
        }
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
                .extend(error_event(&name, runner.number(), Some(event), fault, tries));
            let done = match after(&self.shared.times.retries, tries, &name, offset, event, fault) {
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
        // Its intents stay for a while: a dead run that is started again must not send again what it has sent.
        let until = now().saturating_add(KEEP_DEAD_MS);
        match self.intents(event).await {
            Ok(intents) => batch
                .intents
                .extend(intents.into_iter().take(MAX_FORGOTTEN).map(|mut intent| {
                    intent.keep_until.get_or_insert(until);
                    (intent.key.clone(), Some(intent))
                })),
            Err(error) => {
                tracing::warn!(target: "wharf::script", "intents of a dead run stay for ever, they could not be read: {error}");
            }
        }
        batch.tries.push((self.slot.name.to_string(), offset, None));
        batch.dead_runs.push(dead);
        batch.revived.extend(self.too_many_dead().await);
        self.commit_position(batch, Some(offset)).await
    }

    /// Removes the intents of all sends of a run, also of tries that took another way.
    async fn forget_intents(&self, batch: &mut Batch, event: &Event) {
        match self.intents(event).await {
            Ok(intents) => {
                let known: HashSet<_> = batch.intents.iter().map(|(key, _)| key.clone()).collect();
                let more = intents.into_iter().map(|intent| intent.key);
                let more = more.filter(|key| !known.contains(key)).take(MAX_FORGOTTEN);
                batch.intents.extend(more.map(|key| (key, None)));
            }
            // Those that remain do no harm: their keys are never used again.
            Err(error) => tracing::warn!(target: "wharf::script", "intents could not be read: {error}"),
        }
    }

    async fn has_intents(&self, event: &Event) -> Result<bool, StoreError> {
        let intents = self.intents(event).await?;
        Ok(!intents.is_empty())
    }

    /// The intents of all sends of a run, also of tries that took another way.
    async fn intents(&self, event: &Event) -> Result<Vec<Intent>, StoreError> {
        let prefix = format!("{}/{}/main", self.slot.name, event.id);
        self.shared.store.intents_with_prefix(&prefix).await
    }

    /// After a commit whose fate is not known: waits for the store and looks.
    async fn is_committed(&self, subject: &Subject) -> bool {
        loop {
            let kept = match subject {
                Subject::Live(offset) => {
                    let position = self.shared.store.position(&self.slot.name).await;
                    position.map(|position| position.is_some_and(|position: Position| position.is_finished(*offset)))
                }
                Subject::Dead(id) => {
                    let dead = self.shared.store.dead_runs().await;
                    dead.map(|dead| !dead.iter().any(|run| run.id == *id))
                }
            };
            match kept {
                Ok(kept) => {
                    if let (true, Subject::Live(offset)) = (kept, subject) {
                        self.slot.advance(|position| position.finish(*offset));
                    }
                    return kept;
                }
                Err(StoreError::Closed) => return false,
                Err(_) => tokio::time::sleep(STORE_PAUSE).await,
            }
        }
    }

    pub(super) async fn failed_runs(&self) -> HashMap<u64, FailedRun> {
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
