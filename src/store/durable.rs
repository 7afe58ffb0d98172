//! The guards around sled 0.34.7, each for a defect that was seen; and those of them that belong to opening.
//!
//! | | guard | against | where |
//! |---|---|---|---|
//! | G1 | `flush`, then `fdatasync` on a descriptor of our own, then the answer | sled's `flush` is no barrier: a loss of power takes acknowledged rows | `disk` |
//! | G2 | segments of 4 MiB, fixed when the database is made; no row over 48 KiB | values that sled writes to files which it never syncs | here, `record` |
//! | G3 | about 128 rows to a commit, deletions in commits of their own | a log that grows without bound | `batch`, `writer`, `sweep` |
//! | G4 | `*.generating` is removed; `snap.*` is moved aside once when opening fails | half-written and damaged snapshots stop sled from opening; the log alone holds everything | here |
//! | G5 | every file and folder is synced after opening | sled's `conf` torn by a loss of power | here |
//! | G6 | after any error of the disk the database is closed and opened again, and what was acknowledged is looked for | sled's errors stick to a handle; the kernel reports a failed write-back once only | `writer` |
//! | G7 | below a twentieth of the disk new work is refused; 64 MiB are set aside for opening again | an error of sled's sticks to the handle | `space`, `writer` |
//! | G8 | after an unclean end a copy of the store is read whole in a process of its own, before it is opened | damage can make sled panic or abort | `check` |
//! | G9 | a store that takes four times what its rows do is rewritten at the start | sled never returns a segment to the disk | `compact` |
//! | | the last commit is noted beside the database, which is refused if it ends before that | sled takes a damaged row for the end of its log | `reached` |
//! | G10 | sled is called on the writer's thread and on blocking threads only | it blocks for up to 20 ms | `mod` |
//!
//! In: the store's folder, whose lock the caller holds. Out: an open `sled::Db`. Must not read or write rows.

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::Error;

/// The file that holds sled's log, which is the whole database.
pub(super) const LOG: &str = "db";

const SEGMENT: usize = 4 << 20;
const ASIDE: &str = "aside";

/// How long to wait for threads of a database that this process has just closed to let go of its file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a folder, and those above it, for the owner alone, and its name durable.
pub(super) fn make_folder(dir: &Path) -> Result<(), Error> {
    if dir.is_dir() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|err| Error::folder("make the folder", dir, err))?;
    match dir.parent() {
        Some(above) if above.as_os_str().is_empty() => sync_path(Path::new(".")),
        Some(above) => sync_path(above),
        None => Ok(()),
    }
}

/// Opens the database in `dir`.
pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<sled::Db, Error> {
    make_folder(dir)?;
    remove_half_written(dir)?;
    let first = match try_open(dir, cache_bytes) {
        Ok(db) => return Ok(db),
        Err(Failed::Io(err)) => return Err(err),
        Err(Failed::Damaged(why)) => why,
    };
    let moved = move_snapshots_aside(dir)?;
    if moved == 0 {
        return Err(damaged(dir, &first));
    }
    tracing::warn!(folder = %dir.display(), moved, error = %first, "the store did not open; trying without its snapshots");
    match try_open(dir, cache_bytes) {
        Ok(db) => Ok(db),
        Err(Failed::Io(err)) => Err(err),
        Err(Failed::Damaged(why)) => Err(damaged(dir, &why)),
    }
}

/// Syncs every file in `dir`, the folders in it, itself, and the folder above.
pub(super) fn sync_tree(dir: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(dir).map_err(|err| Error::folder("read the folder", dir, err))?;
    for entry in entries {
        let path = entry.map_err(|err| Error::folder("read the folder", dir, err))?.path();
        match sync_entry(&path) {
            // sled's background thread may just have replaced a snapshot.
            Err(Error::Folder { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    sync_path(dir)?;
    dir.parent().map_or(Ok(()), sync_path)
}

fn sync_entry(path: &Path) -> Result<(), Error> {
    if !path.is_dir() {
        return sync_path(path);
    }
    let entries = fs::read_dir(path).map_err(|err| Error::folder("read the folder", path, err))?;
    for entry in entries {
        sync_path(&entry.map_err(|err| Error::folder("read the folder", path, err))?.path())?;
    }
    sync_path(path)
}

pub(super) fn sync_path(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|err| Error::folder("sync", path, err))
}

/// Why sled did not open.
enum Failed {
    /// The operating system; another try changes nothing.
    Io(Error),
    /// What it read made no sense.
    Damaged(String),
}

fn try_open(dir: &Path, cache_bytes: u64) -> Result<sled::Db, Failed> {
    let config = sled::Config::new()
        .path(dir)
        .segment_size(SEGMENT)
        .cache_capacity(cache_bytes)
        // Bounds what is lost of work that nobody waits for, and lets sled collect garbage; never the durability of a commit.
        .flush_every_ms(Some(1000))
        .mode(sled::Mode::HighThroughput);
    let deadline = Instant::now() + PATIENCE;
    loop {
        // sled panics on some kinds of damage.
        let opened = catch_unwind(AssertUnwindSafe(|| config.open()))
            .unwrap_or_else(|_| Err(sled::Error::ReportableBug("it panicked while opening".to_owned())));
        match opened {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(err)) if is_locked(&err) && Instant::now() < deadline => {
                // Nobody else can have the file, because we hold the folder: it is a thread of the database that this
                // process has just closed. There is nothing to wait on but its end.
                std::thread::park_timeout(Duration::from_millis(20));
            }
            Err(sled::Error::Io(err)) => {
                use std::io::ErrorKind::{InvalidData, UnexpectedEof};
                return Err(match err.kind() {
                    InvalidData | UnexpectedEof => Failed::Damaged(err.to_string()),
                    _ => Failed::Io(Error::folder("open the store in", dir, err)),
                });
            }
            Err(err) => return Err(Failed::Damaged(err.to_string())),
        }
    }
}

fn is_locked(err: &std::io::Error) -> bool {
    err.kind() == std::io::ErrorKind::WouldBlock || err.to_string().contains("could not acquire lock")
}

fn damaged(dir: &Path, why: &str) -> Error {
    let why = why.lines().next().unwrap_or_default();
    Error::corrupt(format!(
        "{} does not open: {why}. Keep a copy of the folder, then restore a backup",
        dir.display()
    ))
}

fn remove_half_written(dir: &Path) -> Result<(), Error> {
    for path in snapshots(dir)? {
        if path.extension().is_some_and(|end| end == "generating") {
            tracing::info!(file = %path.display(), "removing a snapshot that was not finished");
            fs::remove_file(&path).map_err(|err| Error::folder("remove", &path, err))?;
        }
    }
    Ok(())
}

fn move_snapshots_aside(dir: &Path) -> Result<usize, Error> {
    let aside = dir.join(ASIDE);
    let mut moved = 0;
    for path in snapshots(dir)? {
        make_folder(&aside)?;
        if let Some(name) = path.file_name() {
            fs::rename(&path, aside.join(name)).map_err(|err| Error::folder("move aside", &path, err))?;
            moved += 1;
        }
    }
    Ok(moved)
}

fn snapshots(dir: &Path) -> Result<Vec<std::path::PathBuf>, Error> {
    let entries = fs::read_dir(dir).map_err(|err| Error::folder("read the folder", dir, err))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|err| Error::folder("read the folder", dir, err))?;
        if entry.file_name().as_encoded_bytes().starts_with(b"snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}
