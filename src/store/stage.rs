//! One batch on its way into a commit.
//!
//! A [`Layer`] lies over the rows that earlier batches of the same commit have staged, and these over the disk. A batch
//! that fails drops its layer and leaves nothing; one that succeeds is merged into the rows of the commit. So batches of one
//! commit see each other in order, and each of them fails alone.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, ROWS_PER_BATCH};
use super::disk::Disk;
use super::engine::Rows;
use super::ids::Ids;
use super::journal::Numbered;
use super::layout::{self, Table};
use super::outbox::Held;
use super::{Error, accounts, endpoints, intents, jobs, journal, keys, kv, marks, outbox, record, runs};

/// Where the numbering stands: the value of the head row, written with every commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The last commit.
    pub(super) commit: u64,
    /// The offset of the next event.
    pub(super) offset: u64,
    /// The offset of the first event that is kept; rows below it are deleted one by one.
    pub(super) first: u64,
    /// Bytes of the events that are kept.
    pub(super) journal_bytes: u64,
    /// The last id.
    pub(super) ids: Ids,
    /// How much the outbox holds.
    pub(super) held: Held,
}

/// The head as it is kept: a ULID does not fit into a JSON number.
#[derive(Serialize, Deserialize)]
struct HeadRow {
    commit: u64,
    offset: u64,
    last_id: String,
    /// These two since schema 2.
    #[serde(default)]
    first: u64,
    #[serde(default)]
    journal_bytes: u64,
    #[serde(default)]
    held: Option<Held>,
}

impl Head {
    /// The head on disk; the beginning of everything for a new store.
    pub(super) fn read(disk: &Disk) -> Result<Head, Error> {
        let Some(row) = disk.get::<HeadRow>(&Table::Head.prefix())? else {
            return Ok(Head::default());
        };
        let last = super::ids::parse("", &row.last_id)
            .ok_or_else(|| Error::corrupt(format!("the head's last id is `{}`", row.last_id)))?;
        Ok(Head {
            commit: row.commit,
            offset: row.offset,
            first: row.first,
            journal_bytes: row.journal_bytes,
            ids: Ids::after(last),
            held: match row.held {
                Some(held) => held,
                None => Held::count(disk)?,
            },
        })
    }

    fn write(self, layer: &mut Layer<'_>) -> Result<(), Error> {
        let last_id = super::ids::text("", self.ids.last());
        layer.put(
            Table::Head.prefix(),
            &HeadRow {
                commit: self.commit,
                offset: self.offset,
                last_id,
                first: self.first,
                journal_bytes: self.journal_bytes,
                held: Some(self.held),
            },
        )
    }
}

/// What a batch made.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) rows: Rows,
    pub(super) head: Head,
    pub(super) events: Vec<Option<Numbered>>,
    pub(super) event_bytes: usize,
    pub(super) deliveries: Vec<String>,
}

/// Works out the rows of a batch, over what is staged already.
pub(super) fn stage(disk: &Disk, group: &Rows, head: Head, batch: Batch, now: i64) -> Result<Staged, Error> {
    let mut layer = Layer::over(disk, group, head);
    layer.head.commit += 1;
    kv::check(&layer, &batch.expect, now)?;
    accounts::stage(&mut layer, batch.accounts, now)?;
    intents::stage(&mut layer, batch.intents)?;
    runs::stage(
        &mut layer,
        &batch.positions,
        &batch.tries,
        (&batch.dead_runs, &batch.revived),
        &batch.verdicts,
    )?;
    keys::stage(&mut layer, batch.keys)?;
    kv::stage(&mut layer, batch.kv, now)?;
    endpoints::stage(&mut layer, batch.endpoints)?;
    outbox::stage_changes(&mut layer, batch.outbox, now)?;
    jobs::stage(&mut layer, batch.jobs, &batch.jobs_done, now)?;
    let deliveries = outbox::stage_posts(&mut layer, batch.posts, now)?;
    if let Some(page) = &batch.page {
        marks::stage_page(&mut layer, page, now)?;
    }
    let mut events = Vec::with_capacity(batch.events.len());
    for new in batch.events {
        events.push(journal::stage(&mut layer, new, now)?);
    }
    layer.write_head()?;
    if layer.own.len() > ROWS_PER_BATCH {
        return Err(Error::TooLarge {
            what: "a batch, in rows,".to_owned(),
            size: layer.own.len(),
            limit: ROWS_PER_BATCH,
        });
    }
    Ok(Staged {
        rows: layer.own,
        head: layer.head,
        events,
        event_bytes: layer.event_bytes,
        deliveries,
    })
}

/// The view and the rows of one batch.
pub(super) struct Layer<'a> {
    disk: &'a Disk,
    group: &'a Rows,
    own: Rows,
    /// The numbering as this batch moves it on.
    pub(super) head: Head,
    /// Bytes of the events staged so far.
    pub(super) event_bytes: usize,
    /// Events that the store itself has to tell of.
    pub(super) told: Vec<Numbered>,
}

impl<'a> Layer<'a> {
    /// An empty layer.
    pub(super) fn over(disk: &'a Disk, group: &'a Rows, head: Head) -> Self {
        Layer {
            disk,
            group,
            own: Rows::new(),
            head,
            event_bytes: 0,
            told: Vec::new(),
        }
    }

    /// The disk itself, without what is staged.
    pub(super) fn disk(&self) -> &'a Disk {
        self.disk
    }

    /// Writes the numbering as it is now.
    pub(super) fn write_head(&mut self) -> Result<(), Error> {
        self.head.write(self)
    }

    /// What was written and deleted in the layer.
    pub(super) fn into_rows(self) -> Rows {
        self.own
    }

    fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(row) => Ok(row.clone()),
            None => self.disk.row(key),
        }
    }

    /// Whether there is such a row.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, Error> {
        match self.own.get(key).or_else(|| self.group.get(key)) {
            Some(row) => Ok(row.is_some()),
            None => self.disk.has(key),
        }
    }

    /// The payload of a row that is never cut.
    pub(super) fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let Some(row) = self.row(key)? else { return Ok(None) };
        let opened = record::open(key, &row)?;
        let mut payload = opened.payload.to_vec();
        for number in 0..opened.parts {
            let part = layout::part(key, number);
            let row = self.row(&part)?.ok_or_else(|| missing(&part))?;
            payload.extend_from_slice(record::open(&part, &row)?.payload);
        }
        Ok(Some(payload))
    }

    /// A row's payload as JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, Error> {
        self.bytes(key)?
            .map(|payload| record::from_json(key, &payload))
            .transpose()
    }

    /// Writes a row as JSON.
    pub(super) fn put<T: Serialize>(&mut self, key: Vec<u8>, value: &T) -> Result<(), Error> {
        let payload = record::to_json(value)?;
        self.put_bytes(key, &payload)
    }

    /// Writes a row as JSON, or deletes it.
    pub(super) fn put_or_delete<T: Serialize>(&mut self, key: Vec<u8>, value: Option<&T>) -> Result<(), Error> {
        match value {
            Some(value) => self.put(key, value),
            None => self.delete(key),
        }
    }

    /// Writes a row, cut if it is large. Parts of a larger value that was there before are deleted.
    pub(super) fn put_bytes(&mut self, key: Vec<u8>, payload: &[u8]) -> Result<(), Error> {
        let packed = record::pack(&key, payload)?;
        self.delete_parts(&key)?;
        for (number, payload) in (0u16..).zip(&packed.parts) {
            let part = layout::part(&key, number);
            let row = record::pack_part(&part, payload)?;
            self.own.insert(part, Some(row));
        }
        self.own.insert(key, Some(packed.first));
        Ok(())
    }

    /// Deletes a row with all its parts; one that is not there costs nothing.
    pub(super) fn delete(&mut self, key: Vec<u8>) -> Result<(), Error> {
        self.delete_parts(&key)?;
        if self.has(&key)? {
            self.own.insert(key, None);
        }
        Ok(())
    }

    fn delete_parts(&mut self, key: &[u8]) -> Result<(), Error> {
        if !Table::can_be_cut(key) {
            return Ok(());
        }
        let Some(row) = self.row(key)? else { return Ok(()) };
        for number in 0..record::open(key, &row)?.parts {
            self.own.insert(layout::part(key, number), None);
        }
        Ok(())
    }
}

/// What a part that is not there means.
pub(super) fn missing(part: &[u8]) -> Error {
    Error::corrupt(format!("row {} is missing", part.escape_ascii()))
}
