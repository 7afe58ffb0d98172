//! Commits what the callbacks of timers came to: runs without an event.
//!
//! In: [`Fired`] of one generation. Out: one commit for each; nothing is repeated, so what fails is reported and gone. Must not
//! know Lua.

use std::sync::{Arc, Weak};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use crate::store::{Batch, Error as StoreError};

use super::error::{Fault, FaultKind};
use super::finish::{error_event, keep};
use super::host::{Fired, Ran, Runner};
use super::shared::Shared;
use super::slot::Slot;

/// How often the commit is made with newer values of its updates.
const UPDATES: u32 = 200;

/// Commits until the generation's thread ends. Boxed: what it reports can lead to a new generation, which has its own.
pub(crate) fn commit_all(
    shared: Arc<Shared>,
    slot: Weak<Slot>,
    runner: Weak<Runner>,
    fired: mpsc::Receiver<Fired>,
) -> BoxFuture<'static, ()> {
    work(shared, slot, runner, fired).boxed()
}

async fn work(shared: Arc<Shared>, slot: Weak<Slot>, runner: Weak<Runner>, mut fired: mpsc::Receiver<Fired>) {
    while let Some(Fired { id, title, ran }) = fired.recv().await {
        let Some(slot) = slot.upgrade() else { return };
        let failed = match ran {
            Ok(ran) => commit(&shared, &slot, &id, ran, &runner).await.err(),
            Err(fault) => Some(fault),
        };
        if let Some(fault) = failed {
            fail(&shared, &slot, &runner, (&id, &title), &fault).await;
        }
    }
}

/// Commits a run without an event.
///
/// # Errors
/// Why it was not; it is not tried again.
pub(crate) async fn commit(
    shared: &Arc<Shared>,
    slot: &Arc<Slot>,
    id: &str,
    mut ran: Ran,
    runner: &Weak<Runner>,
) -> Result<(), Fault> {
    let mut updates = 0;
    loop {
        let mut batch = Batch::default();
        keep(&mut batch, &slot.name, None, ran.effects.clone());
        if batch.is_empty() {
            ran.committed();
            return Ok(());
        }
        let told = |error: StoreError| match runner.upgrade() {
            Some(runner) => Fault::told(FaultKind::Raised, error.to_string(), &runner.plan().source),
            None => Fault::nowhere(error.to_string()),
        };
        match shared.store.commit(batch).await {
            Ok(_) => {
                ran.committed();
                return Ok(());
            }
            Err(StoreError::Conflict { space, key }) if updates < UPDATES => {
                updates += 1;
                match ran.update_again(&key).await {
                    Ok(Ok(true)) => {}
                    Ok(Err(fault)) => return Err(fault),
                    Ok(Ok(false)) | Err(_) => return Err(told(StoreError::Conflict { space, key })),
                }
            }
            Err(error) => {
                tracing::error!(target: "wharf::script", script = &*slot.name, run = id, "a run without an event was not committed: {error}");
                return Err(told(error));
            }
        }
    }
}

/// Reports a call that failed. Its sends are forgotten: it is not repeated.
async fn fail(shared: &Arc<Shared>, slot: &Arc<Slot>, runner: &Weak<Runner>, (id, title): (&str, &str), fault: &Fault) {
    tracing::debug!(target: "wharf::script", script = &*slot.name, run = id, "{title} failed");
    let runner = runner.upgrade();
    if let Some(runner) = &runner {
        slot.failed(runner, fault, None).await;
    }
    let number = runner.map_or(0, |runner| runner.number());
    let mut batch = Batch::default();
    batch.events.extend(error_event(&slot.name, number, None, fault, 1));
    forget(shared, slot, id, batch).await;
}

/// Commits a batch, and forgets the sends of a run that will not be repeated.
pub(crate) async fn forget(shared: &Arc<Shared>, slot: &Arc<Slot>, id: &str, mut batch: Batch) {
    match shared.store.intents_with_prefix(&format!("{}/{id}/", slot.name)).await {
        Ok(intents) => batch
            .intents
            .extend(intents.into_iter().take(128).map(|intent| (intent.key, None))),
        Err(error) => tracing::warn!(target: "wharf::script", "intents could not be read: {error}"),
    }
    if let Err(error) = shared.store.commit(batch).await {
        tracing::error!(target: "wharf::script", script = &*slot.name, "a failed run was not noted: {error}");
    }
}
