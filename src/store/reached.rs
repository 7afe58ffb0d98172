//! How far the database had come, noted in a file beside it.
//!
//! sled cannot tell a damaged row of its log from one that a loss of power has cut off: it takes the log to end there, and
//! what was acknowledged behind it is gone without a word. The note tells. In: the number of each commit once it is durable. Out:
//! the last number noted. It is written without a sync, which survives the end of the process, and synced when the store is
//! closed and opened; after a loss of power it may be some 30 s old, and never ahead of the database.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::{Error, unpoisoned};

/// The file in the folder of the database.
const NAME: &str = "reached";

/// The number and its checksum, both little-endian: within a sector of any disk.
const SIZE: usize = 12;

/// The note of one database.
#[derive(Debug)]
pub(super) struct Reached {
    path: PathBuf,
    /// Open from the first note on.
    file: Mutex<Option<File>>,
}

impl Reached {
    /// The note of the database in this folder.
    pub(super) fn of(dir: &Path) -> Self {
        Self {
            path: dir.join(NAME),
            file: Mutex::default(),
        }
    }

    /// The last commit that was noted; `None` where there is no whole note.
    pub(super) fn last(&self) -> Result<Option<u64>, Error> {
        // The folder may have been exchanged since the last note.
        *unpoisoned(self.file.lock()) = None;
        match std::fs::read(&self.path) {
            Ok(bytes) => Ok(read(&bytes)),
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(err) => Err(Error::folder("read", &self.path, err)),
        }
    }

    /// Notes a commit that is durable. Without the note nothing is wrong, only less is known: a failure is logged.
    pub(super) fn note(&self, commit: u64) {
        let mut file = unpoisoned(self.file.lock());
        if let Err(error) = self.write(&mut file, commit) {
            tracing::debug!(%error, file = %self.path.display(), "how far the store has come was not noted");
        }
    }

    /// Syncs what was noted.
    pub(super) fn sync(&self) {
        let file = unpoisoned(self.file.lock());
        if let Some(error) = file.as_ref().and_then(|file| file.sync_all().err()) {
            tracing::debug!(%error, file = %self.path.display(), "how far the store has come was not synced");
        }
    }

    /// What to say of a database that ends before the note.
    pub(super) fn behind(&self, noted: u64, found: u64) -> Error {
        Error::corrupt(format!(
            "commit {noted} was acknowledged and the database ends at {found}: its log is damaged behind that. Keep a copy of \
             the folder, then restore a backup; who removes {} goes on without the rest",
            self.path.display()
        ))
    }

    fn write(&self, file: &mut Option<File>, commit: u64) -> std::io::Result<()> {
        let open = match file {
            Some(open) => open,
            None => file.insert(
                OpenOptions::new()
                    .create(true)
                    .truncate(false)
                    .write(true)
                    .mode(0o600)
                    .open(&self.path)?,
            ),
        };
        let number = commit.to_le_bytes();
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(&number);
        bytes[8..].copy_from_slice(&crc32c::crc32c(&number).to_le_bytes());
        open.write_all_at(&bytes, 0)
    }
}

/// A note that is not whole is none: a loss of power may have left that of a new store so.
fn read(bytes: &[u8]) -> Option<u64> {
    let (number, sum) = bytes.split_first_chunk::<8>()?;
    let sum = u32::from_le_bytes(sum.try_into().ok()?);
    (crc32c::crc32c(number) == sum).then(|| u64::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_last_is_known_to_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let reached = Reached::of(dir.path());
        assert_eq!(reached.last().unwrap(), None);
        for commit in [1, 7, u64::MAX] {
            reached.note(commit);
            assert_eq!(Reached::of(dir.path()).last().unwrap(), Some(commit));
        }
    }

    #[test]
    fn half_a_note_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let reached = Reached::of(dir.path());
        reached.note(300);
        let whole = std::fs::read(dir.path().join(NAME)).unwrap();
        for bytes in [&whole[..11], &[0; 12][..4], &[]] {
            std::fs::write(dir.path().join(NAME), bytes).unwrap();
            assert_eq!(reached.last().unwrap(), None);
        }
        let mut changed = whole;
        changed[1] ^= 1;
        std::fs::write(dir.path().join(NAME), changed).unwrap();
        assert_eq!(reached.last().unwrap(), None);
    }
}
