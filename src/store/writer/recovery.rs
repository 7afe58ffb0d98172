//! What the writer does when the disk has failed: close, wait, open again, and look whether everything is there.
//!
//! In: the error. Out: an open database, sooner or later. Must not use a handle that has failed once: neither sled nor the
//! kernel tells the same failure twice (guard G6). Batches that come meanwhile are answered with [`Error::Down`] at once.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::store::disk::Disk;
use crate::store::sweep::{self, Sweep};
use crate::store::{Error, opening, unpoisoned};

use super::{Command, Wake, Writer};

/// Waits before the database is opened again: the first, doubled up to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Writer {
    /// Closes the database; what waited for it fails with `why` from now on.
    pub(super) fn shut(&self, why: Error) -> Result<(), Error> {
        *unpoisoned(self.shared.down.lock()) = why;
        let disk = unpoisoned(self.shared.disk.write()).take();
        let Some(disk) = disk else { return Ok(()) };
        let last = disk.sync();
        disk.close();
        last
    }

    /// After a failure of the disk: closes and opens again until it works or the store is closed.
    pub(super) fn recover(&mut self, why: Error) {
        tracing::error!(error = %why, "the store failed; it is closed and opened again");
        *unpoisoned(self.shared.down.lock()) = why;
        if let Some(disk) = unpoisoned(self.shared.disk.write()).take() {
            disk.close();
        }
        let mut pause = BACK_OFF.0;
        loop {
            self.refuse_until(Instant::now() + pause);
            if self.closing.is_some() {
                return;
            }
            match self.reopen() {
                Ok(()) => return tracing::info!("the store is open again"),
                Err(err) => {
                    pause = (pause * 2).min(BACK_OFF.1);
                    tracing::error!(error = %err, retry_in = ?pause, "the store does not open");
                    *unpoisoned(self.shared.down.lock()) = Error::down(err);
                }
            }
        }
    }

    fn refuse_until(&mut self, until: Instant) {
        loop {
            match self.wait(until) {
                Wake::Command(Command::Commit { answer, .. }) => {
                    let why = unpoisoned(self.shared.down.lock()).clone();
                    drop(answer.send(Err(why)));
                }
                Wake::Command(Command::Close { answer }) => {
                    self.closing = Some(answer);
                    return;
                }
                Wake::Deadline => return,
                Wake::NoHandles => return self.closing = Some(oneshot::channel().0),
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let disk = Disk::open(&self.folder, self.cache_bytes)?;
        let head = opening::inspect(&disk, &self.folder)?;
        if head.commit < self.head.commit || head.offset < self.head.offset {
            disk.close();
            let what = format!(
                "commit {} was acknowledged, the disk ends at {}",
                self.head.commit, head.commit
            );
            return Err(Error::corrupt(what));
        }
        self.removed = sweep::removed_accounts(&disk)?;
        self.sweep = Sweep::default();
        self.head = head;
        *unpoisoned(self.shared.durable_id.lock()) = head.ids.last();
        self.shared.note_held(head.held);
        // What the failed commit held was never given out; readers take it from the disk.
        *self.shared.tail() = Default::default();
        *unpoisoned(self.shared.disk.write()) = Some(disk);
        self.shared.head.send_replace(head.offset);
        self.shared.outbox.send_modify(|changes| *changes += 1);
        Ok(())
    }
}
