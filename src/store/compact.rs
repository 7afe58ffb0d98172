//! Giving back the disk that sled's log keeps for nothing (guard G9): its free segments are used again and never returned.
//!
//! In: a data folder whose lock is held and whose store is closed. Out: the same rows in a new, small database. The steps are
//! renames, so that a crash in between leaves the old one or the new one. Must not run beside an open store.

use std::fs;
use std::path::Path;

use super::engine::{Engine, Rows};
use super::tree::Tree;
use super::{Error, FOLDER, durable};

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
    let tree = Tree::open(&store, cache_bytes)?;
    let mut live = 0_u64;
    for row in tree.range(&[]) {
        let (key, row) = row?;
        live += (key.len() + row.len()) as u64;
    }
    if size / TIMES < live.max(1) {
        Box::new(tree).close();
        return Ok(());
    }
    tracing::info!(
        mib = size >> 20,
        live_mib = live >> 20,
        "the store is rewritten, to give back what it does not use"
    );
    let done = rewrite(&tree, dir, cache_bytes);
    Box::new(tree).close();
    done?;
    rename(&store, &dir.join(OLD))?;
    rename(&dir.join(NEW), &store)?;
    remove(&dir.join(OLD))
}

fn rewrite(tree: &Tree, dir: &Path, cache_bytes: u64) -> Result<(), Error> {
    let new = Tree::open(&dir.join(NEW), cache_bytes)?;
    let copied = copy(tree, &new);
    Box::new(new).close();
    copied?;
    durable::sync_tree(&dir.join(NEW))
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
