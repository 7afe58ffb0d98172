//! A database in memory, for tests: what was synced survives its closing, what was only applied does not.
//!
//! In: rows. Out: rows. The harshest medium that keeps its promise: each opening is the one after a loss of power.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use super::engine::{Engine, Medium, Range, Raw, Rows, Space};
use super::{Error, unpoisoned};

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where the rows lie; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    synced: Arc<Mutex<Table>>,
}

impl Medium for Memory {
    fn open(&self) -> Result<Box<dyn Engine>, Error> {
        let rows = unpoisoned(self.synced.lock()).clone();
        Ok(Box::new(Opened {
            medium: self.clone(),
            now: Mutex::new((rows, Vec::new())),
        }))
    }

    fn space(&self) -> Result<Space, Error> {
        Ok(Space {
            total: 1 << 40,
            free: 1 << 40,
        })
    }

    fn give_way(&self) {}

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[derive(Debug)]
struct Opened {
    medium: Memory,
    /// The rows as they are now, and the groups that are not synced.
    now: Mutex<(Table, Vec<Rows>)>,
}

impl Engine for Opened {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        Ok(unpoisoned(self.now.lock()).0.get(key).cloned())
    }

    fn range<'a>(&'a self, from: &[u8]) -> Range<'a> {
        let mut next = Bound::Included(from.to_vec());
        Box::new(std::iter::from_fn(move || {
            let now = unpoisoned(self.now.lock());
            let row = owned(now.0.range((next.clone(), Bound::Unbounded)).next()?);
            next = Bound::Excluded(row.0.clone());
            Some(Ok(row))
        }))
    }

    fn range_back<'a>(&'a self, before: &[u8]) -> Range<'a> {
        let mut end = before.to_vec();
        Box::new(std::iter::from_fn(move || {
            let now = unpoisoned(self.now.lock());
            let row = owned(now.0.range(..end.clone()).next_back()?);
            end.clone_from(&row.0);
            Some(Ok(row))
        }))
    }

    fn apply(&self, rows: Rows) -> Result<(), Error> {
        let mut now = unpoisoned(self.now.lock());
        write(&mut now.0, &rows);
        now.1.push(rows);
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        let mut now = unpoisoned(self.now.lock());
        let mut synced = unpoisoned(self.medium.synced.lock());
        for rows in now.1.drain(..) {
            write(&mut synced, &rows);
        }
        Ok(())
    }

    fn size(&self) -> Result<u64, Error> {
        let now = unpoisoned(self.now.lock());
        Ok(now.0.iter().map(|(key, row)| (key.len() + row.len()) as u64).sum())
    }

    fn close(self: Box<Self>) {}
}

fn owned((key, row): (&Vec<u8>, &Vec<u8>)) -> Raw {
    (key.clone(), row.clone())
}

fn write(table: &mut Table, rows: &Rows) {
    for (key, row) in rows {
        match row {
            Some(row) => table.insert(key.clone(), row.clone()),
            None => table.remove(key),
        };
    }
}
