//! What the writer does when the disk has failed: close, wait, open again, and look whether everything is there.
//!
//! In: the error. Out: an open database, sooner or later. Must not use a handle that has failed once: neither sled nor the
//! kernel tells the same failure twice (guard G6). Batches that come meanwhile are answered with [`Error::Down`] at once.

use std::time::Instant;

use tokio::sync::oneshot;

use crate::store::disk::Disk;
use crate::store::retention::Retention;
use crate::store::sweep::{self, Sweep};
use crate::store::{Error, opening, unpoisoned};

use super::{Command, Wake, Writer};

/// Bytes that opening may need for a segment of the log and a snapshot.
const NEEDED: u64 = 16 << 20;

impl Writer {
    /// Closes the database; what waited for it fails with `why` from now on.
    pub(super) fn shut(&self, why: Error) -> Result<(), Error> {
        *unpoisoned(self.shared.down.lock()) = why;
        let disk = unpoisoned(self.shared.disk.write()).take();
        let Some(disk) = disk else { return Ok(()) };
        let last = disk.sync();
        disk.close();
        if let Some(reached) = self.medium.reached() {
            reached.sync();
        }
        last
    }

    /// Closes the database after a failure of the disk, before anybody is told of it: who then asks what was kept must not be
    /// shown what was written and may be lost.
    pub(super) fn out_of_service(&self, why: &Error) {
        *unpoisoned(self.shared.down.lock()) = why.clone();
        if let Some(fence) = unpoisoned(self.shared.fence.lock()).upgrade() {
            fence.break_off(why);
        }
        if let Some(disk) = unpoisoned(self.shared.disk.write()).take() {
            disk.close();
        }
    }

    /// After a failure of the disk: closes and opens again until it works or the store is closed.
    pub(super) fn recover(&mut self, why: &Error) {
        tracing::error!(error = %why, "the store failed; it is closed and opened again");
        self.out_of_service(why);
        // If it failed for want of room, opening needs some.
        if self.medium.space().is_ok_and(|space| space.free < NEEDED) {
            self.medium.give_way();
        }
        let (mut pause, longest) = self.medium.back_off();
        loop {
            self.refuse_until(Instant::now() + pause);
            if self.closing.is_some() {
                return;
            }
            match self.reopen() {
                Ok(()) => return tracing::info!("the store is open again"),
                Err(err) => {
                    pause = (pause * 2).min(longest);
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
                Wake::Command(Command::Fence { answer }) => {
                    let why = unpoisoned(self.shared.down.lock()).clone();
                    drop(answer.send(Err(why)));
                }
                Wake::Deadline => return,
                Wake::NoHandles => return self.closing = Some(oneshot::channel().0),
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let disk = Disk::on(self.medium.open()?);
        let head = opening::inspect(&disk, &self.medium.place(), self.medium.reached())?;
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
        self.retention = Retention::after_opening();
        self.head = head;
        self.shared
            .first
            .store(head.first, std::sync::atomic::Ordering::Release);
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
