//! Tells the store which scripts there are and which of them are at work, so that the journal waits for those and no others.
//!
//! In: the room's slots. Out: names for the store's retention, twice a minute: it works by the hour. Must not read events.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::reload::Slots;
use super::shared::Shared;

const EVERY: Duration = Duration::from_secs(30);

/// Works until the host stops.
pub(crate) async fn run(slots: Slots, shared: Arc<Shared>) {
    loop {
        let readers = {
            let slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
            let there = slots.values().filter(|slot| !slot.is_withdrawn());
            there
                .map(|slot| {
                    (
                        slot.name.to_string(),
                        matches!(slot.view().state, "running" | "loading"),
                    )
                })
                .collect()
        };
        shared.store.follow_readers(readers);
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shared.stop.cancelled() => return,
        }
    }
}
