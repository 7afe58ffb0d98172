//! What a script cannot be shown any more: events that the journal held and does not hold.
//!
//! In: the range that is missing in the journal. Out: one commit that moves the position past it and tells of it by
//! `script.skipped`. Must not read the journal.

use std::collections::HashMap;

use serde_json::json;

use super::super::shared::host_event;
use super::{Dispatch, STORE_PAUSE};
use crate::store::{Batch, FailedRun, NewEvent};

/// Runs waiting for another try that one commit forgets; more of them are forgotten by nobody, and do no harm.
const FORGOTTEN: usize = 128;

impl Dispatch {
    /// Passes the events from `from` up to, not with, `to`, which are gone; tells of those that the script has not finished.
    pub(super) async fn skip(&self, from: u64, to: u64, failed: &mut HashMap<u64, FailedRun>) {
        // What the store has passed by itself, it has told.
        if let Ok(Some(kept)) = self.shared.store.position(&self.slot.name).await {
            self.slot.advance(|position| position.merge(&kept));
        }
        let Some(position) = self.slot.position() else { return };
        let mut lost = position.unfinished(to).skip_while(|offset| *offset < from);
        let Some(first) = lost.next() else { return };
        let (last, count) = lost.fold((first, 1_u64), |(_, count), offset| (offset, count + 1));
        let name = &*self.slot.name;
        tracing::error!(target: "wharf::script", script = name, from = first, to = last, count, "{count} events are not in the journal any more, and were not handled");
        let data = json!({
            "script": name, "from": first, "to": last, "count": count,
            "reason": "the journal does not hold them any more",
        });
        let tries: Vec<u64> = failed
            .keys()
            .copied()
            .filter(|offset| (from..to).contains(offset))
            .collect();
        failed.retain(|offset, _| !(from..to).contains(offset));
        loop {
            let batch = Batch {
                events: vec![NewEvent::from(host_event("script.skipped", &data))],
                tries: tries
                    .iter()
                    .take(FORGOTTEN)
                    .map(|offset| (name.to_owned(), *offset, None))
                    .collect(),
                ..Batch::default()
            };
            match self.commit_past(batch, Some((from, to))).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(target: "wharf::script", script = name, "what was skipped could not be told yet: {error}");
                    tokio::time::sleep(STORE_PAUSE).await;
                }
            }
        }
    }
}
