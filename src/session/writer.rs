//! The last step from the page to the journal: one commit for what a tab reported, then the acknowledgement.
//!
//! In: events that are to be journaled, and the number of the last report among them. Out: rows on disk, an acknowledgement to
//! the agent. While the store cannot commit, nothing is acknowledged and the same batch is tried again, so that the agent's ring
//! keeps what follows. Must not decide what becomes an event.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::store::{self, Batch, NewEvent, PageMark};

use super::Room;
use super::account::Account;
use super::tab::Tab;

/// Waits before a failed commit is tried again; the last one repeats. The store comes back by itself, and a ring has an end.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// Reports that go into one commit.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) events: Vec<NewEvent>,
    /// The document, and the number of its last report that this commit covers; without it there is nothing to acknowledge.
    pub(super) mark: Option<(String, u64)>,
}

/// Writes to the journal on behalf of one tab.
pub(super) struct Writer {
    pub(super) room: Arc<Room>,
    pub(super) account: Arc<Account>,
    pub(super) tab: Arc<dyn Tab>,
    /// The tab is closed and what is left of its reports does not matter any more.
    pub(super) ended: CancellationToken,
}

impl Writer {
    /// Commits what is pending, then acknowledges it.
    pub(super) async fn flush(&self, pending: &mut Pending) -> Option<()> {
        let Pending { events, mark } = std::mem::take(pending);
        let Some((page_id, page_seq)) = mark else {
            debug_assert!(events.is_empty(), "an event came with a report, which has a number");
            return Some(());
        };
        if !events.is_empty() {
            self.commit(&events, &page_id, page_seq).await?;
        }
        if let Err(error) = self.tab.ack(&page_id, page_seq).await {
            // A later one covers it; and what comes again is recognised.
            tracing::debug!(account = %self.account.id, %error, "an acknowledgement did not reach the page");
        }
        Some(())
    }

    async fn commit(&self, events: &[NewEvent], page_id: &str, page_seq: u64) -> Option<()> {
        let store = &self.room.store;
        let account = &self.account.id;
        let mut was_down = false;
        self.retrying("journal what the page reported", || {
            // After an outage the batch may have been kept all the same.
            let check = std::mem::replace(&mut was_down, true);
            async move {
                if check
                    && store
                        .page_mark(account, page_id)
                        .await?
                        .is_some_and(|mark| mark >= page_seq)
                {
                    return Ok(());
                }
                let page = PageMark {
                    account: account.clone(),
                    page_id: page_id.to_owned(),
                    page_seq,
                };
                let batch = Batch {
                    events: events.to_vec(),
                    page: Some(page.clone()),
                    ..Batch::default()
                };
                match store.commit(batch).await {
                    Ok(_) => Ok(()),
                    Err(error) if is_of_the_store(&error) => Err(error),
                    Err(error) => self.one_by_one(events, page, &error).await,
                }
            }
        })
        .await
    }

    /// The store refuses the batch for what is in it. Each event is tried alone, so that one that cannot be kept does not hold
    /// up all others for ever.
    async fn one_by_one(
        &self,
        events: &[NewEvent],
        page: PageMark,
        refusal: &store::Error,
    ) -> Result<(), store::Error> {
        tracing::debug!(account = %self.account.id, error = %refusal, "the store refused a batch");
        for event in events {
            match self
                .room
                .store
                .commit(Batch {
                    events: vec![event.clone()],
                    ..Batch::default()
                })
                .await
            {
                Ok(_) => {}
                Err(error) if is_of_the_store(&error) => return Err(error),
                Err(error) => {
                    let event = event.draft.event.to_string();
                    tracing::error!(account = %self.account.id, event, %error, "an event cannot be journaled and is lost");
                }
            }
        }
        self.room
            .store
            .commit(Batch {
                page: Some(page),
                ..Batch::default()
            })
            .await
            .map(|_| ())
    }

    /// Up to which number the document's reports are journaled.
    pub(super) async fn journaled(&self, page_id: &str) -> Option<u64> {
        let ask = || self.room.store.page_mark(&self.account.id, page_id);
        self.retrying("read how far the page is journaled", ask)
            .await
            .map(Option::unwrap_or_default)
    }

    /// Until it succeeds, or the tab is over.
    pub(super) async fn retrying<T, F>(&self, step: &str, mut attempt: impl FnMut() -> F) -> Option<T>
    where
        F: Future<Output = Result<T, store::Error>>,
    {
        let mut pauses = RETRIES
            .iter()
            .copied()
            .chain(std::iter::repeat(RETRIES[RETRIES.len() - 1]));
        loop {
            match attempt().await {
                Ok(done) => return Some(done),
                Err(store::Error::Closed) => return None,
                Err(error) => {
                    tracing::warn!(account = %self.account.id, %error, "cannot {step}; trying again, the page keeps the rest");
                }
            }
            tokio::select! {
                () = self.ended.cancelled() => return None,
                () = tokio::time::sleep(pauses.next().unwrap_or_default()) => {}
            }
        }
    }
}

/// Whether the store failed, and not the batch.
fn is_of_the_store(error: &store::Error) -> bool {
    !matches!(error, store::Error::TooLarge { .. } | store::Error::Invalid { .. })
}
