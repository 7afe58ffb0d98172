//! From the page to the journal: what a tab reports is committed, then acknowledged.
//!
//! In: the reports of one tab, in order. Out: journaled events, acknowledgements to the agent, [`Notice`]s to the actor. While
//! the store cannot commit, nothing is acknowledged and the same batch is tried again, so that the agent's ring keeps what
//! follows. Must not decide about states.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{Message, Origin, Source};
use crate::page::{PageEvent, PageStatus, Report};
use crate::store::{self, Batch, EVENTS_PER_BATCH, NewEvent, PageMark};

use super::account::Account;
use super::hold::{Held, Hold};
use super::tab::Tab;
use super::{Room, drafts, sweep};

/// Notices that may wait for the actor; with more the ingest waits, and with it the page.
pub(super) const NOTICES: usize = 256;

/// Waits before a failed commit is tried again; the last one repeats. The store comes back by itself, and a ring has an end.
const RETRIES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// What the actor is to know.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Notice {
    /// The page told how it stands.
    Status(Box<PageStatus>),
    /// The QR text, or none any more.
    Qr(Option<String>),
    /// WhatsApp Web stopped making codes.
    QrIdle,
    /// The link is fresh, and the record says since when.
    Authenticated,
    /// The link is gone.
    LoggedOut(Option<String>),
    /// Events were lost in the page.
    Gap,
    /// The browser is gone.
    Gone(String),
}

/// Journals the reports of one tab.
pub(super) struct Ingest {
    pub(super) room: Arc<Room>,
    pub(super) account: Arc<Account>,
    pub(super) tab: Arc<dyn Tab>,
    pub(super) notices: mpsc::Sender<Notice>,
    /// Counts the sweeps that have ended.
    pub(super) swept: watch::Receiver<u64>,
    /// The tab is closed and what is left of its reports does not matter any more.
    pub(super) ended: CancellationToken,
}

/// Reports that go into one commit.
#[derive(Default)]
struct Pending {
    events: Vec<NewEvent>,
    mark: Option<(String, u64)>,
}

impl Ingest {
    /// Runs until the tab reports no more.
    pub(super) async fn run(self, mut reports: mpsc::Receiver<Report>) {
        // The document whose events come now, and its last number that is journaled.
        let mut done: (String, u64) = (String::new(), 0);
        let mut hold = Hold::new(self.swept.clone());
        let mut batch = Vec::with_capacity(EVENTS_PER_BATCH);
        loop {
            let received = tokio::select! {
                () = self.ended.cancelled() => return,
                () = hold.over() => {
                    if self.release(&mut hold, &mut done).await.is_none() {
                        return;
                    }
                    continue;
                }
                received = reports.recv_many(&mut batch, EVENTS_PER_BATCH) => received,
            };
            if self.take(batch.drain(..), &mut hold, &mut done).await.is_none() {
                return;
            }
            if received == 0 {
                // The tab is closed; what it reported is journaled all the same.
                self.release(&mut hold, &mut done).await;
                return;
            }
        }
    }

    /// `None`: it ended before everything was journaled.
    async fn take(
        &self,
        batch: impl Iterator<Item = Report>,
        hold: &mut Hold,
        done: &mut (String, u64),
    ) -> Option<()> {
        let mut pending = Pending::default();
        for report in batch {
            let (page_id, page_seq, event) = match report {
                Report::Event {
                    page_id,
                    page_seq,
                    event,
                } => (page_id, page_seq, event),
                Report::Gone(how) => {
                    self.flush(&mut pending).await?;
                    self.release(hold, done).await?;
                    self.tell(Notice::Gone(how)).await;
                    continue;
                }
            };
            if !hold.notes(&page_id, page_seq) {
                self.one(page_id, page_seq, event, &mut pending, done).await?;
            } else if matches!(event, PageEvent::Message { .. } | PageEvent::Ack { .. }) {
                hold.keep(Held { page_id, page_seq, event });
                if hold.is_full() {
                    self.flush(&mut pending).await?;
                    self.release(hold, done).await?;
                }
            } else {
                // How the account stands is what the sweep itself waits for.
                self.event(event, &mut pending).await?;
            }
        }
        self.flush(&mut pending).await
    }

    /// Journals what was held back, and acknowledges all that came meanwhile.
    async fn release(&self, hold: &mut Hold, done: &mut (String, u64)) -> Option<()> {
        let (held, last) = hold.release();
        let mut pending = Pending::default();
        let mut page = None;
        for Held { page_id, page_seq, event } in held {
            page = Some(page_id.clone());
            self.one(page_id, page_seq, event, &mut pending, done).await?;
            if pending.events.len() >= EVENTS_PER_BATCH {
                self.flush(&mut pending).await?;
            }
        }
        if let Some(page_id) = page.filter(|page_id| *page_id == done.0) {
            done.1 = done.1.max(last);
            pending.mark = Some((page_id, done.1));
        }
        self.flush(&mut pending).await
    }

    async fn one(
        &self,
        page_id: String,
        page_seq: u64,
        event: PageEvent,
        pending: &mut Pending,
        done: &mut (String, u64),
    ) -> Option<()> {
        if done.0 != page_id {
            self.flush(pending).await?;
            *done = (page_id.clone(), self.journaled(&page_id).await?);
        }
        if page_seq <= done.1 {
            // It was journaled, and the acknowledgement did not arrive.
            pending.mark = Some((page_id, done.1));
            return Some(());
        }
        done.1 = page_seq;
        pending.mark = Some((page_id, page_seq));
        self.event(event, pending).await
    }

    async fn event(&self, event: PageEvent, pending: &mut Pending) -> Option<()> {
        let id = &self.account.id;
        match event {
            PageEvent::Message { message, is_new } => {
                if let Some(event) = self.message(message, is_new).await? {
                    pending.events.push(event);
                }
            }
            PageEvent::Ack { chat, ids, ack, sender } => {
                pending
                    .events
                    .push(drafts::ack(id, &chat, &ids, ack, sender.as_deref()));
            }
            PageEvent::Authenticated => {
                self.flush(pending).await?;
                self.linked().await?;
                self.tell(Notice::Authenticated).await;
            }
            PageEvent::Qr(text) => self.tell(Notice::Qr(text)).await,
            PageEvent::QrIdle => self.tell(Notice::QrIdle).await,
            PageEvent::State(status) => self.tell(Notice::Status(Box::new(status))).await,
            PageEvent::LoggedOut { reason } => self.tell(Notice::LoggedOut(reason)).await,
            PageEvent::Gap { dropped } => {
                tracing::warn!(account = %id, dropped, "the page's ring was full; a sweep will look for what it lost");
                self.tell(Notice::Gap).await;
            }
        }
        Some(())
    }

    /// The event of a message; none for what was before the link.
    async fn message(&self, mut message: Message, is_new: bool) -> Option<Option<NewEvent>> {
        // WhatsApp counts in seconds. In the second of the link itself what came live counts, what was there does not.
        let is_wanted = self.account.linked_at().is_some_and(|linked| {
            if is_new {
                message.timestamp >= linked
            } else {
                message.timestamp > sweep::floor(linked, super::now())
            }
        });
        if !is_wanted {
            tracing::debug!(account = %self.account.id, id = message.id, "older than the link, no event");
            return Some(None);
        }
        if message.from_me {
            message.source = Some(
                self.retrying("ask who sent a message", || {
                    source(&self.room.store, &self.account, &message.id)
                })
                .await?,
            );
        }
        let origin = if is_new { Origin::Live } else { Origin::History };
        Some(Some(drafts::message(&self.account.id, &message, origin)))
    }

    /// The account was linked just now: nothing older than this second becomes an event.
    async fn linked(&self) -> Option<()> {
        self.account.note_link();
        let linked_at = super::whole_second(super::now());
        let store = &self.room.store;
        // Asked once; where the page does not know it yet, the first proof tells.
        let phone = self
            .tab
            .status()
            .await
            .ok()
            .and_then(|status| status.me)
            .and_then(|me| me.phone);
        self.retrying("keep the moment of linking", || async {
            let batch = Batch {
                events: vec![drafts::authenticated(&self.account.id, phone.as_deref())],
                ..Batch::default()
            };
            let change = |record: &mut store::AccountRecord| {
                record.linked_at = Some(linked_at);
                record.phone.clone_from(&phone);
            };
            self.account.commit(store, batch, change).await.map(|_| ())
        })
        .await
    }

    /// Commits what is pending, then acknowledges it.
    async fn flush(&self, pending: &mut Pending) -> Option<()> {
        let Pending { events, mark } = std::mem::take(pending);
        let Some((page_id, page_seq)) = mark else {
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

    async fn journaled(&self, page_id: &str) -> Option<u64> {
        let ask = || self.room.store.page_mark(&self.account.id, page_id);
        self.retrying("read how far the page is journaled", ask)
            .await
            .map(Option::unwrap_or_default)
    }

    /// Until it succeeds, or the tab is over.
    async fn retrying<T, F>(&self, step: &str, mut attempt: impl FnMut() -> F) -> Option<T>
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

    async fn tell(&self, notice: Notice) {
        // The actor drops its end before it closes the tab; what the page says then does not matter any more.
        if self.notices.send(notice).await.is_err() {
            tracing::trace!(account = %self.account.id, "a notice of a tab that is being closed");
        }
    }
}

/// Whether the store failed, and not the batch.
fn is_of_the_store(error: &store::Error) -> bool {
    !matches!(error, store::Error::TooLarge { .. } | store::Error::Invalid { .. })
}

/// Who made an own message: what wharf itself sent stands in the store, all else came from the phone.
pub(super) async fn source(store: &store::Store, account: &Account, id: &str) -> Result<Source, store::Error> {
    let entry = store
        .kv_get(&super::sent_space(&account.id), drafts::raw_id(id))
        .await?;
    Ok(entry
        .and_then(|entry| serde_json::from_slice(&entry.value).ok())
        .unwrap_or(Source::Phone))
}
