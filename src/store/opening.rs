//! Opening: the folder's lock, the database with all guards, a look at what is in it, and the writer's thread.
//!
//! In: a data folder. Out: what writer and handles share, or a refusal that leaves everything as it was. Must not repair
//! anything but what `durable` names.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::disk::Disk;
use super::layout::Table;
use super::stage::{Head, Layer, Rows};
use super::writer::{Command, Writer};
use super::{Error, FOLDER, Shared, durable, lock, sweep};

/// The schema that this program writes and reads.
const SCHEMA: u32 = 1;

/// Takes the folder, opens the database and starts the thread.
pub(super) fn start(dir: &Path, cache_bytes: u64, queue: mpsc::Receiver<Command>) -> Result<Arc<Shared>, Error> {
    durable::make_folder(dir)?;
    let lock = lock::take(dir)?;
    let folder = dir.join(FOLDER);
    let disk = Disk::open(&folder, cache_bytes)?;
    let head = inspect(&disk, &folder)?;
    let removed = sweep::removed_accounts(&disk)?;
    let shared = Arc::new(Shared {
        disk: Some(disk).into(),
        down: Error::Closed.into(),
        head: watch::Sender::new(head.offset),
        outbox: watch::Sender::new(0),
        jobs: watch::Sender::new(0),
        full: watch::Sender::new(head.held.is_full()),
        durable_id: head.ids.last().into(),
        tail: Default::default(),
    });
    let writer = Writer::new(folder, cache_bytes, shared.clone(), queue, head, removed)?;
    std::thread::Builder::new()
        .name("wharf-store".to_owned())
        .spawn(move || writer.run(lock))
        .map_err(|err| Error::folder("start the writer of", dir, err))?;
    Ok(shared)
}

/// Checks schema and numbering of a database that was just opened; a new one gets its schema.
pub(super) fn inspect(disk: &Disk, folder: &Path) -> Result<Head, Error> {
    let key = Table::Schema.prefix();
    match disk.get::<u32>(&key)? {
        Some(SCHEMA) => {}
        Some(found) if found > SCHEMA => {
            return Err(Error::NewerSchema {
                dir: folder.to_owned(),
                found,
                known: SCHEMA,
            });
        }
        Some(found) => return Err(Error::corrupt(format!("schema {found} was never written by any wharf"))),
        None if disk.is_empty() => {
            let nothing = Rows::new();
            let mut layer = Layer::over(disk, &nothing, Head::default());
            layer.put(key, &SCHEMA)?;
            disk.apply(layer.into_rows())?;
            disk.sync()?;
        }
        None => return Err(Error::corrupt("it has rows and no schema")),
    }
    let head = Head::read(disk)?;
    let mut beyond = disk.scan_from(&Table::Journal.prefix(), &Table::Journal.numbered(head.offset));
    if let Some(row) = beyond.next() {
        let what = format!(
            "its head is {}, and there is row {}",
            head.offset,
            row?.0.escape_ascii()
        );
        return Err(Error::corrupt(what));
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(dir: &Path, change: impl FnOnce(&mut Layer<'_>)) {
        let disk = Disk::open(&dir.join(FOLDER), 1 << 24).unwrap();
        let nothing = Rows::new();
        let mut layer = Layer::over(&disk, &nothing, Head::default());
        change(&mut layer);
        disk.apply(layer.into_rows()).unwrap();
        disk.sync().unwrap();
        disk.close();
    }

    fn open_error(dir: &Path) -> Error {
        let (_commands, queue) = mpsc::channel(1);
        start(dir, 1 << 24, queue).unwrap_err()
    }

    #[test]
    fn a_store_of_a_newer_wharf_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        rewrite(dir.path(), |layer| {
            layer.put(Table::Schema.prefix(), &(SCHEMA + 1)).unwrap()
        });
        let refused = open_error(dir.path());
        assert!(
            matches!(refused, Error::NewerSchema { found: 2, known: 1, .. }),
            "{refused}"
        );
    }

    #[test]
    fn rows_that_no_head_accounts_for_are_reported_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        rewrite(dir.path(), |layer| {
            layer.put(Table::Schema.prefix(), &SCHEMA).unwrap();
            layer.put_bytes(Table::Journal.numbered(3), b"{}").unwrap();
        });
        assert!(matches!(open_error(dir.path()), Error::Corrupt { .. }));
    }

    #[test]
    fn a_database_that_is_not_ours_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        rewrite(dir.path(), |layer| {
            layer.put_bytes(Table::Kv.owned("a", b"b").unwrap(), b"").unwrap()
        });
        assert!(matches!(open_error(dir.path()), Error::Corrupt { .. }));
    }
}
