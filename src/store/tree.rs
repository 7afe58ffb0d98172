//! sled on a disk: the one place where it is called.
//!
//! In: rows. Out: rows. sled's own `flush` is `pwrite` and `sync_file_range`, which does not survive a loss of power; `sync` adds
//! `fdatasync` on a descriptor of our own (guard G1). The guards of opening are in `durable`.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::engine::{Engine, Medium, Range, Rows, Space};
use super::reached::Reached;
use super::space::{Ballast, of_disk};
use super::{Error, durable};

/// A folder for the database. The caller holds its lock.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    cache_bytes: u64,
    ballast: Option<Ballast>,
    reached: Reached,
}

impl Folder {
    /// The folder, with a cache of so many bytes.
    pub(super) fn new(dir: PathBuf, cache_bytes: u64, ballast: Option<Ballast>) -> Self {
        Self {
            reached: Reached::of(&dir),
            dir,
            cache_bytes,
            ballast,
        }
    }
}

impl Medium for Folder {
    fn open(&self) -> Result<Box<dyn Engine>, Error> {
        Ok(Box::new(Tree::open(&self.dir, self.cache_bytes)?))
    }

    fn space(&self) -> Result<Space, Error> {
        let space = of_disk(&self.dir)?;
        if let Some(ballast) = &self.ballast {
            ballast.keep(space);
        }
        Ok(space)
    }

    fn give_way(&self) {
        if let Some(ballast) = &self.ballast {
            ballast.remove();
        }
    }

    fn reached(&self) -> Option<&Reached> {
        Some(&self.reached)
    }

    fn place(&self) -> String {
        self.dir.display().to_string()
    }
}

/// The open database.
#[derive(Debug)]
pub(super) struct Tree {
    db: sled::Db,
    log: File,
}

impl Tree {
    /// Opens or makes the database in `dir`, with all guards.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Tree, Error> {
        let db = durable::open(dir, cache_bytes)?;
        let path = dir.join(durable::LOG);
        let log = File::open(&path).map_err(|err| Error::folder("open", &path, err))?;
        let tree = Tree { db, log };
        tree.sync()?;
        durable::sync_tree(dir)?;
        Ok(tree)
    }
}

impl Tree {
    /// Opens a copy that is thrown away after a look: nothing of it is made durable.
    pub(super) fn open_copy(dir: &Path, cache_bytes: u64) -> Result<Tree, Error> {
        let db = durable::open(dir, cache_bytes)?;
        let path = dir.join(durable::LOG);
        let log = File::open(&path).map_err(|err| Error::folder("open", &path, err))?;
        Ok(Tree { db, log })
    }
}

impl Engine for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.db.get(key).map_err(Error::down)?.map(|row| row.to_vec()))
    }

    fn has(&self, key: &[u8]) -> Result<bool, Error> {
        self.db.contains_key(key).map_err(Error::down)
    }

    fn range<'a>(&'a self, from: &[u8]) -> Range<'a> {
        Box::new(self.db.range(from..).map(owned))
    }

    fn range_back<'a>(&'a self, before: &[u8]) -> Range<'a> {
        Box::new(self.db.range(..before).rev().map(owned))
    }

    fn apply(&self, rows: Rows) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, row) in rows {
            match row {
                Some(row) => batch.insert(key, row),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(Error::down)
    }

    // After an error the handle must not be used again: the kernel reports a failed write-back once only (guard G6).
    fn sync(&self) -> Result<(), Error> {
        self.db.flush().map_err(Error::down)?;
        self.log
            .sync_data()
            .map_err(|err| Error::down(format!("the log cannot be synced: {err}")))
    }

    fn size(&self) -> Result<u64, Error> {
        self.db.size_on_disk().map_err(Error::down)
    }

    fn close(self: Box<Self>) {
        let Tree { db, log } = *self;
        // sled syncs once more when it is dropped, and panics if that fails.
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!("the store could not be closed in order");
        }
        if let Err(err) = rustix::fs::fadvise(&log, 0, None, rustix::fs::Advice::DontNeed) {
            tracing::debug!(error = %err, "the page cache of the log could not be dropped");
        }
    }
}

fn owned(row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<super::engine::Raw, Error> {
    row.map(|(key, row)| (key.to_vec(), row.to_vec())).map_err(Error::down)
}
