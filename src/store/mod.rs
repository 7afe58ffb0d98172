//! The store room: everything that must outlive the process, in one embedded database.
//!
//! In: [`Batch`]es of changes, by [`Store::commit`]. Out: the journal, marks, accounts, intents, positions, kv, outbox,
//! endpoints and admin keys, by the reading methods. The only room that knows sled.
//!
//! * **One writer.** A thread of its own takes batches from a bounded queue, joins those that wait to one commit, writes it
//!   as one atomic step, syncs the disk, and only then answers and tells the readers. A batch is kept whole or not at all; one
//!   that is refused (a conflict, a limit) is refused alone.
//! * **Acknowledged means durable**, through kill -9 and loss of power, by the guards in `durable` and `disk`.
//! * **One tree.** All tables lie in one sled tree under prefixes (`layout`): one `apply_batch` is atomic over all of them.
//!   Measured, it is as fast as a transaction over several trees, and needs no retries and no closure that runs twice.
//! * **Readers** see what is committed, on the runtime's blocking threads, at most eight at a time. New events and
//!   deliveries show only once they are durable. Other rows may show a moment earlier, which is harmless: whatever is
//!   committed on their account lies behind them in the same log.
//! * **When the disk fails**, every waiting batch fails as [`Error::Down`], the database is closed and opened again after 1 s,
//!   doubling to 30 s. Whether such a batch was kept can be asked afterwards (`page_mark`, `intent`, `position`).
//!
//! Underneath: `engine`, which is `tree` (sled) on a disk. Rows: `layout`; their form: `record`; numbering and staging: `stage`; what is removed in the background: `sweep`, `retention`;
//! the room on the disk: `space`.

mod accounts;
pub mod backup;
mod batch;
mod check;
mod compact;
#[cfg(test)]
mod conformance;
mod disk;
mod durable;
mod endpoints;
mod engine;
mod error;
#[cfg(test)]
mod faulty;
mod ids;
mod intents;
mod jobs;
mod journal;
mod keys;
mod kv;
mod layout;
mod lock;
mod marks;
#[cfg(test)]
mod memory;
mod migrate;
mod opening;
mod outbox;
mod position;
mod probe;
mod reached;
mod record;
mod replay;
mod retention;
mod runs;
mod since;
mod space;
mod stage;
mod sweep;
#[cfg(test)]
mod tests;
mod tree;
mod writer;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

pub use accounts::{AccountRecord, Desired, Webhook};
pub use batch::{Batch, Committed, EVENTS_PER_BATCH, NewEvent, Once, PageMark, ROWS_PER_BATCH, ROWS_PER_COMMIT};
pub use check::{Checked, check, whole};
pub use endpoints::{Disabled, EndpointRecord, SigningSecret};
pub use error::Error;
pub use intents::Intent;
pub use jobs::{JOB_MAX, Job, NewJob};
pub use keys::KeyRecord;
pub use kv::{Expect, KvEntry, KvOp, KvWrite, VALUE_MAX};
pub use lock::{LOCK_FILE, Lock, take as lock_folder};
pub use marks::MESSAGE;
pub use outbox::{
    ATTEMPTS_KEPT, Attempt, BACKLOG_BYTES, BACKLOG_COUNT, BODY_MAX, DeadLetter, Delivery, Held, OutboxChange, Post,
    Share,
};
pub use position::Position;
#[doc(hidden)]
pub use probe::look_at_row;
pub use replay::{REPLAYS_PER_BATCH, Replay};
pub use retention::Limits;
pub use runs::{DeadRun, FailedRun, Verdict};
pub use since::{Moment, Place};
pub use space::{Health, Level, room};

use disk::Disk;
use writer::Command;

/// Batches that may wait for the writer; one more waits in its caller.
const QUEUE: usize = 4096;

/// Readers at a time; one more waits.
const READERS: usize = 8;

/// The folder of the database in the data folder.
const FOLDER: &str = "store";

/// The file in the data folder that holds room for the moment at which the disk is full.
const BALLAST: &str = "store.ballast";

/// The file in the data folder that is there while a store is open: one that is found there says that it did not end in order.
const OPEN: &str = "store.open";

/// Whether the store of a data folder was not closed in order by who had it last, or is open now.
#[must_use]
pub fn ended_uncleanly(dir: &Path) -> bool {
    dir.join(OPEN).exists()
}

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of sled's cache.
    pub cache_bytes: u64,
    /// Whether 64 MiB of the disk are set aside for the moment at which another process has filled it.
    pub ballast: bool,
    /// How much of the journal is kept.
    pub limits: Limits,
    /// Bytes of the disk below which new work is refused; `None` for a twentieth of it, at least 256 MiB and at most 2 GiB.
    pub kept_free: Option<u64>,
    /// When what is old is looked for.
    pub rounds: Rounds,
}

/// When the writer goes through the store to let go of what is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// After the start, which has other things to do.
    pub first: Duration,
    /// From one round to the next.
    pub every: Duration,
    /// The same for the journal alone, while it is larger than it may be.
    pub over: Duration,
}

impl Default for Rounds {
    /// After a minute, then each hour; each minute for a journal that is too large.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(60),
            every: Duration::from_secs(3600),
            over: Duration::from_secs(60),
        }
    }
}

impl Default for Options {
    /// A cache of 16 MiB, no ballast, limits and rounds as they are by default.
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            ballast: false,
            limits: Limits::default(),
            kept_free: None,
            rounds: Rounds::default(),
        }
    }
}

/// A handle on the store; clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    shared: Arc<Shared>,
    readers: Arc<Semaphore>,
    put_back: replay::PutBack,
}

/// What the writer and the handles share.
#[derive(Debug)]
struct Shared {
    /// `None` while the database is closed.
    disk: RwLock<Option<Disk>>,
    /// Why it is closed.
    down: Mutex<Error>,
    head: watch::Sender<u64>,
    /// The offset of the oldest event that is kept.
    first: AtomicU64,
    outbox: watch::Sender<u64>,
    jobs: watch::Sender<u64>,
    /// Whether the outbox holds all that it may.
    full: watch::Sender<bool>,
    durable_id: Mutex<u128>,
    tail: Mutex<journal::Tail>,
    health: Mutex<Health>,
    limits: Mutex<Limits>,
    /// The moment of a backup that is under way; the backup holds it.
    fence: Mutex<Weak<backup::Fence>>,
    /// The scripts that there are, and whether each is at work; `None` until somebody has said so.
    readers: Mutex<Option<HashMap<String, bool>>>,
}

impl Shared {
    /// Takes note of how much the outbox holds now.
    fn note_held(&self, held: Held) {
        let turned = |full: &mut bool| std::mem::replace(full, held.is_full()) != held.is_full();
        if self.full.send_if_modified(turned) && held.is_full() {
            tracing::warn!(
                waiting = held.waiting,
                bytes = held.bytes,
                "the outbox is full: runs that post wait until deliveries have gone out or were given up"
            );
        }
    }

    fn tail(&self) -> MutexGuard<'_, journal::Tail> {
        unpoisoned(self.tail.lock())
    }
}

impl Store {
    /// Opens the store of a data folder, or makes it, and takes the folder for this process. Blocks, for about a second per
    /// million rows. The database lies in `<dir>/store`, the lock in `<dir>/wharf.lock`.
    ///
    /// # Errors
    /// [`Error::InUse`] at once if another host has the folder; [`Error::NetworkFolder`], [`Error::NewerSchema`],
    /// [`Error::Corrupt`] and [`Error::Folder`] as they say.
    pub fn open(dir: &Path, cache_bytes: u64) -> Result<Store, Error> {
        Self::open_with(
            dir,
            &Options {
                cache_bytes,
                ..Options::default()
            },
        )
    }

    /// The same with all options.
    ///
    /// # Errors
    /// As for [`Store::open`].
    pub fn open_with(dir: &Path, options: &Options) -> Result<Store, Error> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let shared = opening::start(dir, options, queue)?;
        Ok(Self::over(commands, shared))
    }

    /// A store on a medium of its own, without a folder.
    #[cfg(test)]
    fn open_on(medium: Box<dyn engine::Medium>, options: &Options) -> Result<Store, Error> {
        let (commands, queue) = mpsc::channel(QUEUE);
        let shared = opening::start_on(medium, options, None, queue)?;
        Ok(Self::over(commands, shared))
    }

    fn over(commands: mpsc::Sender<Command>, shared: Arc<Shared>) -> Store {
        Store {
            commands,
            shared,
            readers: Arc::new(Semaphore::new(READERS)),
            put_back: replay::PutBack::default(),
        }
    }

    /// Makes a batch durable, whole or not at all. While 4,096 batches wait, it waits for a place; with posts, also while the
    /// outbox holds all that it may ([`BACKLOG_COUNT`], [`BACKLOG_BYTES`]). Batches on their way then still go in.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::NotANumber`], [`Error::TooLarge`] and [`Error::Invalid`] refuse the batch: nothing of it
    /// was kept. After [`Error::Down`] it may have been kept; that can be seen when the store is back.
    pub async fn commit(&self, batch: Batch) -> Result<Committed, Error> {
        if !batch.posts.is_empty() || !batch.replays.is_empty() {
            self.room().await?;
        }
        let (answer, answered) = oneshot::channel();
        let command = Command::Commit {
            batch: Box::new(batch),
            answer,
        };
        self.commands.send(command).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Commits what waits, closes the database and lets go of the folder. Later calls fail as [`Error::Closed`].
    ///
    /// # Errors
    /// [`Error::Down`] if what was written last could not be synced; it was not acknowledged either.
    pub async fn close(&self) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Close { answer }).await.is_err() {
            return Ok(());
        }
        answered.await.unwrap_or(Ok(()))
    }

    /// Returns when the writer has ended: after [`Store::close`], or because it panicked.
    pub async fn stopped(&self) {
        self.commands.closed().await;
    }

    /// Changes when a commit with posts has become durable.
    #[must_use]
    pub fn outbox_changed(&self) -> watch::Receiver<u64> {
        self.shared.outbox.subscribe()
    }

    /// Moves with each commit that keeps jobs.
    #[must_use]
    pub fn jobs_changed(&self) -> watch::Receiver<u64> {
        self.shared.jobs.subscribe()
    }

    /// How the store is. Room and sizes are as of the last look, at most a minute ago.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = unpoisoned(self.shared.health.lock()).clone();
        let closed = unpoisoned(self.shared.disk.read()).is_none();
        health.down = closed.then(|| unpoisoned(self.shared.down.lock()).to_string());
        health
    }

    /// From now on the journal keeps so much.
    pub fn follow_limits(&self, limits: Limits) {
        *unpoisoned(self.shared.limits.lock()) = limits;
    }

    /// Says which scripts there are, and whether each is at work: the journal waits for those that are, tells of what it let go
    /// of to those that are not, and keeps the place of others. Until this was called, it waits for all that have a position.
    pub fn follow_readers(&self, readers: HashMap<String, bool>) {
        *unpoisoned(self.shared.readers.lock()) = Some(readers);
    }

    /// Returns when the outbox has room.
    async fn room(&self) -> Result<(), Error> {
        let mut full = self.shared.full.subscribe();
        tokio::select! {
            waited = full.wait_for(|full| !full) => waited.map(|_| ()).map_err(|_| Error::Closed),
            () = self.commands.closed() => Err(Error::Closed),
        }
    }

    /// The id up to which everything is durable.
    fn durable_id(&self) -> u128 {
        *unpoisoned(self.shared.durable_id.lock())
    }

    /// Runs a reading closure on a blocking thread.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.readers.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let disk = unpoisoned(shared.disk.read());
            match disk.as_ref() {
                Some(disk) => work(disk),
                None => Err(unpoisoned(shared.down.lock()).clone()),
            }
        });
        done.await
            .unwrap_or_else(|err| Err(Error::corrupt(format!("a reader panicked: {err}"))))
    }
}

/// The wall clock, in milliseconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A lock's content, also after a thread panicked with it: what these locks hold is replaced whole, never half.
fn unpoisoned<T>(locked: Result<T, PoisonError<T>>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
