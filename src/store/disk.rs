//! The one place where sled is called: rows by key, in order, written in atomic groups, made durable.
//!
//! In: rows as `record` wraps them. Out: rows as they lie on disk. Everything here blocks: only the writer's thread and the
//! blocking readers may call it (guard G10). sled's own `flush` is `pwrite` and `sync_file_range`, which does not survive a
//! loss of power; [`Disk::sync`] adds `fdatasync` on a descriptor of our own (guard G1).

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde::de::DeserializeOwned;

use super::stage::{Rows, missing};
use super::{Error, durable, layout, record};

/// A key and its whole payload.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// The open database.
#[derive(Debug)]
pub(super) struct Disk {
    db: sled::Db,
    log: File,
}

impl Disk {
    /// Opens or makes the database in `dir`, with all guards. The caller holds the folder's lock.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Disk, Error> {
        let db = durable::open(dir, cache_bytes)?;
        let path = dir.join(durable::LOG);
        let log = File::open(&path).map_err(|err| Error::folder("open", &path, err))?;
        let disk = Disk { db, log };
        disk.sync()?;
        durable::sync_tree(dir)?;
        Ok(disk)
    }

    /// A row as it lies there.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.db.get(key).map_err(Error::down)?.map(|row| row.to_vec()))
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, Error> {
        self.db.contains_key(key).map_err(Error::down)
    }

    /// A row's payload, with all its parts.
    pub(super) fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.db.get(key).map_err(Error::down)? {
            Some(row) => self.whole(key, &row).map(Some),
            None => Ok(None),
        }
    }

    /// A row's payload as JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        self.bytes(key)?
            .map(|payload| record::from_json(key, &payload))
            .transpose()
    }

    /// The rows whose keys begin so, in order. The writer goes on meanwhile: each row is whole, the scan is no snapshot.
    pub(super) fn scan<'a>(&'a self, prefix: &[u8]) -> impl Iterator<Item = Result<Row, Error>> + use<'a> {
        self.scan_from(prefix, prefix)
    }

    /// The same from a key on.
    pub(super) fn scan_from<'a>(
        &'a self,
        prefix: &[u8],
        from: &[u8],
    ) -> impl Iterator<Item = Result<Row, Error>> + use<'a> {
        let prefix = prefix.to_vec();
        self.db
            .range(from..)
            .take_while(move |row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
            .map(|row| self.finish(row))
    }

    /// All payloads of a prefix as JSON.
    pub(super) fn all<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<T>, Error> {
        self.scan(prefix)
            .map(|row| row.and_then(|(key, payload)| record::from_json(&key, &payload)))
            .collect()
    }

    /// The payloads of a prefix as JSON, the last key first, at most `limit`.
    pub(super) fn newest<T: DeserializeOwned>(&self, prefix: &[u8], limit: usize) -> Result<Vec<T>, Error> {
        let rows = self.db.scan_prefix(prefix).rev().take(limit);
        rows.map(|row| {
            self.finish(row)
                .and_then(|(key, payload)| record::from_json(&key, &payload))
        })
        .collect()
    }

    /// Whether there is no row at all.
    pub(super) fn is_empty(&self) -> bool {
        self.db.is_empty()
    }

    /// Writes all rows as one: after a crash all of them are there or none.
    pub(super) fn apply(&self, rows: Rows) -> Result<(), Error> {
        let mut batch = sled::Batch::default();
        for (key, row) in rows {
            match row {
                Some(row) => batch.insert(key, row),
                None => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(Error::down)
    }

    /// Returns when everything applied before is on the medium. After an error nothing is known of it, and the handle must
    /// not be used again: the kernel reports a failed write-back once only (guard G6).
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.db.flush().map_err(Error::down)?;
        self.log
            .sync_data()
            .map_err(|err| Error::down(format!("the log cannot be synced: {err}")))
    }

    /// Closes the database and makes the kernel forget what it holds of the log, so that the next open reads what is really
    /// on the medium.
    pub(super) fn close(self) {
        let Disk { db, log } = self;
        // sled syncs once more when it is dropped, and panics if that fails.
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::warn!("the store could not be closed in order");
        }
        if let Err(err) = rustix::fs::fadvise(&log, 0, None, rustix::fs::Advice::DontNeed) {
            tracing::debug!(error = %err, "the page cache of the log could not be dropped");
        }
    }

    fn finish(&self, row: sled::Result<(sled::IVec, sled::IVec)>) -> Result<Row, Error> {
        let (key, row) = row.map_err(Error::down)?;
        let payload = self.whole(&key, &row)?;
        Ok((key.to_vec(), payload))
    }

    fn whole(&self, key: &[u8], row: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = record::open(key, row)?;
        let mut payload = opened.payload.to_vec();
        for number in 0..opened.parts {
            let part = layout::part(key, number);
            let row = self.db.get(&part).map_err(Error::down)?.ok_or_else(|| missing(&part))?;
            payload.extend_from_slice(record::open(&part, &row)?.payload);
        }
        Ok(payload)
    }
}
