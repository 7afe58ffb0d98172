//! What the store stands on: rows by key, in order, written in atomic groups, made durable.
//!
//! In: rows as they are to lie there. Out: the same rows. Seven methods, so that another database fits behind them: [`super::tree`]
//! is sled on a disk; the tests have one in memory, and one that fails as it is told. One suite (`conformance`) runs on all of
//! them. Everything here blocks: only the writer's thread and the blocking readers may call it (guard G10). Must not know what a row
//! says.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;

/// Rows to write; `None` deletes.
pub(super) type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key and what lies under it.
pub(super) type Raw = (Vec<u8>, Vec<u8>);

/// Rows in order. The writer goes on meanwhile: each row is whole, the range is no snapshot.
pub(super) type Range<'a> = Box<dyn Iterator<Item = Result<Raw, Error>> + 'a>;

/// An open database. Every error but a refusal to open is [`Error::Down`]; after one the engine must be closed and opened
/// again.
pub(super) trait Engine: std::fmt::Debug + Send + Sync {
    /// What lies under a key, as of the last [`Engine::apply`].
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error>;

    /// Whether anything lies there.
    fn has(&self, key: &[u8]) -> Result<bool, Error> {
        self.get(key).map(|row| row.is_some())
    }

    /// The rows from a key on.
    fn range<'a>(&'a self, from: &[u8]) -> Range<'a>;

    /// The rows before a key, the last one first.
    fn range_back<'a>(&'a self, before: &[u8]) -> Range<'a>;

    /// Writes all rows as one: after a crash all of them are there or none, and never a later group without an earlier one.
    fn apply(&self, rows: Rows) -> Result<(), Error>;

    /// Returns when everything applied before would survive a loss of power. After an error nothing is known of it.
    fn sync(&self) -> Result<(), Error>;

    /// Bytes that it takes on the medium.
    fn size(&self) -> Result<u64, Error>;

    /// Closes it, so that the next opening reads what is really on the medium. What was applied and not synced may be lost.
    fn close(self: Box<Self>);
}

/// Where the database lies, and how it is opened: again after each failure.
pub(super) trait Medium: std::fmt::Debug + Send + Sync {
    /// Opens it, or makes it.
    fn open(&self) -> Result<Box<dyn Engine>, Error>;

    /// What there is left of the medium.
    fn space(&self) -> Result<Space, Error>;

    /// Gives back what was set aside for the moment at which nothing is left.
    fn give_way(&self);

    /// Waits before it is opened again after a failure: the first, doubled up to the longest.
    fn back_off(&self) -> (Duration, Duration) {
        (Duration::from_secs(1), Duration::from_secs(30))
    }

    /// What to call it in an error.
    fn place(&self) -> String;
}

/// Bytes of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// All.
    pub(super) total: u64,
    /// Those that may still be written.
    pub(super) free: u64,
}
