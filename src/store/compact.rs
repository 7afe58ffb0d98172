//! Giving back the disk that sled's log keeps for nothing (guard G9): its free segments are used again and never returned.
//!
//! In: a data folder whose lock is held and whose store is closed. Out: the same rows in a new, small database. The steps are
//! renames, so that a crash in between leaves the old one or the new one. Must not run beside an open store.

use std::fs;
use std::path::Path;

use super::disk::Disk;
use super::engine::{Engine, Rows};
use super::reached::Reached;
use super::tree::Tree;
use super::{Error, FOLDER, durable, opening};

/// Below this, a store is not worth the time.
const SMALL: u64 = 256 << 20;

/// It is rewritten when it is so many times what its rows take.
const TIMES: u64 = 4;

/// The new database while it is written.
const NEW: &str = "store.new";

/// The old one while the new one takes its place.
const OLD: &str = "store.old";

/// Rows written at a time: as many as any commit has (guard G3).
const ROWS: usize = 128;

/// Whether there is a store in a data folder, also one that a crash left half-way between two names.
pub(super) fn is_there(dir: &Path) -> bool {
    dir.join(FOLDER).exists() || dir.join(OLD).exists()
}

/// Ends or undoes what a crash has interrupted.
pub(super) fn finish(dir: &Path) -> Result<(), Error> {
    let (store, new, old) = (dir.join(FOLDER), dir.join(NEW), dir.join(OLD));
    if old.exists() && !store.exists() {
        rename(&old, &store)?;
    }
    remove(&old)?;
    remove(&new)?;
    remove(&dir.join(super::check::COPY))
}

/// Makes an empty store where there is none. It gets its name when all of it is on the disk: a loss of power during the first
/// start would else leave one that never opens.
pub(super) fn make(dir: &Path, cache_bytes: u64) -> Result<(), Error> {
    let (store, new) = (dir.join(FOLDER), dir.join(NEW));
    if store.exists() {
        return Ok(());
    }
    Box::new(Tree::open(&new, cache_bytes)?).close();
    durable::sync_tree(&new)?;
    rename(&new, &store)
}

/// Rewrites the store if that gives back enough.
pub(super) fn if_worth(dir: &Path, cache_bytes: u64) -> Result<(), Error> {
    if_over(SMALL, dir, cache_bytes)
}

fn if_over(small: u64, dir: &Path, cache_bytes: u64) -> Result<(), Error> {
    let store = dir.join(FOLDER);
    let log = store.join(durable::LOG);
    let Ok(size) = fs::metadata(&log).map(|log| log.len()) else {
        return Ok(());
    };
    if size < small {
        return Ok(());
    }
    let disk = Disk::on(Box::new(Tree::open(&store, cache_bytes)?));
    let done = rewrite_if_worth(&disk, size, dir, cache_bytes);
    disk.close();
    if !done? {
        return Ok(());
    }
    rename(&store, &dir.join(OLD))?;
    rename(&dir.join(NEW), &store)?;
    remove(&dir.join(OLD))
}

/// A database that ends too early is refused here already: it looks as if it used little of its log, and rewriting it would end the
/// log and the note by which the loss is seen.
fn rewrite_if_worth(disk: &Disk, size: u64, dir: &Path, cache_bytes: u64) -> Result<bool, Error> {
    let store = dir.join(FOLDER);
    let head = opening::inspect(disk, &store.display().to_string(), Some(&Reached::of(&store)))?;
    let mut live = 0_u64;
    for row in disk.engine().range(&[]) {
        let (key, row) = row?;
        live += (key.len() + row.len()) as u64;
    }
    if size / TIMES < live.max(1) {
        return Ok(false);
    }
    tracing::info!(
        mib = size >> 20,
        live_mib = live >> 20,
        "the store is rewritten, to give back what it does not use"
    );
    let new = dir.join(NEW);
    let tree = Tree::open(&new, cache_bytes)?;
    let copied = copy(disk.engine(), &tree);
    Box::new(tree).close();
    copied?;
    Reached::of(&new).note(head.commit);
    durable::sync_tree(&new)?;
    Ok(true)
}

/// Writes all rows of one database into another, which is empty.
pub(super) fn copy(from: &dyn Engine, to: &dyn Engine) -> Result<(), Error> {
    let mut rows = Rows::new();
    for row in from.range(&[]) {
        let (key, row) = row?;
        rows.insert(key, Some(row));
        if rows.len() >= ROWS {
            to.apply(std::mem::take(&mut rows))?;
        }
    }
    to.apply(rows)?;
    to.sync()
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|err| Error::folder("rename", from, err))?;
    from.parent().map_or(Ok(()), durable::sync_path)
}

pub(super) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(err) if err.kind() != std::io::ErrorKind::NotFound => Err(Error::folder("remove", path, err)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layout::Table;
    use crate::store::migrate::SCHEMA;
    use crate::store::stage::{Head, Layer};

    /// The last commit of the stores of these tests.
    const LAST: u64 = 7;

    fn rows_of(tree: &Tree) -> Vec<(Vec<u8>, Vec<u8>)> {
        tree.range(&[]).map(Result::unwrap).collect()
    }

    const LITTLE: u64 = 16 << 20;

    fn fill(dir: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
        let tree = Tree::open(&dir.join(FOLDER), 1 << 24).unwrap();
        // Rows that come and go leave segments that stay in the file.
        for round in 0..60_u32 {
            let rows = (0..100_u32).map(|n| (n.to_be_bytes().to_vec(), Some(vec![round.to_le_bytes()[0]; 40_000])));
            tree.apply(rows.collect()).unwrap();
        }
        let head = {
            let disk = Disk::on(Box::new(Tree::open(&dir.join("head"), 1 << 24).unwrap()));
            let nothing = Rows::new();
            let head = Head {
                commit: LAST,
                ..Head::default()
            };
            let mut layer = Layer::over(&disk, &nothing, head);
            layer.put(Table::Schema.prefix(), &SCHEMA).unwrap();
            layer.write_head().unwrap();
            layer.into_rows()
        };
        tree.apply(head).unwrap();
        let gone = (2..100_u32).map(|n| (n.to_be_bytes().to_vec(), None));
        tree.apply(gone.collect()).unwrap();
        tree.sync().unwrap();
        let rows = rows_of(&tree);
        Box::new(tree).close();
        rows
    }

    #[test]
    fn a_store_that_is_mostly_empty_is_rewritten_and_has_all_its_rows() {
        let dir = tempfile::tempdir().unwrap();
        let rows = fill(dir.path());
        let log = dir.path().join(FOLDER).join(durable::LOG);
        let before = fs::metadata(&log).unwrap().len();
        assert!(
            before > LITTLE,
            "{before} bytes: the test does not make the store large"
        );
        if_over(before + 1, dir.path(), 1 << 24).unwrap();
        assert_eq!(
            fs::metadata(&log).unwrap().len(),
            before,
            "one of this size is left alone"
        );
        if_over(LITTLE, dir.path(), 1 << 24).unwrap();
        assert!(fs::metadata(&log).unwrap().len() < before / 4);
        let tree = Tree::open(&dir.path().join(FOLDER), 1 << 24).unwrap();
        assert_eq!(rows_of(&tree), rows);
        Box::new(tree).close();
        let noted = Reached::of(&dir.path().join(FOLDER)).last().unwrap();
        assert_eq!(noted, Some(LAST), "the new one is known to have come as far");
    }

    #[test]
    fn a_store_that_ends_before_what_was_acknowledged_is_refused_and_keeps_its_log() {
        let dir = tempfile::tempdir().unwrap();
        fill(dir.path());
        let store = dir.path().join(FOLDER);
        Reached::of(&store).note(LAST + 1);
        let before = fs::metadata(store.join(durable::LOG)).unwrap().len();
        let refused = if_over(LITTLE, dir.path(), 1 << 24).unwrap_err();
        assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
        assert_eq!(fs::metadata(store.join(durable::LOG)).unwrap().len(), before);
        assert_eq!(Reached::of(&store).last().unwrap(), Some(LAST + 1));
    }

    #[test]
    fn a_crash_at_any_step_leaves_one_whole_store() {
        let make = |dir: &Path, name: &str| {
            fs::create_dir(dir.join(name)).unwrap();
            fs::write(dir.join(name).join("who"), name).unwrap();
        };
        for (there, stays) in [
            (&["store", "store.new"][..], "store"),
            (&["store.old", "store.new"][..], "store.old"),
            (&["store", "store.old"][..], "store"),
            (&["store"][..], "store"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for name in there {
                make(dir.path(), name);
            }
            finish(dir.path()).unwrap();
            let who = fs::read_to_string(dir.path().join(FOLDER).join("who")).unwrap();
            assert_eq!(who, stays, "{there:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{there:?}");
        }
    }
}
