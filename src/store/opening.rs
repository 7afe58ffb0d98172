//! Opening: the folder's lock, the database with all guards, a look at what is in it, and the writer's thread.
//!
//! In: a data folder. Out: what writer and handles share, or a refusal that leaves everything as it was. Must not repair
//! anything but what `durable` names, nor change rows but to bring an older schema up (`migrate`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::disk::Disk;
use super::engine::{Medium, Rows};
use super::layout::Table;
use super::lock::Lock;
use super::migrate::{self, SCHEMA};
use super::reached::Reached;
use super::space::Ballast;
use super::stage::{Head, Layer};
use super::tree::Folder;
use super::writer::{Command, Writer};
use super::{BALLAST, Error, FOLDER, OPEN, Options, Shared, compact, durable, lock, sweep};

/// Takes the folder, opens the database and starts the thread.
pub(super) fn start(dir: &Path, options: &Options, queue: mpsc::Receiver<Command>) -> Result<Arc<Shared>, Error> {
    durable::make_folder(dir)?;
    let lock = lock::take(dir)?;
    let folder = dir.join(FOLDER);
    compact::finish(dir)?;
    compact::make(dir, options.cache_bytes)?;
    let ballast = options.ballast.then(|| Ballast::at(dir.join(BALLAST)));
    let medium = Folder::new(folder, options.cache_bytes, ballast);
    compact::if_worth(dir, options.cache_bytes)?;
    let mark = dir.join(OPEN);
    // One that is there already is left, however this host ends: the store was not read whole since another did not end in order.
    let found = mark.exists();
    if !found {
        std::fs::File::create(&mark).map_err(|err| Error::folder("make", &mark, err))?;
    }
    start_on(Box::new(medium), options, Some((lock, (!found).then_some(mark))), queue)
}

/// Opens the database of a medium and starts the thread.
pub(super) fn start_on(
    medium: Box<dyn Medium>,
    options: &Options,
    lock: Option<(Lock, Option<PathBuf>)>,
    queue: mpsc::Receiver<Command>,
) -> Result<Arc<Shared>, Error> {
    let disk = Disk::on(medium.open()?);
    let head = inspect(&disk, &medium.place(), medium.reached())?;
    let removed = sweep::removed_accounts(&disk)?;
    let shared = Arc::new(Shared {
        disk: Some(disk).into(),
        down: Error::Closed.into(),
        head: watch::Sender::new(head.offset),
        first: head.first.into(),
        outbox: watch::Sender::new(0),
        jobs: watch::Sender::new(0),
        full: watch::Sender::new(head.held.is_full()),
        durable_id: head.ids.last().into(),
        tail: Default::default(),
        health: Default::default(),
        limits: options.limits.into(),
        fence: Default::default(),
        readers: Default::default(),
    });
    let place = medium.place();
    let writer = Writer::new(medium, shared.clone(), queue, head, removed, options)?;
    std::thread::Builder::new()
        .name("wharf-store".to_owned())
        .spawn(move || writer.run(lock))
        .map_err(|err| Error::folder("start the writer of", Path::new(&place), err))?;
    Ok(shared)
}

/// Checks schema and numbering of a database that was just opened; a new one gets its schema, an older one is brought up.
pub(super) fn inspect(disk: &Disk, place: &str, reached: Option<&Reached>) -> Result<Head, Error> {
    let key = Table::Schema.prefix();
    match disk.get::<u32>(&key)? {
        Some(SCHEMA) => {}
        Some(found) if found > SCHEMA => {
            return Err(Error::NewerSchema {
                dir: place.into(),
                found,
                known: SCHEMA,
            });
        }
        Some(found) => migrate::from(disk, found)?,
        None if disk.is_empty()? => {
            let nothing = Rows::new();
            let mut layer = Layer::over(disk, &nothing, Head::default());
            layer.put(key, &SCHEMA)?;
            disk.apply(layer.into_rows())?;
            disk.sync()?;
        }
        None => return Err(Error::corrupt("it has rows and no schema")),
    }
    let head = Head::read(disk)?;
    if let Some(reached) = reached
        && let Some(noted) = reached.last()?.filter(|noted| *noted > head.commit)
    {
        return Err(reached.behind(noted, head.commit));
    }
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
        start(dir, &Options::default(), queue).unwrap_err()
    }

    #[test]
    fn a_store_of_a_newer_wharf_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        rewrite(dir.path(), |layer| {
            layer.put(Table::Schema.prefix(), &(SCHEMA + 1)).unwrap()
        });
        let refused = open_error(dir.path());
        assert!(
            matches!(refused, Error::NewerSchema { found, known: SCHEMA, .. } if found == SCHEMA + 1),
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
