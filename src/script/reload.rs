//! Keeps what runs the same as what lies in the folders and stands in the configuration.
//!
//! In: wake-ups of the watched folders, new configurations. Out: loaded, replaced and withdrawn scripts. Compares before it
//! acts, so a wake-up too many does nothing. Must not decide whether a version is good: loading does.

use std::collections::BTreeMap;
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
use super::folder::{Found, look};
use super::gates::Gates;
use super::slot::{Shared, Slot};

/// Wait before a folder that cannot be watched is tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(5);

/// All scripts, and what was last seen of each.
pub(crate) struct Reload {
    shared: Arc<Shared>,
    gates: Arc<Gates>,
    config: watch::Receiver<Arc<Config>>,
    slots: Slots,
    seen: BTreeMap<String, Found>,
    /// The journal's head when the host started.
    began: u64,
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
            began,
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
        let Ok(found) = tokio::task::spawn_blocking(move || look(&read)).await else {
            return Ok(());
        };
        for (name, slot) in self.all() {
            if !found.contains_key(&name) && self.seen.contains_key(&name) {
                slot.withdraw();
            }
        }
        let mut loads = Vec::new();
        for (name, now) in &found {
            if self.seen.get(name) == Some(now) {
                continue;
            }
            let slot = self.slot(name, now);
            match &now.plan {
                Ok(plan) => loads.push((slot, plan.clone())),
                Err(refused) => slot.refuse(Found::problem(refused)),
            }
        }
        self.seen = found;
        join_all(loads.iter().map(|(slot, plan)| slot.load(plan.clone(), tell))).await;
        self.gates.set_order(self.ordered(&config));
        for (slot, plan) in loads {
            self.begin(&slot, plan.limits.patience, head).await?;
        }
        Ok(())
    }

    /// Watches the folders and the configuration until the host stops.
    pub(crate) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        tokio::select! {
            () = self.work() => {}
            () = stop.cancelled() => {}
        }
    }

    async fn work(&mut self) {
        let mut watched = self.watch();
        loop {
            // First for what was saved before the watch began.
            if let Err(error) = self.look(true).await {
                tracing::error!(target: "wharf::script", "changes could not be taken up: {error}");
            }
            let retry = watched.is_none();
            tokio::select! {
                changed = self.config.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let folders = wanted(&self.config.borrow());
                    if watched.as_ref().is_none_or(|watched| watched.wanted != folders) {
                        watched = self.watch();
                    }
                }
                woken = woken(&mut watched) => {
                    if woken.is_none() {
                        watched = None;
                    }
                }
                () = tokio::time::sleep(WATCH_AGAIN), if retry => watched = self.watch(),
            }
        }
    }

    fn watch(&self) -> Option<Watched> {
        let wanted = wanted(&self.config.borrow());
        let (scripts, plugins, quiet) = wanted.clone();
        for dir in [&scripts, &plugins] {
            // Made, so that the first script is seen when it is saved.
            if let Err(error) = std::fs::create_dir_all(dir) {
                tracing::warn!(target: "wharf::script", "cannot make the folder {}: {error}", dir.display());
            }
        }
        let folders = [Folder::Flat(scripts), Folder::Deep(plugins)];
        match Folders::watch(&folders, quiet, &self.shared.tracker, self.shared.stop.clone()) {
            Ok((folders, woken)) => Some(Watched {
                wanted,
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
        if slot.current().is_none() || slot.position().is_some() {
            return Ok(());
        }
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
        slot.set_position(position);
        self.resume_queued(slot, patience).await?;
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
        let queued = intents.into_iter().filter(|intent| is_gates(&intent.key));
        let orders = queued.map(|intent| SendOrder {
            key: intent.key,
            account: intent.account,
            to: intent.to,
            content: intent.content,
            source: intent.source,
            patience,
        });
        self.gates.carry(slot, orders.collect());
        Ok(())
    }
}

/// Whether a send's key is a gate's: `SCRIPT/EVENT/gateN/…`.
fn is_gates(key: &str) -> bool {
    key.split('/').nth(2).is_some_and(|branch| branch.starts_with("gate"))
}

struct Watched {
    wanted: (PathBuf, PathBuf, Duration),
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

async fn woken(watched: &mut Option<Watched>) -> Option<()> {
    match watched {
        Some(watched) => watched.woken.recv().await,
        None => std::future::pending().await,
    }
}
