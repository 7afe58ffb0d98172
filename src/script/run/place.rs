//! The place of a run among those at work in its script.
//!
//! In: the places that there are. Out: one that a run holds, and gives up while it waits for an account. Must not know what a run
//! does.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Run;

/// A place among the runs of a script that are at work; given up while a run waits.
#[derive(Default)]
pub(crate) struct Place {
    all: Option<Arc<Semaphore>>,
    mine: RefCell<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// A place that is not counted.
    pub(crate) fn free() -> Self {
        Self::default()
    }

    /// One of the places of `all`.
    pub(crate) fn taken(all: Arc<Semaphore>, mine: OwnedSemaphorePermit) -> Self {
        Self {
            all: Some(all),
            mine: RefCell::new(Some(mine)),
        }
    }
}

impl Run {
    /// Waits for the account or its turn, which is neither time nor a place among the runs at work.
    pub(super) async fn aside<T>(&self, wait: impl Future<Output = T>) -> T {
        let still = self.tally.wait();
        // Let go before the wait, so that others can work meanwhile.
        let had_place = self.place.mine.take().is_some();
        let answer = wait.await;
        if let Some(all) = self.place.all.as_ref().filter(|_| had_place) {
            *self.place.mine.borrow_mut() = Arc::clone(all).acquire_owned().await.ok();
        }
        drop(still);
        answer
    }
}
