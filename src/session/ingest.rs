//! From the page to the journal: what a tab reports is committed, then acknowledged.
//!
//! In: the reports of one tab, in order. Out: events for the [`Writer`], [`Notice`]s to the actor. Must not decide about states.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::event::{Message, Origin, Source};
use crate::page::{PageEvent, PageStatus, Report};
use crate::store::{self, Batch, EVENTS_PER_BATCH, NewEvent};

use super::account::Account;
use super::hold::{Held, Hold};
use super::writer::{Pending, Writer};
use super::{drafts, sweep};

/// Notices that may wait for the actor; with more the ingest waits, and with it the page.
pub(super) const NOTICES: usize = 256;

/// How far this machine's clock may be ahead of WhatsApp's, in ms: what comes live in the document that was linked just now came
/// after the link, even if it seems to be a little older.
const SKEW: i64 = 120_000;
/// How long a fresh link is asked for its number before it is committed without.
const NUMBER: Duration = Duration::from_secs(1);

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
    writer: Writer,
    notices: mpsc::Sender<Notice>,
    hold: Hold,
    /// The document whose reports come now, and the number of its last one that is journaled.
    done: (String, u64),
    /// The document in which the account was linked.
    linked_in: Option<String>,
}

impl Ingest {
    /// Of the tab that `writer` acknowledges to; `swept` is the document that the last sweep was of.
    pub(super) fn new(writer: Writer, notices: mpsc::Sender<Notice>, swept: watch::Receiver<String>) -> Self {
        Self {
            writer,
            notices,
            hold: Hold::new(swept),
            done: (String::new(), 0),
            linked_in: None,
        }
    }

    /// Runs until the tab reports no more.
    pub(super) async fn run(mut self, mut reports: mpsc::Receiver<Report>) {
        let ended = self.writer.ended.clone();
        let mut batch = Vec::with_capacity(EVENTS_PER_BATCH);
        loop {
            let received = tokio::select! {
                () = ended.cancelled() => return,
                () = self.hold.over() => {
                    if self.release().await.is_none() {
                        return;
                    }
                    continue;
                }
                received = reports.recv_many(&mut batch, EVENTS_PER_BATCH) => received,
            };
            if self.take(batch.drain(..)).await.is_none() {
                return;
            }
            if received == 0 {
                // The tab is closed; what it reported is journaled all the same.
                self.release().await;
                return;
            }
        }
    }

    /// `None`: it ended before everything was journaled.
    async fn take(&mut self, batch: impl Iterator<Item = Report>) -> Option<()> {
        let mut pending = Pending::default();
        for report in batch {
            let (page_id, page_seq, event) = match report {
                Report::Event {
                    page_id,
                    page_seq,
                    event,
                } => (page_id, page_seq, event),
                Report::Gone(how) => {
                    self.writer.flush(&mut pending).await?;
                    self.release().await?;
                    self.tell(Notice::Gone(how)).await;
                    continue;
                }
            };
            if !self.hold.is_on(&page_id) {
                self.one(page_id, page_seq, event, &mut pending).await?;
            } else if matches!(event, PageEvent::Message { .. } | PageEvent::Ack { .. }) {
                self.hold.keep(Held {
                    page_id,
                    page_seq,
                    event,
                });
                if self.hold.is_full() {
                    self.writer.flush(&mut pending).await?;
                    self.release().await?;
                }
            } else if !self.is_journaled(&page_id, page_seq, &mut pending).await? {
                // How the account stands is what the sweep itself waits for. Acknowledged with what is held.
                self.event(event, &mut pending).await?;
            }
        }
        self.writer.flush(&mut pending).await
    }

    /// Journals what was held back.
    async fn release(&mut self) -> Option<()> {
        let mut pending = Pending::default();
        for Held {
            page_id,
            page_seq,
            event,
        } in self.hold.release()
        {
            self.one(page_id, page_seq, event, &mut pending).await?;
            if pending.events.len() >= EVENTS_PER_BATCH {
                self.writer.flush(&mut pending).await?;
            }
        }
        self.writer.flush(&mut pending).await
    }

    async fn one(&mut self, page_id: String, page_seq: u64, event: PageEvent, pending: &mut Pending) -> Option<()> {
        if self.is_journaled(&page_id, page_seq, pending).await? {
            return Some(());
        }
        self.done.1 = page_seq;
        pending.mark = Some((page_id, page_seq));
        self.event(event, pending).await
    }

    /// Whether a report is one whose acknowledgement did not arrive; it is acknowledged again with the next commit.
    async fn is_journaled(&mut self, page_id: &str, page_seq: u64, pending: &mut Pending) -> Option<bool> {
        if self.done.0 != page_id {
            self.writer.flush(pending).await?;
            self.done = (page_id.to_owned(), self.writer.journaled(page_id).await?);
        }
        let known = page_seq <= self.done.1;
        if known {
            pending.mark = Some(self.done.clone());
        }
        Some(known)
    }

    async fn event(&mut self, event: PageEvent, pending: &mut Pending) -> Option<()> {
        let id = self.writer.account.id.clone();
        match event {
            PageEvent::Message {
                message,
                canonical,
                is_new,
            } => {
                if let Some(event) = self.message(message, &canonical, is_new).await? {
                    pending.events.push(event);
                }
            }
            PageEvent::Ack { chat, ids, ack, sender } => {
                pending
                    .events
                    .push(drafts::ack(&id, &chat, &ids, ack, sender.as_deref()));
            }
            PageEvent::Authenticated => {
                self.writer.flush(pending).await?;
                self.linked().await?;
                self.linked_in = Some(self.done.0.clone());
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
    async fn message(&self, mut message: Message, canonical: &str, is_new: bool) -> Option<Option<NewEvent>> {
        // WhatsApp counts in seconds. In the second of the link itself what came live counts, what was there does not.
        let slack = if self.linked_in.as_ref() == Some(&self.done.0) {
            SKEW
        } else {
            0
        };
        let is_wanted = self.writer.account.linked_at().is_some_and(|linked| {
            if is_new {
                message.timestamp >= linked - slack
            } else {
                message.timestamp > sweep::floor(linked, super::now())
            }
        });
        if !is_wanted {
            tracing::debug!(account = %self.writer.account.id, id = message.id, "older than the link, no event");
            return Some(None);
        }
        if message.from_me {
            message.source = Some(
                self.writer
                    .retrying("ask who sent a message", || {
                        source(&self.writer.room.store, &self.writer.account, &message.id)
                    })
                    .await?,
            );
        }
        let origin = if is_new { Origin::Live } else { Origin::History };
        Some(Some(drafts::message(
            &self.writer.account.id,
            &message,
            canonical,
            origin,
        )))
    }

    /// The account was linked just now: nothing older than this second becomes an event.
    async fn linked(&self) -> Option<()> {
        self.writer.account.note_link();
        let linked_at = super::whole_second(super::now());
        let store = &self.writer.room.store;
        // Asked once and not for long: until the commit a crash would forget when the account was linked. Where the page does not
        // know the number yet, the first proof tells.
        let status = tokio::time::timeout(NUMBER, self.writer.tab.status()).await;
        let phone = status
            .ok()
            .and_then(Result::ok)
            .and_then(|status| status.me)
            .and_then(|me| me.phone);
        self.writer
            .retrying("keep the moment of linking", || async {
                let batch = Batch {
                    events: vec![drafts::authenticated(&self.writer.account.id, phone.as_deref())],
                    ..Batch::default()
                };
                let change = |record: &mut store::AccountRecord| {
                    record.linked_at = Some(linked_at);
                    record.phone.clone_from(&phone);
                };
                self.writer.account.commit(store, batch, change).await.map(|_| ())
            })
            .await
    }

    async fn tell(&self, notice: Notice) {
        // The actor drops its end before it closes the tab; what the page says then does not matter any more.
        if self.notices.send(notice).await.is_err() {
            tracing::trace!(account = %self.writer.account.id, "a notice of a tab that is being closed");
        }
    }
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
