//! What runs beside an open tab: its ingest and its sweeps; and how it is closed.
//!
//! In: a tab that was just opened. Out: notices for the actor. Must not outlive the tab.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::page::Report;

use super::Room;
use super::account::Account;
use super::ingest::{Ingest, NOTICES, Notice};
use super::sweep::Sweeper;
use super::tab::Tab;
use super::writer::Writer;

/// For how long the last reports of a closed tab may be journaled.
const LAST_REPORTS: Duration = Duration::from_secs(10);

/// An open tab.
pub(super) struct OpenTab {
    pub(super) tab: Arc<dyn Tab>,
    pub(super) notices: mpsc::Receiver<Notice>,
    sweeps: watch::Sender<u64>,
    ingest: JoinHandle<()>,
    ended: CancellationToken,
}

impl OpenTab {
    /// Starts what runs beside it.
    pub(super) fn new(
        room: &Arc<Room>,
        account: &Arc<Account>,
        tab: Arc<dyn Tab>,
        reports: mpsc::Receiver<Report>,
    ) -> Self {
        let (sender, notices) = mpsc::channel(NOTICES);
        let (sweeps, wanted) = watch::channel(0);
        let (swept, last_swept) = watch::channel(String::new());
        let ended = CancellationToken::new();
        let writer = Writer {
            room: Arc::clone(room),
            account: Arc::clone(account),
            tab: Arc::clone(&tab),
            ended: ended.clone(),
        };
        let sweeper = Sweeper {
            room: Arc::clone(room),
            account: Arc::clone(account),
            tab: Arc::clone(&tab),
            wanted,
            swept,
            ended: ended.clone(),
        };
        let sweeping = room.tracker.spawn(sweeper.run());
        let complain = sender.downgrade();
        room.tracker.spawn(async move {
            // Without sweeps missed messages would stay missed: the tab is of no use then, and is opened anew.
            if sweeping.await.is_err()
                && let Some(complain) = complain.upgrade()
            {
                complain.send(Notice::Gone("its sweeps ended".to_owned())).await.ok();
            }
        });
        let ingest = room.tracker.spawn(Ingest::new(writer, sender, last_swept).run(reports));
        Self {
            tab,
            notices,
            sweeps,
            ingest,
            ended,
        }
    }

    /// Messages may have been missed.
    pub(super) fn want_sweep(&self) {
        self.sweeps.send_modify(|wish| *wish += 1);
    }

    /// Ends the browser after `wait`, which a fresh link needs to reach the disk, and journals what it still reported.
    pub(super) async fn close(self, account: &Account, wait: Duration) {
        let Self {
            tab,
            notices,
            sweeps: _,
            ingest,
            ended,
        } = self;
        // Nobody listens any more, and the ingest is not to wait for it.
        drop(notices);
        if !wait.is_zero() {
            tracing::info!(account = %account.id, seconds = wait.as_secs(), "waiting until the fresh link is on disk");
            tokio::time::sleep(wait).await;
        }
        if let Err(error) = tab.close().await {
            tracing::error!(account = %account.id, %error, "the browser did not end");
        }
        if tokio::time::timeout(LAST_REPORTS, ingest).await.is_err() {
            tracing::warn!(account = %account.id, "the last reports of the page could not be journaled");
        }
        ended.cancel();
    }
}
