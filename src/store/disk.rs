//! Rows as the tables know them: checked, put together from their parts, read as JSON.
//!
//! In: rows as `record` wraps them. Out: payloads, by key and in order. What lies under it is an [`Engine`]. Everything here blocks:
//! only the writer's thread and the blocking readers may call it (guard G10).

use serde::de::DeserializeOwned;

use super::engine::{Engine, Raw, Rows};
use super::stage::missing;
use super::{Error, layout, record};

/// A key and its whole payload.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// The open database.
#[derive(Debug)]
pub(super) struct Disk {
    engine: Box<dyn Engine>,
}

impl Disk {
    /// Reads and writes on this engine.
    pub(super) fn on(engine: Box<dyn Engine>) -> Disk {
        Disk { engine }
    }

    /// The database in a folder.
    #[cfg(test)]
    pub(super) fn open(dir: &std::path::Path, cache_bytes: u64) -> Result<Disk, Error> {
        Ok(Disk::on(Box::new(super::tree::Tree::open(dir, cache_bytes)?)))
    }

    /// What lies under the tables.
    pub(super) fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// A row as it lies there.
    pub(super) fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.engine.get(key)
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, Error> {
        self.engine.has(key)
    }

    /// A row's payload, with all its parts.
    pub(super) fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.engine.get(key)? {
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
        self.engine
            .range(from)
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
        let rows = self.engine.range_back(&layout::end_of(prefix));
        rows.take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(prefix)))
            .take(limit)
            .map(|row| {
                self.finish(row)
                    .and_then(|(key, payload)| record::from_json(&key, &payload))
            })
            .collect()
    }

    /// Whether there is no row at all.
    pub(super) fn is_empty(&self) -> Result<bool, Error> {
        self.engine.range(&[]).next().transpose().map(|row| row.is_none())
    }

    /// Writes all rows as one: after a crash all of them are there or none.
    pub(super) fn apply(&self, rows: Rows) -> Result<(), Error> {
        self.engine.apply(rows)
    }

    /// Returns when everything applied before is on the medium. After an error nothing is known of it, and this must not be used
    /// again (guard G6).
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.engine.sync()
    }

    /// Closes the database.
    pub(super) fn close(self) {
        self.engine.close();
    }

    fn finish(&self, row: Result<Raw, Error>) -> Result<Row, Error> {
        let (key, row) = row?;
        let payload = self.whole(&key, &row)?;
        Ok((key, payload))
    }

    fn whole(&self, key: &[u8], row: &[u8]) -> Result<Vec<u8>, Error> {
        let opened = record::open(key, row)?;
        let mut payload = opened.payload.to_vec();
        for number in 0..opened.parts {
            let part = layout::part(key, number);
            let row = self.engine.get(&part)?.ok_or_else(|| missing(&part))?;
            payload.extend_from_slice(record::open(&part, &row)?.payload);
        }
        Ok(payload)
    }
}
