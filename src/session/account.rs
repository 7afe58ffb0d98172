//! What is known of one account, shared by its actor, its sends and those who look at it.
//!
//! In: the actor publishes, the registry wishes. Out: the view, the open tab, the record. Must not decide anything: the actor
//! does.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turnstile, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::config::resolved;
use crate::event::AccountId;
use crate::store::{AccountRecord, Batch, Committed, Desired, Store};

use super::actor::Command;
use super::locks::Locks;
use super::pacing::Pacing;
use super::qr::Qr;
use super::snapshot::Pictures;
use super::tab::Tab;
use super::view::{AccountView, Status};

/// Files of an account that are on their way at the same time; more wait.
const FILES: usize = 4;

/// The tab of an account, as far as it may be used.
#[derive(Clone)]
pub(super) enum Live {
    /// There is none.
    Closed,
    /// It is open; for pictures only.
    Open(Arc<dyn Tab>),
    /// It is open and a round trip was proven; for sends.
    Ready(Arc<dyn Tab>),
    /// The account is gone for good.
    Deleted,
}

impl Live {
    pub(super) fn is_ready_with(&self, tab: &Arc<dyn Tab>) -> bool {
        matches!(self, Live::Ready(now) if Arc::ptr_eq(now, tab))
    }
}

/// One account.
pub(super) struct Account {
    pub(super) id: AccountId,
    /// Changed by [`Account::commit`] alone.
    record: watch::Sender<AccountRecord>,
    writing: Turnstile<()>,
    pub(super) status: watch::Sender<Status>,
    pub(super) live: watch::Sender<Live>,
    pub(super) commands: mpsc::Sender<Command>,
    /// The actor has ended.
    pub(super) ended: CancellationToken,
    /// The code that waits to be scanned.
    pub(super) qr: Mutex<Option<Qr>>,
    /// When the link was made, if it was made by this process.
    pub(super) linked: Mutex<Option<Instant>>,
    pub(super) keys: Locks,
    /// Held while a file is on its way into the page or out of it: each lies in memory whole, and the page keeps eight.
    pub(super) files: Semaphore,
    pub(super) pacing: Pacing,
    pub(super) pictures: Pictures,
}

impl Account {
    pub(super) fn new(
        record: AccountRecord,
        config: &watch::Receiver<Arc<Config>>,
        commands: mpsc::Sender<Command>,
    ) -> Self {
        Self {
            id: record.id.clone(),
            pacing: Pacing::new(record.id.clone(), config.clone()),
            record: watch::Sender::new(record),
            writing: Turnstile::default(),
            status: watch::Sender::new(Status::stopped(super::now())),
            live: watch::Sender::new(Live::Closed),
            commands,
            ended: CancellationToken::new(),
            qr: Mutex::default(),
            linked: Mutex::default(),
            keys: Locks::default(),
            files: Semaphore::new(FILES),
            pictures: Pictures::default(),
        }
    }

    /// The record as it is in the store.
    pub(super) fn record(&self) -> AccountRecord {
        self.record.borrow().clone()
    }

    pub(super) fn linked_at(&self) -> Option<i64> {
        self.record.borrow().linked_at
    }

    /// Commits a change of the record, with whatever else belongs to it. A record that is to be deleted stays so.
    pub(super) async fn commit(
        &self,
        store: &Store,
        mut batch: Batch,
        change: impl FnOnce(&mut AccountRecord) + Send,
    ) -> Result<Committed, crate::store::Error> {
        let _writing = self.writing.lock().await;
        let mut record = self.record();
        let was = record.desired;
        change(&mut record);
        if was == Desired::Deleting {
            record.desired = was;
        }
        batch.accounts.push((self.id.clone(), Some(record.clone())));
        let committed = store.commit(batch).await?;
        self.record.send_replace(record);
        Ok(committed)
    }

    /// The tab, if one is open.
    pub(super) fn tab(&self) -> Option<Arc<dyn Tab>> {
        match &*self.live.borrow() {
            Live::Open(tab) | Live::Ready(tab) => Some(Arc::clone(tab)),
            Live::Closed | Live::Deleted => None,
        }
    }

    /// The code that waits to be scanned, to look at or to replace.
    pub(super) fn with_qr<T>(&self, with: impl FnOnce(&mut Option<Qr>) -> T) -> T {
        with(&mut self.qr.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long the link has been there, if this process saw it made.
    pub(super) fn linked_for(&self) -> Option<std::time::Duration> {
        self.linked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .map(|at| at.elapsed())
    }

    pub(super) fn note_link(&self) {
        *self.linked.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Where its profile lies.
    pub(super) fn profile(&self, data: &resolved::Data) -> PathBuf {
        data.dir.join(super::PROFILES).join(&self.record.borrow().folder)
    }

    pub(super) fn view(&self, config: &Config) -> AccountView {
        let record = self.record.borrow();
        let status = self.status.borrow();
        let declared = config.account.get(&self.id);
        let has_page = !matches!(&*self.live.borrow(), Live::Closed | Live::Deleted);
        AccountView {
            id: self.id.clone(),
            name: declared
                .and_then(|own| own.name.clone())
                .or_else(|| record.name.clone()),
            state: status.state,
            reason: status.reason.clone(),
            since: status.since,
            phone: record.phone.clone(),
            webhook_url: declared
                .and_then(|own| own.webhook_url.clone())
                .or_else(|| record.webhook.as_ref().map(|webhook| webhook.url.clone())),
            proof_age_ms: status.proof_age_ms().filter(|_| has_page),
            degraded: status.degraded.clone(),
            created_at: record.created_at,
            linked_at: record.linked_at,
        }
    }
}
