//! Holds back what a new document reports live until the sweep of it has ended, so that a chat's missed messages are
//! journaled before its new ones.
//!
//! In: reports of messages and acks, the document that the last sweep was of. Out: the same, in order, once they may be
//! journaled. What is held is not acknowledged, so the agent's ring keeps it. Must not hold for ever: not longer than
//! [`LONGEST`], not more than [`MOST`].

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::page::PageEvent;

/// A sweep that takes longer does not keep live messages from the scripts any more; then order gives way.
const LONGEST: Duration = Duration::from_secs(30);
/// Half of what a page has under way unacknowledged, so that its changes of state still come through. When so many are held,
/// order gives way as well.
const MOST: usize = 256;

/// One report that waits.
pub(super) struct Held {
    pub(super) page_id: String,
    pub(super) page_seq: u64,
    pub(super) event: PageEvent,
}

/// What waits for the sweep.
pub(super) struct Hold {
    /// The document that the last sweep which ended was of.
    swept: watch::Receiver<String>,
    /// The document that reports now.
    page_id: String,
    /// Nothing of this document is held any more, swept or not.
    given_up: bool,
    queue: Vec<Held>,
    since: Option<Instant>,
}

impl Hold {
    pub(super) fn new(swept: watch::Receiver<String>) -> Self {
        Self {
            swept,
            page_id: String::new(),
            given_up: false,
            queue: Vec::new(),
            since: None,
        }
    }

    /// Whether messages of this document, which reports now, still wait for its sweep.
    pub(super) fn is_on(&mut self, page_id: &str) -> bool {
        if self.page_id != page_id {
            page_id.clone_into(&mut self.page_id);
            self.given_up = false;
        }
        // What comes after something that is held waits with it.
        !self.queue.is_empty() || !(self.given_up || *self.swept.borrow() == self.page_id)
    }

    /// Keeps a report back.
    pub(super) fn keep(&mut self, held: Held) {
        self.since.get_or_insert_with(Instant::now);
        self.queue.push(held);
    }

    /// Whether as much is held as may be.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= MOST
    }

    /// Waits until what is held may go on; for ever while nothing is held.
    pub(super) async fn over(&mut self) {
        let Some(since) = self.since else {
            return std::future::pending().await;
        };
        let swept = self.swept.wait_for(|swept| *swept == self.page_id);
        // An error means that the sweeper is gone: nothing more to wait for.
        tokio::time::timeout_at(since + LONGEST, swept)
            .await
            .map(drop)
            .unwrap_or_default();
    }

    /// Ends the hold; answers what was held, in order.
    pub(super) fn release(&mut self) -> Vec<Held> {
        self.given_up = true;
        self.since = None;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(page_id: &str, page_seq: u64) -> Held {
        let event = PageEvent::QrIdle;
        Held {
            page_id: page_id.to_owned(),
            page_seq,
            event,
        }
    }

    fn numbers(hold: &mut Hold) -> Vec<u64> {
        hold.release().iter().map(|held| held.page_seq).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_waits_for_its_own_sweep() {
        let (ended, swept) = watch::channel(String::new());
        let mut hold = Hold::new(swept);
        ended.send_replace("before".to_owned());
        assert!(hold.is_on("now"));
        hold.keep(held("now", 7));
        ended.send_replace("now".to_owned());
        hold.over().await;
        assert!(hold.is_on("now"), "what follows must not overtake what is held");
        hold.keep(held("now", 8));
        assert_eq!(numbers(&mut hold), [7, 8]);
        assert!(!hold.is_on("now"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_document_that_was_swept_before_its_first_report_does_not_wait() {
        let (ended, swept) = watch::channel(String::new());
        let mut hold = Hold::new(swept);
        ended.send_replace("now".to_owned());
        assert!(!hold.is_on("now"));
        assert!(hold.is_on("next"));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_held_for_ever() {
        let (_ended, swept) = watch::channel(String::new());
        let mut hold = Hold::new(swept);
        assert!(hold.is_on("now"));
        hold.keep(held("now", 1));
        let since = Instant::now();
        hold.over().await;
        assert_eq!(since.elapsed(), LONGEST);
        assert_eq!(numbers(&mut hold), [1]);
        assert!(!hold.is_on("now"));
        assert!(hold.is_on("next"));
        for number in 1..=MOST as u64 {
            assert!(!hold.is_full());
            hold.keep(held("next", number));
        }
        assert!(hold.is_full());
    }
}
