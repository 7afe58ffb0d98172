//! The script room: runs scripts and plugins written in Lua. The only room that knows mlua.
//!
//! In: events of the journal, files of `scripts/` and `plugins/`, the configuration. Out: one commit for each run, sends
//! through [`Host`]. Must not import the page, session or admin room, and lets no Lua value out.
//!
//! The way of an event: `gates` decides whether it may be handled, `dispatch` brings it to each script that wants it, `host`
//! is the thread in which the script's VM works, `finish` turns what came of it into rows of one commit. `reload` and `slot`
//! keep the version in force that lies in the folder.

mod advice;
mod api;
pub mod check;
mod cron;
mod dead;
mod dispatch;
mod error;
mod fields;
mod filter;
mod finish;
mod fired;
mod flood;
mod folder;
mod gates;
mod generation;
pub mod harness;
mod host;
mod jobs;
mod library;
mod listing;
mod live;
mod manifest;
mod meter;
mod permissions;
mod pins;
pub mod plugins;
mod queue;
mod readers;
mod record;
mod reference;
mod reload;
mod repl;
mod run;
mod shared;
mod signature;
mod slot;
pub mod start;
mod throughput;
mod timer;
mod times;
pub mod types;
mod views;
mod vm;
mod world;

use std::sync::{Arc, PoisonError};

use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::{ActOrder, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent, State};
use crate::config::Config;
use crate::event::AccountId;
use crate::http;
use crate::store::{self, Store};

pub use dead::{DeadError, DeadView, listed as dead_runs};
use gates::Gates;
pub use record::{anonymous, last_events};
pub use reference::reference;
use reload::{Reload, Slots};
pub use repl::{ReplError, Typed};
use shared::Shared;
#[doc(hidden)]
pub use throughput::throughput;
pub use times::Times;
pub use views::{Cause, Problem, ScriptView};

/// What scripts ask of the rest of the program.
pub trait Host: Send + Sync + 'static {
    /// Sends a message, once for each key, however often it is asked. Dropping the future only ends the waiting.
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>>;

    /// Does something that may be done twice, such as a reaction. A host without it says so.
    fn act(&self, order: ActOrder) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(async move { Err(not_supported(order.account)) })
    }

    /// Looks something up in an account. A host without it says so.
    fn look(&self, order: LookOrder) -> BoxFuture<'static, Result<Found, Failure>> {
        Box::pin(async move { Err(not_supported(order.account)) })
    }

    /// Fetches the file of a message, and keeps it. A host without it says so.
    fn download(&self, order: DownloadOrder) -> BoxFuture<'static, Result<File, Failure>> {
        Box::pin(async move { Err(not_supported(order.account)) })
    }

    /// Keeps a file that a script has made. A host without files says so.
    fn keep(&self, file: Made) -> BoxFuture<'static, Result<File, Failure>> {
        Box::pin(async move { Err(no_files(&file.mimetype)) })
    }

    /// The bytes of a file. A host without files says so.
    fn read(&self, file: File) -> BoxFuture<'static, Result<Bytes, Failure>> {
        Box::pin(async move { Err(no_files(&file.mimetype)) })
    }

    /// How an account stands; `None` if there is none of that id.
    fn account(&self, id: &str) -> Option<AccountState>;

    /// Calls a service through the one outbound client.
    fn http(
        &self,
        method: hyper::Method,
        request: http::Request,
    ) -> BoxFuture<'static, Result<http::Response, http::Error>>;

    /// Whether deliveries to this name can go anywhere: `[endpoint.NAME]`, or `account:ID` with a webhook.
    fn has_endpoint(&self, name: &str) -> bool;
}

/// A file that a script has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its type.
    pub mimetype: String,
    /// Its name, if it has one.
    pub filename: Option<String>,
}

fn no_files(mimetype: &str) -> Failure {
    Failure {
        kind: FailureKind::NotSupported,
        message: format!("this host keeps no files ({mimetype})"),
        account: None,
    }
}

fn not_supported(account: AccountId) -> Failure {
    Failure {
        kind: FailureKind::NotSupported,
        message: format!("account {account}: this host cannot do it"),
        account: Some(account),
    }
}

/// How an account stands, as scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// The state.
    pub state: State,
    /// Why, if there is a reason.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// How long ago a round trip through its page was proven, in milliseconds; `None` without one.
    pub proof_age: Option<u64>,
}

/// What the room needs.
pub struct Deps {
    /// The store.
    pub store: Store,
    /// The configuration in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// The rest of the program.
    pub host: Arc<dyn Host>,
    /// Where tasks run; also counts the scripts' threads.
    pub tracker: TaskTracker,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// Why the room could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error("scripts need the store: {0}")]
    Store(#[from] store::Error),
}

/// All scripts and plugins; a cheap handle.
#[derive(Clone)]
pub struct Scripts {
    slots: Slots,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tracker: TaskTracker,
    times: Times,
}

impl Scripts {
    /// Loads what lies in the folders and begins to work. A file with a mistake is reported by [`Scripts::list`].
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn open(deps: Deps) -> Result<Scripts, Error> {
        Self::open_with(deps, Times::default()).await
    }

    /// [`Scripts::open`] with other times, for tests.
    ///
    /// # Errors
    /// Only if the store fails.
    pub async fn open_with(deps: Deps, times: Times) -> Result<Scripts, Error> {
        let stop = deps.stop.child_token();
        // Of its own, so that closing waits for the room's tasks alone.
        let tracker = TaskTracker::new();
        let shared = Arc::new(Shared {
            store: deps.store,
            config: deps.config.clone(),
            host: deps.host,
            tracker: tracker.clone(),
            runtime: Handle::current(),
            stop: stop.clone(),
            times,
        });
        let began = *shared.store.head().borrow();
        let slots = Slots::default();
        let gates = Gates::new(&shared);
        let mut reload = Reload::new(&shared, &gates, deps.config, &slots, began);
        reload.look(false).await?;
        gates.begin(began);
        tracker.spawn(Arc::clone(&gates).run());
        tracker.spawn(reload.run());
        tracker.spawn(jobs::run(Arc::clone(&shared)));
        tracker.spawn(readers::run(slots.clone(), Arc::clone(&shared)));
        let scripts = Scripts {
            slots,
            shared: Arc::clone(&shared),
            stop,
            tracker,
            times,
        };
        deps.tracker.spawn(scripts.clone().closed());
        Ok(scripts)
    }

    /// All scripts, by name.
    #[must_use]
    pub fn list(&self) -> Vec<ScriptView> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .values()
            .filter(|slot| !slot.is_withdrawn())
            .map(|slot| slot.view())
            .collect()
    }

    /// Takes no more events, lets runs end for at most 10 s, commits the positions and ends the threads.
    pub async fn close(&self) {
        self.stop.cancel();
        self.clone().closed().await;
    }

    async fn closed(self) {
        self.stop.cancelled().await;
        self.tracker.close();
        let longest = self.times.last_runs + self.times.last_words;
        if tokio::time::timeout(longest, self.tracker.wait()).await.is_err() {
            // Its thread ends with the process; the accounts' browsers must be closed before.
            tracing::warn!(target: "wharf::script", "a script does not answer; the host stops without it");
        }
    }
}

#[cfg(test)]
mod tests;
