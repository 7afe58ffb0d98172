//! One script's place in the program: its generation in force, its state, its problems, and who watches over it.
//!
//! In: plans to load, faults of runs. Out: the [`Runner`] in force. Keeps the last good generation when a new one is refused,
//! builds a VM anew that ran out of memory, suspends a script that is stopped too often. Must not read events.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{Semaphore, watch};

use crate::event::Event;
use crate::store::Position;

use super::dead::Revivals;
use super::error::{Fault, FaultKind};
use super::fired::commit_all;
use super::flood::Flood;
use super::generation::LoadError;
use super::host::{Plan, Runner};
use super::live::Live;
use super::shared::{Shared, host_event};
use super::views::{Problem, ScriptView};
use failures::Failures;

/// Calls of `http` that one script makes at a time.
const CALLS: usize = 8;

mod failures;
mod handover;
mod in_force;
mod report;

/// So many kills and rebuilds within [`STRIKE_WINDOW`] suspend a script.
const STRIKES: usize = 10;
/// See [`STRIKES`].
const STRIKE_WINDOW: Duration = Duration::from_secs(60);

/// Whether it is the owner's own file or somebody else's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    /// A file in `scripts/`.
    Script,
    /// A folder in `plugins/`.
    Plugin,
}

/// One script or plugin.
pub(crate) struct Slot {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Where it comes from.
    pub(crate) origin: Origins,
    shared: Arc<Shared>,
    /// Changed under the lock of `status`.
    runner: watch::Sender<Option<Arc<Runner>>>,
    status: Mutex<Status>,
    /// Held while a VM is built anew, so that one that ends is replaced once for all its runs.
    rebuilding: tokio::sync::Mutex<()>,
    position: Mutex<Option<Position>>,
    flood: Arc<Flood>,
    revivals: Revivals,
}

/// What a kill came to.
enum Strike {
    /// It was of a version that is no longer in force.
    NotInForce,
    Counted,
    /// The script is suspended; what was in force.
    TooMany(Option<Arc<Runner>>),
}

#[derive(Default)]
struct Status {
    number: u64,
    suspended: bool,
    withdrawn: bool,
    refused: Option<Problem>,
    last_error: Option<Problem>,
    strikes: VecDeque<Instant>,
    failures: Failures,
}

impl Slot {
    /// A place for a script that is not loaded yet.
    pub(crate) fn new(name: &str, origin: Origins, shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            origin,
            shared: Arc::clone(shared),
            runner: watch::Sender::new(None),
            status: Mutex::default(),
            rebuilding: tokio::sync::Mutex::default(),
            position: Mutex::default(),
            flood: Arc::default(),
            revivals: Revivals::default(),
        })
    }

    /// Dead runs that are to be run again.
    pub(crate) fn revivals(&self) -> &Revivals {
        &self.revivals
    }

    /// The generation in force.
    pub(crate) fn current(&self) -> Option<Arc<Runner>> {
        self.runner.borrow().clone()
    }

    /// The generation in force, as soon as there is one; `None` when the host stops.
    pub(crate) async fn runner(&self) -> Option<Arc<Runner>> {
        let mut watched = self.runner.subscribe();
        tokio::select! {
            found = watched.wait_for(Option::is_some) => found.ok()?.clone(),
            () = self.shared.stop.cancelled() => None,
        }
    }

    /// How far the script has come; `None` before it was in force for the first time.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the position; one that was never set is not changed.
    pub(crate) fn advance(&self, change: impl FnOnce(&mut Position)) {
        if let Some(position) = self.position.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            change(position);
        }
    }

    /// Sets the position that the store has.
    pub(crate) fn set_position(&self, position: Position) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    /// Whether the script is done with an event, or began after it.
    pub(crate) fn is_finished(&self, offset: u64) -> bool {
        let position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        position.as_ref().is_some_and(|position| position.is_finished(offset))
    }

    /// Loads a plan and puts it in force; a refused one leaves the running generation. `tell`: journal `script.reloaded`.
    pub(crate) async fn load(self: &Arc<Self>, plan: Plan, tell: bool) {
        let number = {
            let mut status = self.status();
            status.withdrawn = false;
            status.number += 1;
            status.number
        };
        let text = plan.source.text.clone();
        match self.start(Arc::new(plan), number).await {
            Ok(runner) => {
                if let Err(problem) = self.hand_over(&runner).await {
                    self.refuse(problem);
                    return;
                }
                let old = {
                    let mut status = self.status();
                    status.refused = None;
                    status.suspended = false;
                    status.strikes.clear();
                    status.failures.clear();
                    self.put(Some(runner))
                };
                self.drain(old);
                if self.shared.stop.is_cancelled() {
                    // Whoever ends the thread at the end may have looked already.
                    return self.cut();
                }
                tracing::info!(target: "wharf::script", script = &*self.name, generation = number, "in force");
                if tell {
                    let data = json!({ "script": &*self.name, "generation": number });
                    self.shared.emit(host_event("script.reloaded", &data)).await;
                }
            }
            Err(error) => self.refuse(Problem::of_load(&error, Some(&text))),
        }
    }

    /// Notes why a new version is not in force.
    pub(crate) fn refuse(&self, problem: Problem) {
        let kept = self
            .current()
            .map_or_else(String::new, |old| format!("; generation {} goes on", old.number()));
        tracing::error!(target: "wharf::script", script = &*self.name, "refused: {}{kept}", problem.headline());
        let mut status = self.status();
        status.withdrawn = false;
        status.refused = Some(problem);
    }

    /// The file can be read again, and is what is in force.
    pub(crate) fn mend(&self) {
        self.status().refused = None;
    }

    /// Whether its file is gone.
    pub(crate) fn is_withdrawn(&self) -> bool {
        self.status().withdrawn
    }

    /// Its file is gone: takes the script out of force. What it has not handled waits, should the file come back.
    pub(crate) fn withdraw(&self) {
        let old = {
            let mut status = self.status();
            status.refused = None;
            status.suspended = false;
            status.withdrawn = true;
            self.put(None)
        };
        tracing::info!(target: "wharf::script", script = &*self.name, "out of force: its file is gone, or it is not enabled");
        self.drain(old);
    }

    /// Ends its thread although runs are under way; they start again another time.
    pub(crate) fn cut(&self) {
        if let Some(runner) = self.put(None) {
            runner.cut();
        }
    }

    /// A run failed, of this event if of one: counts and reports it, and rebuilds or suspends where that is due.
    pub(crate) async fn failed(self: &Arc<Self>, runner: &Arc<Runner>, fault: &Fault, event: Option<&Event>) {
        self.report(runner, fault, event);
        let rebuild = matches!(fault.kind, FaultKind::Memory | FaultKind::Gone);
        if fault.kind == FaultKind::Raised {
            return;
        }
        let _one = match rebuild {
            true => Some(self.rebuilding.lock().await),
            false => None,
        };
        match self.strike(runner, fault.kind) {
            // What a version does that is no longer in force says nothing of the one that is.
            Strike::NotInForce => {}
            Strike::Counted if rebuild => self.rebuild(runner, fault.kind).await,
            Strike::Counted => {}
            Strike::TooMany(old) => {
                self.drain(old);
                tracing::error!(target: "wharf::script", script = &*self.name, "suspended until its file changes: {}", fault.headline());
                let reason = format!("{STRIKES} times stopped within a minute, at last: {}", fault.headline());
                let data = json!({ "script": &*self.name, "reason": reason });
                self.shared.emit(host_event("script.suspended", &data)).await;
            }
        }
    }

    fn strike(&self, runner: &Arc<Runner>, kind: FaultKind) -> Strike {
        let mut status = self.status();
        let of_this_version = match self.current() {
            // All runs of a VM that ended fail at once: it counts as long as it is not replaced.
            Some(current) if kind == FaultKind::Gone => Arc::ptr_eq(&current, runner),
            Some(current) => current.number() == runner.number(),
            None => false,
        };
        if !of_this_version {
            return Strike::NotInForce;
        }
        let now = Instant::now();
        status.strikes.push_back(now);
        while status
            .strikes
            .front()
            .is_some_and(|first| now.duration_since(*first) > STRIKE_WINDOW)
        {
            status.strikes.pop_front();
        }
        if status.strikes.len() < STRIKES {
            return Strike::Counted;
        }
        status.suspended = true;
        Strike::TooMany(self.put(None))
    }

    /// Puts a new VM of the same version in force, if `runner` still is.
    async fn rebuild(self: &Arc<Self>, runner: &Arc<Runner>, kind: FaultKind) {
        if !self.is_current(runner) {
            return;
        }
        match self.start(Arc::clone(runner.plan()), runner.number()).await {
            Ok(rebuilt) => self.swap(runner, Some(rebuilt)),
            Err(error) => {
                self.refuse(Problem::of_load(&error, None));
                if kind == FaultKind::Gone {
                    self.swap(runner, None);
                }
            }
        }
    }

    /// What people see of it.
    pub(crate) fn view(&self) -> ScriptView {
        let current = self.current();
        let status = self.status();
        let state = match (&current, status.suspended, &status.refused) {
            (_, true, _) => "suspended",
            (Some(_), ..) => "running",
            (None, _, Some(_)) => "refused",
            (None, ..) => "loading",
        };
        ScriptView {
            name: self.name.to_string(),
            kind: match self.origin {
                Origins::Script => "script",
                Origins::Plugin => "plugin",
            },
            generation: current.as_ref().map_or(0, |runner| runner.number()),
            handlers: current.map_or_else(Vec::new, |runner| runner.outline().describe()),
            state,
            refused: status.refused.clone(),
            last_error: status.last_error.clone(),
        }
    }

    async fn start(self: &Arc<Self>, plan: Arc<Plan>, number: u64) -> Result<Arc<Runner>, LoadError> {
        let world = Live {
            script: Arc::clone(&self.name),
            generation: number,
            store: self.shared.store.clone(),
            config: self.shared.config.clone(),
            host: Arc::clone(&self.shared.host),
            tracker: self.shared.tracker.clone(),
            runtime: self.shared.runtime.clone(),
            flood: Arc::clone(&self.flood),
            listing: Arc::new(Semaphore::new(1)),
            calling: Arc::new(Semaphore::new(CALLS)),
        };
        let (runner, fired) = Runner::start(plan, number, world, &self.shared.tracker).await?;
        let (slot, weak) = (Arc::downgrade(self), Arc::downgrade(&runner));
        let commits = commit_all(Arc::clone(&self.shared), slot, weak, fired);
        self.shared.tracker.spawn_on(commits, &self.shared.runtime);
        Ok(runner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        // Each change is whole, so a panic elsewhere leaves nothing half done.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
