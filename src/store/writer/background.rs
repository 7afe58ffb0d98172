//! What the writer does between commits: the sweep, the journal's retention, removed accounts, a look at the disk.
//!
//! In: the time. Out: small commits of the writer's own. Must not take longer than a few milliseconds at a time: batches wait
//! meanwhile.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::store::engine::Rows;
use crate::store::retention::Rules;
use crate::store::space::{self, Level};
use crate::store::stage::Layer;
use crate::store::{Error, sweep, unpoisoned};

use super::Writer;

/// Time between two steps of work.
pub(super) const STEP: Duration = Duration::from_millis(50);

/// Time for work in a row: batches that come meanwhile wait so much longer.
const BUDGET: Duration = Duration::from_millis(10);

/// Time between two looks at the disk, while there is work.
const LOOKS: Duration = Duration::from_secs(1);

impl Writer {
    /// A step of what goes by itself.
    pub(super) fn background(&mut self) -> Result<(), Error> {
        self.look_at_space();
        // Several steps at a time, or an hour's events would take longer than an hour to delete.
        let until = Instant::now() + BUDGET;
        while let Some(account) = self.removed.first().cloned() {
            self.remove_step(&account)?;
            if Instant::now() >= until {
                break;
            }
        }
        while self.retention.is_at_work() && Instant::now() < until {
            self.retain()?;
        }
        if !self.removed.is_empty() || self.retention.is_at_work() {
            self.next_step = Instant::now() + STEP;
            return Ok(());
        }
        let now = Instant::now();
        if now < self.next_round {
            self.next_step = self.next_round.min(now + self.rounds.over);
            if self.head.journal_bytes > unpoisoned(self.shared.limits.lock()).bytes {
                self.retention.begin(&self.head);
                self.next_step = now + STEP;
            }
            return Ok(());
        }
        let mut sweep = std::mem::take(&mut self.sweep);
        let over = self.write_layer(|layer| sweep.step(layer, crate::store::now()))?;
        self.sweep = sweep;
        self.next_step = now + STEP;
        if over {
            self.next_round = now + self.rounds.every;
            self.retention.begin(&self.head);
        }
        Ok(())
    }

    fn retain(&mut self) -> Result<(), Error> {
        let readers = unpoisoned(self.shared.readers.lock()).clone();
        let rules = Rules {
            limits: *unpoisoned(self.shared.limits.lock()),
            readers: readers.as_ref(),
            now: crate::store::now(),
        };
        let mut retention = std::mem::take(&mut self.retention);
        self.write_layer(|layer| {
            retention.step(layer, &rules)?;
            Ok(true)
        })?;
        self.retention = retention;
        self.shared.first.store(self.head.first, Ordering::Release);
        Ok(())
    }

    /// Removes all that is left of an account.
    pub(super) fn remove(&mut self, account: &str) -> Result<(), Error> {
        while self.removed.iter().any(|removed| removed == account) {
            self.remove_step(account)?;
        }
        Ok(())
    }

    fn remove_step(&mut self, account: &str) -> Result<(), Error> {
        if self.write_layer(|layer| sweep::remove_account(layer, account))? {
            self.removed.retain(|removed| removed != account);
        }
        Ok(())
    }

    /// A commit of the writer's own. A row that cannot be read ends this round and no more: it is found again where it
    /// matters.
    fn write_layer(&mut self, work: impl FnOnce(&mut Layer<'_>) -> Result<bool, Error>) -> Result<bool, Error> {
        let shared = self.shared.clone();
        let disk = unpoisoned(shared.disk.read());
        let Some(disk) = disk.as_ref() else {
            return Err(Error::Closed);
        };
        let nothing = Rows::new();
        let mut layer = Layer::over(disk, &nothing, self.head);
        let over = match work(&mut layer) {
            Ok(over) => over,
            Err(err) if err.is_of_the_disk() => return Err(err),
            Err(err) => {
                tracing::error!(error = %err, "the store could not be swept");
                return Ok(true);
            }
        };
        let (head, told, bytes) = (layer.head, std::mem::take(&mut layer.told), layer.event_bytes);
        let rows = layer.into_rows();
        if !rows.is_empty() {
            self.apply(disk, rows)?;
            disk.sync()?;
        }
        self.head = head;
        *unpoisoned(shared.durable_id.lock()) = head.ids.last();
        self.tell(told, bytes);
        Ok(over)
    }

    /// Looks how much room the disk has, if it was not looked at just now.
    pub(super) fn look_at_space(&mut self) {
        let now = Instant::now();
        if now < self.next_look {
            return;
        }
        self.next_look = now + LOOKS;
        let size = unpoisoned(self.shared.disk.read())
            .as_ref()
            .and_then(|disk| disk.engine().size().ok());
        let space = match self.medium.space() {
            Ok(space) => space,
            Err(error) => return tracing::debug!(%error, "the free space is not known"),
        };
        let kept_free = self.kept_free.unwrap_or_else(|| space::kept_free(space.total));
        let level = space::level(space, kept_free);
        if level != self.level {
            let (free_mib, kept_free_mib) = (space.free >> 20, kept_free >> 20);
            match level {
                Level::Enough => tracing::info!(free_mib, "the disk has room again"),
                Level::Low => tracing::warn!(free_mib, kept_free_mib, "the disk is getting full"),
                Level::Full => {
                    tracing::error!(
                        free_mib,
                        kept_free_mib,
                        "the disk is almost full: no new work is taken until there is room"
                    );
                }
            }
            self.level = level;
        }
        let mut health = unpoisoned(self.shared.health.lock());
        health.level = level;
        health.free = space.free;
        health.kept_free = kept_free;
        health.size = size.unwrap_or(health.size);
        health.journal_first = self.head.first;
        health.journal_next = self.head.offset;
        health.journal_bytes = self.head.journal_bytes;
    }

    /// Why new work is refused.
    pub(super) fn full(&self) -> Error {
        let health = unpoisoned(self.shared.health.lock());
        Error::Full {
            free: health.free,
            kept_free: health.kept_free,
        }
    }
}
