//! Holds back what a new document reports live until the sweep for it has ended, so that a chat's missed messages are
//! journaled before its new ones.
//!
//! In: reports of messages and acks, the count of ended sweeps. Out: the same, in order, once they may be journaled. What is
//! held is not acknowledged, so the agent's ring keeps it. Must not hold for ever: not longer than [`LONGEST`], not more
//! than [`MOST`].

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::page::PageEvent;

/// A sweep that takes longer does not keep live messages from the scripts any more; then order gives way.
const LONGEST: Duration = Duration::from_secs(30);
/// Half of what a page has under way unacknowledged, so that its changes of state still come through.
const MOST: usize = 256;

/// One report that waits.
pub(super) struct Held {
    pub(super) page_id: String,
    pub(super) page_seq: u64,
    pub(super) event: PageEvent,
}

/// What waits for the sweep.
pub(super) struct Hold {
    swept: watch::Receiver<u64>,
    /// The document, and how many sweeps had ended when it came; `None` when nothing need wait.
    waiting: Option<(String, u64)>,
    page_id: String,
    queue: VecDeque<Held>,
    since: Option<Instant>,
    /// The last number that was seen while holding: acknowledged when the hold ends.
    last: u64,
}

impl Hold {
    pub(super) fn new(swept: watch::Receiver<u64>) -> Self {
        Self { swept, waiting: None, page_id: String::new(), queue: VecDeque::new(), since: None, last: 0 }
    }

    /// Notes a report; `true` if its document is still waiting for its sweep.
    pub(super) fn notes(&mut self, page_id: &str, page_seq: u64) -> bool {
        if self.page_id != page_id {
            page_id.clone_into(&mut self.page_id);
            self.waiting = Some((page_id.to_owned(), *self.swept.borrow()));
            self.last = 0;
        }
        if self.queue.is_empty() && self.is_swept() {
            self.waiting = None;
        }
        self.last = self.last.max(page_seq);
        self.waiting.is_some()
    }

    /// Keeps a report back.
    pub(super) fn keep(&mut self, held: Held) {
        self.since.get_or_insert_with(Instant::now);
        self.queue.push_back(held);
    }

    /// Whether as much is held as may be.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MOST
    }

    fn is_swept(&self) -> bool {
        self.waiting.as_ref().is_none_or(|(_, base)| *self.swept.borrow() > *base)
    }

    /// Waits until what is held may go on; for ever while nothing is held.
    pub(super) async fn over(&mut self) {
        let (Some(since), Some((_, base))) = (self.since, self.waiting.clone()) else {
            return std::future::pending().await;
        };
        let swept = self.swept.wait_for(|ended| *ended > base);
        // An error means that the sweeper is gone: nothing more to wait for.
        tokio::time::timeout_at(since + LONGEST, swept).await.map(drop).unwrap_or_default();
    }

    /// Ends the hold; answers what was held and the last number that was seen.
    pub(super) fn release(&mut self) -> (VecDeque<Held>, u64) {
        self.waiting = None;
        self.since = None;
        (std::mem::take(&mut self.queue), self.last)
    }
}
