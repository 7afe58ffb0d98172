//! What the parts of the room share: the store, the rest of the program, where tasks run; and how an event of the host is made.
//!
//! In: what the room was opened with. Out: the same, to each part. Must not know a script.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::{Draft, Kind, Origin};
use crate::store::{Batch, NewEvent, Store};

use super::Host;
use super::live::now;
use super::times::Times;

/// What the parts of the room share.
pub(crate) struct Shared {
    /// The store.
    pub(crate) store: Store,
    /// The configuration in force.
    pub(crate) config: watch::Receiver<Arc<Config>>,
    /// The rest of the program.
    pub(crate) host: Arc<dyn Host>,
    /// Where tasks run.
    pub(crate) tracker: TaskTracker,
    /// On which runtime.
    pub(crate) runtime: Handle,
    /// Ends everything.
    pub(crate) stop: CancellationToken,
    /// How long things may take.
    pub(crate) times: Times,
}

impl Shared {
    /// Journals an event of the host. A failure is logged: nobody waits for it.
    pub(crate) async fn emit(&self, draft: Draft) {
        let name = draft.event.to_string();
        let batch = Batch {
            events: vec![NewEvent { draft, once: None }],
            ..Batch::default()
        };
        if let Err(error) = self.store.commit(batch).await {
            tracing::error!(target: "wharf::script", "the event {name} could not be journaled: {error}");
        }
    }
}

/// An event of the host about a script.
pub(crate) fn host_event(name: &'static str, data: &serde_json::Value) -> Draft {
    Draft {
        event: Kind::Named(name),
        account: None,
        timestamp: now(),
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap_or_default(),
    }
}
