//! Keeps what runs the same as what lies in the folders and stands in the configuration.
//!
//! In: wake-ups of the watched folders, new configurations. Out: loaded, replaced and withdrawn scripts. Compares before it
//! acts, so a wake-up too many does nothing. Must not decide whether a version is good: loading does.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{mpsc, watch};

use crate::action::SendOrder;
use crate::config::Config;
use crate::store::{Batch, Position};
use crate::watch::{Folder, Folders};

use super::Error;
use super::dispatch::Dispatch;
use super::folder::{Found, Looked, look};
use super::gates::Gates;
use super::live::now;
use super::shared::Shared;
use super::slot::{Origins, Slot};

/// All scripts, and what was last seen of each.
pub(crate) struct Reload {
    shared: Arc<Shared>,
    gates: Arc<Gates>,
    config: watch::Receiver<Arc<Config>>,
    slots: Slots,
    seen: BTreeMap<String, Found>,
    /// Those whose file could not be read at the last look.
    unread: BTreeSet<String>,
    /// Where scripts begin that are in force but could not begin yet.
    heads: BTreeMap<String, u64>,
    /// Whether the last look must be repeated although nothing changes.
    again: bool,
    /// The journal's head when the host started.
    began: u64,
    /// Since when gates are asked, in milliseconds since 1970; `None` while they are not.
    since: Option<i64>,
}

/// All scripts by name; shared with those who look.
pub(crate) type Slots = Arc<Mutex<BTreeMap<String, Arc<Slot>>>>;

impl Reload {
    /// Nothing is loaded yet.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        gates: &Arc<Gates>,
        config: watch::Receiver<Arc<Config>>,
        slots: &Slots,
        began: u64,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            gates: Arc::clone(gates),
            config,
            slots: Arc::clone(slots),
            seen: BTreeMap::new(),
            unread: BTreeSet::new(),
            heads: BTreeMap::new(),
            again: false,
            began,
            since: None,
        }
    }

    /// Looks at the folders and the configuration, and loads what changed. `tell`: with `script.reloaded` for each.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) async fn look(&mut self, tell: bool) -> Result<(), Error> {
        let config = Arc::clone(&self.config.borrow_and_update());
        // Before anything is loaded: who is seen to run must not miss what comes from then on.
        let head = *self.shared.store.head().borrow();
        let read = Arc::clone(&config);
        let Ok(Looked { mut found, unread }) = tokio::task::spawn_blocking(move || look(&read)).await else {
            self.again = true;
            return Ok(());
        };
        self.again = unread.is_some();
        if let Some(error) = unread {
            tracing::error!(target: "wharf::script", "the folder of scripts cannot be read, what runs goes on: {error}");
            let scripts = self.seen.iter().filter(|(_, seen)| seen.origin == Origins::Script);
            let kept = scripts.map(|(name, seen)| (name.clone(), seen.clone()));
            found.extend(kept.collect::<Vec<_>>());
        }
        for (name, slot) in self.all() {
            if !found.contains_key(&name) && self.seen.contains_key(&name) {
                slot.withdraw();
            }
        }
        let mut loads = Vec::new();
        for (name, there) in &mut found {
            let slot = self.slot(name, there);
            let seen = self.seen.get(name);
            if let Err(refused) = there.plan.as_ref()
                && refused.unread
            {
                self.again = true;
                if self.unread.insert(name.clone()) {
                    slot.refuse(refused.problem());
                }
                if let Some(seen) = seen {
                    *there = seen.clone();
                }
                continue;
            }
            let was_unread = self.unread.remove(name);
            if seen == Some(&*there) && !(was_unread && there.plan.is_err()) {
                if was_unread {
                    slot.mend();
                }
                continue;
            }
            match &there.plan {
                Ok(plan) => loads.push((slot, plan.clone())),
                Err(refused) => {
                    if refused.out && slot.current().is_some() {
                        slot.withdraw();
                    }
                    slot.refuse(refused.problem());
                }
            }
        }
        self.unread.retain(|name| found.contains_key(name));
        self.seen = found;
        join_all(loads.iter().map(|(slot, plan)| slot.load(plan.clone(), tell))).await;
        self.gates.set_order(self.ordered(&config));
        self.begin_all(config.scripts.patience, head).await
    }

    /// Starts the dispatch of each script that is in force and has none.
    async fn begin_all(&mut self, patience: Duration, head: u64) -> Result<(), Error> {
        let mut failed = None;
        for (name, slot) in self.all() {
            if slot.current().is_none() || slot.position().is_some() {
                continue;
            }
            // What came since it was in force for the first time is not passed over when the store fails.
            let head = *self.heads.entry(name.clone()).or_insert(head);
            match self.begin(&slot, patience, head).await {
                Ok(()) => drop(self.heads.remove(&name)),
                Err(error) => failed = Some(error),
            }
        }
        self.again |= failed.is_some();
        failed.map_or(Ok(()), Err)
    }

    /// Watches the folders and the configuration until the host stops.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        self.since = Some(now());
        tokio::select! {
            () = self.work() => {}
            () = stop.cancelled() => {}
        }
        // The host may stop between the moment that a script comes into force and its dispatch, which else ends its thread.
        for slot in self.all().values().filter(|slot| slot.position().is_none()) {
            slot.cut();
        }
    }

    async fn work(&mut self) {
        let mut watched = self.watch(true);
        let mut look = true;
        loop {
            // First for what was saved before the watch began.
            if look && let Err(error) = self.look(true).await {
                tracing::error!(target: "wharf::script", "changes could not be taken up: {error}");
            }
            look = true;
            tokio::select! {
                changed = self.config.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let folders = wanted(&self.config.borrow());
                    if watched.as_ref().is_none_or(|watched| watched.wanted != folders) {
                        watched = self.watch(true);
                    }
                }
                woken = woken(&mut watched) => {
                    if woken.is_none() || is_stale(watched.as_ref()) {
                        watched = self.watch(false);
                    }
                }
                () = tokio::time::sleep(self.shared.times.again) => {
                    let stale = is_stale(watched.as_ref());
                    if stale {
                        watched = self.watch(false);
                    }
                    look = stale || self.again;
                }
            }
        }
    }

    /// Watches the folders. `make`: those that are not there are made, so that the first script is seen when it is saved;
    /// later, somebody may be about to put another in its place.
    fn watch(&self, make: bool) -> Option<Watched> {
        let wanted = wanted(&self.config.borrow());
        let (scripts, plugins, quiet) = wanted.clone();
        for dir in [&scripts, &plugins].into_iter().filter(|_| make) {
            if let Err(error) = std::fs::create_dir_all(dir) {
                tracing::warn!(target: "wharf::script", "cannot make the folder {}: {error}", dir.display());
            }
        }
        // Before the watch: a folder that is replaced in between is found out at the next look.
        let inodes = inodes(&wanted);
        let folders = [Folder::Deep(scripts), Folder::Deep(plugins)];
        match Folders::watch(&folders, quiet, &self.shared.tracker, self.shared.stop.clone()) {
            Ok((folders, woken)) => Some(Watched {
                wanted,
                inodes,
                _folders: folders,
                woken,
            }),
            Err(error) => {
                tracing::error!(target: "wharf::script", "{error}");
                None
            }
        }
    }

    fn all(&self) -> BTreeMap<String, Arc<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn slot(&self, name: &str, found: &Found) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots
            .entry(name.to_owned())
            .or_insert_with(|| Slot::new(name, found.origin, &self.shared));
        Arc::clone(slot)
    }

    /// All scripts in the order of their gates: as `[scripts] order` says, then by name.
    fn ordered(&self, config: &Config) -> Vec<Arc<Slot>> {
        let mut slots: Vec<_> = self.all().into_values().collect();
        let rank = |slot: &Arc<Slot>| {
            config
                .scripts
                .order
                .iter()
                .position(|name| **name == *slot.name)
                .unwrap_or(usize::MAX)
        };
        slots.sort_by_key(rank);
        slots
    }

    /// Starts the dispatch of a script that is in force for the first time; one without a position begins at `head`.
    async fn begin(&self, slot: &Arc<Slot>, patience: Duration, head: u64) -> Result<(), Error> {
        let position = match self.shared.store.position(&slot.name).await? {
            Some(position) => position,
            None => {
                let position = Position::start(head);
                let positions = vec![(slot.name.to_string(), position.clone())];
                self.shared
                    .store
                    .commit(Batch {
                        positions,
                        ..Batch::default()
                    })
                    .await?;
                position
            }
        };
        self.resume_queued(slot, patience).await?;
        slot.set_position(position);
        let dispatch = Dispatch::new(slot, &self.shared, &self.gates, self.began);
        self.shared.tracker.spawn(dispatch.run());
        Ok(())
    }

    /// Carries out what gates queued before the host stopped.
    async fn resume_queued(&self, slot: &Arc<Slot>, patience: Duration) -> Result<(), Error> {
        let intents = self
            .shared
            .store
            .intents_with_prefix(&format!("{}/", slot.name))
            .await?;
        // Calls of timers are not repeated: what one of them left that was cut off is nobody's any more.
        let (timers, intents): (Vec<_>, Vec<_>) = intents.into_iter().partition(|intent| is_timers(&intent.key));
        for some in timers.chunks(FORGET_AT_ONCE) {
            let before = some
                .iter()
                .filter(|intent| self.since.is_none_or(|since| intent.made_at < since));
            let batch = Batch {
                intents: before.map(|intent| (intent.key.clone(), None)).collect(),
                ..Batch::default()
            };
            self.shared.store.commit(batch).await?;
        }
        let queued = intents.into_iter().filter(|intent| is_gates(&intent.key));
        // What was made since then is in the queue, or has just left it.
        let before = queued.filter(|intent| self.since.is_none_or(|since| intent.made_at < since));
        for intent in before {
            let order = SendOrder {
                key: intent.key,
                account: intent.account,
                to: intent.to,
                content: intent.content,
                source: intent.source,
                patience,
            };
            self.gates.queue().resume(&slot.name, order).await;
        }
        Ok(())
    }
}

/// Intents that are removed in one commit.
const FORGET_AT_ONCE: usize = 100;

/// Whether a send's key is of a timer's call: `SCRIPT/timer_ID/…`.
fn is_timers(key: &str) -> bool {
    key.split('/').nth(1).is_some_and(|run| run.starts_with("timer_"))
}

/// Whether a send's key is a gate's: `SCRIPT/EVENT/gateN/…`.
fn is_gates(key: &str) -> bool {
    key.split('/').nth(2).is_some_and(|branch| branch.starts_with("gate"))
}

/// Device and number of a folder, and of another one; `None` for one that is not there.
type Inodes = [Option<(u64, u64)>; 2];

struct Watched {
    wanted: (PathBuf, PathBuf, Duration),
    /// A watch is of the folder that had the name when it began, not of the name.
    inodes: Inodes,
    _folders: Folders,
    woken: mpsc::Receiver<()>,
}

fn wanted(config: &Config) -> (PathBuf, PathBuf, Duration) {
    (
        config.scripts.dir.clone(),
        config.scripts.plugins.clone(),
        config.scripts.quiet,
    )
}

fn inodes((scripts, plugins, _): &(PathBuf, PathBuf, Duration)) -> Inodes {
    [scripts, plugins].map(|dir| std::fs::metadata(dir).ok().map(|found| (found.dev(), found.ino())))
}

/// Whether there is no watch, or the folders are no longer those that are watched.
fn is_stale(watched: Option<&Watched>) -> bool {
    watched.is_none_or(|watched| inodes(&watched.wanted) != watched.inodes)
}

async fn woken(watched: &mut Option<Watched>) -> Option<()> {
    match watched {
        Some(watched) => watched.woken.recv().await,
        None => std::future::pending().await,
    }
}
