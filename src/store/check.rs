//! Reading a whole store, to find what is damaged (guard G8).
//!
//! In: a data folder that no host uses. Out: what was found. Damage can make sled panic, or end the process: who needs to live on does
//! this in a process of its own. Must not change the store: what is read is a copy, because sled, when it opens a log, takes damage
//! for its end and writes over what lies behind.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::disk::Disk;
use super::layout::{self, Table};
use super::outbox::Delivery;
use super::reached::Reached;
use super::tree::Tree;
use super::{Error, FOLDER, OPEN, compact, lock, opening, record, space};

/// Bytes that stay free beside the copy.
const ROOM: u64 = 64 << 20;

/// Findings that are named; more are counted.
const NAMED: usize = 20;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What is wrong, the first twenty.
    pub findings: Vec<String>,
    /// How many there are in all.
    pub found: u64,
}

impl Checked {
    fn find(&mut self, what: String) {
        self.found += 1;
        if self.findings.len() < NAMED {
            self.findings.push(what);
        }
    }
}

/// The copy, in the data folder.
pub(super) const COPY: &str = "store.check";

/// Reads every row of the store in a data folder, from a copy beside it where the disk has room for one. Blocks, about two seconds
/// for a million rows and for each gigabyte.
///
/// # Errors
/// As for [`super::Store::open`]: a store that does not open is the worst finding.
pub fn check(dir: &Path, cache_bytes: u64) -> Result<Checked, Error> {
    let _lock = lock::take(dir)?;
    compact::finish(dir)?;
    let store = dir.join(FOLDER);
    if !store.exists() {
        return Ok(Checked::default());
    }
    let copy = dir.join(COPY);
    let copied = copy_of(&store, &copy);
    let done = match copied {
        Ok(true) => look(&copy, &store, cache_bytes),
        // A disk that is full is no reason not to look.
        Ok(false) => look(&store, &store, cache_bytes),
        Err(error) => Err(error),
    };
    let removed = compact::remove(&copy);
    done.and_then(|checked| removed.map(|()| checked))
}

/// The store of a data folder was read and is whole: what an end out of order has left to doubt is settled.
///
/// # Errors
/// [`Error::Folder`] if the mark of that end cannot be removed.
pub fn whole(dir: &Path) -> Result<(), Error> {
    let mark = dir.join(OPEN);
    match fs::remove_file(&mark) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(Error::folder("remove", &mark, err)),
        _ => Ok(()),
    }
}

/// Reads the database in one folder, which is that of `store` or a copy of it.
fn look(folder: &Path, store: &Path, cache_bytes: u64) -> Result<Checked, Error> {
    let reached = Reached::of(store);
    let done = Tree::open_copy(folder, cache_bytes).and_then(|tree| {
        let disk = Disk::on(Box::new(tree));
        let done = opening::inspect(&disk, &store.display().to_string(), Some(&reached)).and_then(|_| read(&disk));
        disk.close();
        done
    });
    done.map_err(|error| name(error, folder, store))
}

/// The error with the name of the store, which the owner knows, and not that of the copy.
fn name(error: Error, folder: &Path, store: &Path) -> Error {
    match error {
        Error::Corrupt { what } => Error::corrupt(what.replace(&*folder.to_string_lossy(), &store.to_string_lossy())),
        // Whatever sled does not want to read of a copy that was just made is damaged.
        Error::Down { why } => Error::corrupt(&*why),
        other => other,
    }
}

/// Copies the files of a database; `false` if there is no room for them.
fn copy_of(store: &Path, copy: &Path) -> Result<bool, Error> {
    let failed = |err| Error::folder("copy", store, err);
    let mut files = Vec::new();
    let mut size = 0;
    for entry in fs::read_dir(store).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let about = entry.metadata().map_err(failed)?;
        if about.is_file() {
            size += about.len();
            files.push(entry.path());
        }
    }
    if space::of_disk(store)?.free < size.saturating_add(ROOM) {
        return Ok(false);
    }
    fs::DirBuilder::new().mode(0o700).create(copy).map_err(failed)?;
    for file in files {
        let name = file.file_name().unwrap_or_default();
        fs::copy(&file, copy.join(name)).map_err(failed)?;
    }
    Ok(true)
}

fn read(disk: &Disk) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let (mut parts, mut due, mut bodies) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut next = None;
    for row in disk.engine().range(&[]) {
        let (key, row) = row?;
        checked.rows += 1;
        checked.bytes += (key.len() + row.len()) as u64;
        let opened = match record::open(&key, &row) {
            Ok(opened) => opened,
            Err(error) => {
                checked.find(error.to_string());
                continue;
            }
        };
        for number in 0..opened.parts {
            parts.insert(layout::part(&key, number), false);
        }
        match key.first().copied() {
            Some(first) if first == Table::Journal as u8 => {
                let offset = layout::number_of(&key)?;
                if next.is_some_and(|next| next != offset) {
                    checked.find(format!("the journal has no event {}", next.unwrap_or(0)));
                }
                next = Some(offset + 1);
            }
            Some(first) if first == Table::Bodies as u8 => {
                bodies.insert(key.get(1..).unwrap_or_default().to_vec());
            }
            Some(first) if first == Table::Schedule as u8 => {
                due.insert(layout::ulid_of(&key)?);
            }
            _ => {}
        }
    }
    for (part, _) in parts {
        if !disk.has(&part)? {
            checked.find(format!("row {} is missing", part.escape_ascii()));
        }
    }
    deliveries(disk, &mut checked, &due, &bodies)?;
    Ok(checked)
}

/// Every delivery that waits has its place in the schedule and its body, and no place is left over.
fn deliveries(
    disk: &Disk,
    checked: &mut Checked,
    due: &BTreeSet<u128>,
    bodies: &BTreeSet<Vec<u8>>,
) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    for row in disk.scan(&Table::Deliveries.prefix()) {
        // Its checksum was looked at before.
        let Ok((key, payload)) = row else { continue };
        let ulid = layout::ulid_of(&key)?;
        known.insert(ulid);
        let delivery: Delivery = record::from_json(&key, &payload)?;
        if !due.contains(&ulid) {
            checked.find(format!("the delivery {} is in no schedule", delivery.id));
        }
        if !bodies.contains(&delivery.body[..]) {
            checked.find(format!("the body of the delivery {} is missing", delivery.id));
        }
    }
    for ulid in due.difference(&known) {
        checked.find(format!("the schedule names a delivery that is not there: {ulid:x}"));
    }
    Ok(())
}
