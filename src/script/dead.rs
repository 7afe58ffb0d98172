//! Dead runs: which there are, and how one is started again.
//!
//! In: the store's list, ids from `wharf dead` and the HTTP API. Out: views; a [`Revival`] in its script's queue, and what came of
//! it. Must not run anything: the dispatch does, in the lane of the event's chat.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::event::Event;
use crate::store::{self, DeadRun};

use super::Scripts;

/// Dead runs of one script that wait to be started again; one more is refused.
const WAITING: usize = 16;
/// Dead runs that are listed, the newest.
const LISTED: usize = 200;

/// A dead run on its way to be run again.
pub(crate) struct Revival {
    /// Which.
    pub(crate) dead: DeadRun,
    /// Its event.
    pub(crate) event: Arc<Event>,
    /// Gets what came of it.
    pub(crate) answer: oneshot::Sender<Result<(), String>>,
}

/// The queue to a script's dispatch.
pub(crate) struct Revivals {
    to: mpsc::Sender<Revival>,
    from: Mutex<Option<mpsc::Receiver<Revival>>>,
}

impl Default for Revivals {
    fn default() -> Self {
        let (to, from) = mpsc::channel(WAITING);
        Self {
            to,
            from: Mutex::new(Some(from)),
        }
    }
}

impl Revivals {
    /// The other end; for the one dispatch of the script.
    pub(crate) fn listen(&self) -> Option<mpsc::Receiver<Revival>> {
        self.from.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The next one; never without a queue.
pub(crate) async fn next(queue: &mut Option<mpsc::Receiver<Revival>>) -> Option<Revival> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

/// A dead run, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct DeadView {
    /// Its id.
    pub id: String,
    /// Whose run.
    pub script: String,
    /// What it failed with last.
    pub error: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// The event's id.
    pub event_id: String,
    /// The event's name; none if the journal does not hold it any more.
    pub event: Option<String>,
    /// Whose event.
    pub account: Option<String>,
    /// In which chat.
    pub chat: Option<String>,
}

impl DeadView {
    fn new(run: DeadRun, event: Option<&Event>) -> Self {
        Self {
            id: run.id,
            script: run.script,
            error: run.error,
            at: run.at,
            event_id: run.event_id,
            event: event.map(|event| event.event.to_string()),
            account: event.and_then(|event| Some(event.account.as_ref()?.to_string())),
            chat: event.and_then(|event| event.chat().map(str::to_owned)),
        }
    }
}

/// Why a dead run was not run again, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DeadError {
    /// There is none of this id.
    #[error("there is no dead run '{0}'; `wharf dead list` shows those that there are")]
    Unknown(String),
    /// Its script is not there.
    #[error("the script '{0}' is not there any more")]
    NoScript(String),
    /// The journal does not hold the event any more.
    #[error("the event {0} is not in the journal any more")]
    NoEvent(String),
    /// Too many are waiting.
    #[error("{WAITING} dead runs of '{0}' wait already")]
    Full(String),
    /// It failed again, or could not be begun.
    #[error("{0}")]
    Failed(String),
    /// The store.
    #[error("the store did not answer: {0}")]
    Store(#[from] store::Error),
}

impl Scripts {
    /// Dead runs, of one script or of all, the newest first, at most 200.
    ///
    /// # Errors
    /// [`DeadError::Store`].
    pub async fn dead_runs(&self, script: Option<&str>) -> Result<Vec<DeadView>, DeadError> {
        listed(&self.shared.store, script).await
    }

    /// Runs a dead run again, once, in its turn in the event's chat; answers when it has ended. What it has sent before is not
    /// sent again. When it ends well it is no dead run any more.
    ///
    /// # Errors
    /// All of [`DeadError`].
    pub async fn run_dead(&self, id: &str) -> Result<(), DeadError> {
        let all = self.shared.store.dead_runs().await?;
        let found = all.into_iter().find(|run| run.id == id);
        let dead = found.ok_or_else(|| DeadError::Unknown(id.to_owned()))?;
        let event = event_of(&self.shared.store, &dead).await?;
        let event = event.ok_or_else(|| DeadError::NoEvent(dead.event_id.clone()))?;
        let slot = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.get(&dead.script).filter(|slot| !slot.is_withdrawn()).cloned()
        };
        let slot = slot.ok_or_else(|| DeadError::NoScript(dead.script.clone()))?;
        // One that was never in force has nobody who would take it.
        if slot.current().is_none() || slot.position().is_none() {
            let script = &dead.script;
            return Err(DeadError::Failed(format!(
                "the script '{script}' is not running; GET /api/scripts says why"
            )));
        }
        let (answer, answered) = oneshot::channel();
        let script = dead.script.clone();
        let revival = Revival { dead, event, answer };
        let put = slot.revivals().to.try_send(revival);
        put.map_err(|_| DeadError::Full(script))?;
        match answered.await {
            Ok(outcome) => outcome.map_err(DeadError::Failed),
            Err(_) => Err(DeadError::Failed("the host is stopping".to_owned())),
        }
    }
}

/// [`Scripts::dead_runs`] of a store without a host.
///
/// # Errors
/// [`DeadError::Store`].
pub async fn listed(store: &store::Store, script: Option<&str>) -> Result<Vec<DeadView>, DeadError> {
    let mut all = store.dead_runs().await?;
    all.retain(|run| script.is_none_or(|script| run.script == script));
    all.sort_by_key(|run| std::cmp::Reverse(run.at));
    all.truncate(LISTED);
    let mut views = Vec::with_capacity(all.len());
    for run in all {
        let event = event_of(store, &run).await?;
        views.push(DeadView::new(run, event.as_deref()));
    }
    Ok(views)
}

async fn event_of(store: &store::Store, run: &DeadRun) -> Result<Option<Arc<Event>>, store::Error> {
    let found = store.events(run.offset, 1).await?;
    let event = found.into_iter().find(|(offset, _)| *offset == run.offset);
    Ok(event.map(|(_, event)| event))
}
