//! How much room the disk has left, and what the store does about it.
//!
//! In: what the filesystem says. Out: a [`Level`], by which the writer takes new work or refuses it, and [`Health`] for people. sled
//! must not meet a full disk in the middle of a commit, so new work ends well before (guard G7). Must not touch rows.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Error;
use super::engine::Space;

/// The least that is kept free, whatever the size of the disk.
const LEAST: u64 = 256 << 20;

/// The most that is kept free.
const MOST: u64 = 2 << 30;

/// Bytes set aside for the moment at which another process has taken the rest.
const BALLAST: u64 = 64 << 20;

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// More than twice what is kept free.
    #[default]
    Enough,
    /// Less than that: somebody should look.
    Low,
    /// Less than what is kept free: new work is refused until there is more.
    Full,
}

/// How the store is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Health {
    /// How much room the disk has.
    pub level: Level,
    /// Bytes that are free on it.
    pub free: u64,
    /// Bytes below which new work is refused: a twentieth of the disk, at least 256 MiB and at most 2 GiB.
    pub kept_free: u64,
    /// Bytes that the store takes.
    pub size: u64,
    /// The offset of the oldest event that is kept.
    pub journal_first: u64,
    /// The offset of the next event.
    pub journal_next: u64,
    /// Bytes of the events that are kept.
    pub journal_bytes: u64,
    /// Why it is out of service, if it is.
    pub down: Option<String>,
}

/// Bytes that are kept free on a disk of this size.
pub(super) fn kept_free(total: u64) -> u64 {
    (total / 20).clamp(LEAST, MOST)
}

/// What the room that is left means.
pub(super) fn level(space: Space, floor: u64) -> Level {
    if space.free < floor {
        Level::Full
    } else if space.free < 2 * floor {
        Level::Low
    } else {
        Level::Enough
    }
}

/// How much room the disk of a folder has: what it means, the bytes that are free, and those that are kept free.
///
/// # Errors
/// [`Error::Folder`] if the system does not say.
pub fn room(dir: &Path) -> Result<(Level, u64, u64), Error> {
    let space = of_disk(dir)?;
    let floor = kept_free(space.total);
    Ok((level(space, floor), space.free, floor))
}

/// Bytes of the disk that a folder lies on.
pub(super) fn of_disk(dir: &Path) -> Result<Space, Error> {
    let stat = rustix::fs::statvfs(dir).map_err(|err| Error::folder("ask for the free space of", dir, err.into()))?;
    Ok(Space {
        total: stat.f_blocks.saturating_mul(stat.f_frsize),
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

/// A file that holds room for an emergency.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
}

impl Ballast {
    /// The file at this place, which may not be there yet.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the file where there is room for it, if it is not there.
    pub(super) fn keep(&self, space: Space) {
        if space.free < 2 * kept_free(space.total) + BALLAST || self.path.exists() {
            return;
        }
        let made = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&self.path)
            .and_then(|file| {
                Ok(rustix::fs::fallocate(
                    &file,
                    rustix::fs::FallocateFlags::empty(),
                    0,
                    BALLAST,
                )?)
            });
        if let Err(error) = made {
            // Some filesystems cannot set room aside; an empty file is no use.
            tracing::debug!(%error, file = %self.path.display(), "no room could be set aside");
        }
    }

    /// Gives the room back.
    pub(super) fn remove(&self) {
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!(file = %self.path.display(), "the room set aside was given back: the disk is full")
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(%error, file = %self.path.display(), "the room set aside cannot be given back")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_twentieth_of_the_disk_is_kept_free_within_bounds() {
        assert_eq!(kept_free(100 * MIB), 256 * MIB);
        assert_eq!(kept_free(10_240 * MIB), 512 * MIB);
        assert_eq!(kept_free(1 << 40), 2048 * MIB);
    }

    #[test]
    fn below_what_is_kept_free_it_is_full_and_below_twice_that_low() {
        let at = |free: u64| {
            let space = Space {
                total: 10_240 * MIB,
                free,
            };
            level(space, kept_free(space.total))
        };
        assert_eq!(at(1024 * MIB), Level::Enough);
        assert_eq!(at(1024 * MIB - 1), Level::Low);
        assert_eq!(at(512 * MIB), Level::Low);
        assert_eq!(at(512 * MIB - 1), Level::Full);
    }

    #[test]
    fn room_is_set_aside_once_and_given_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ballast");
        let ballast = Ballast::at(path.clone());
        ballast.keep(Space {
            total: 1 << 30,
            free: 0,
        });
        assert!(!path.exists());
        ballast.keep(Space {
            total: 1 << 30,
            free: 1 << 30,
        });
        assert_eq!(path.metadata().unwrap().len(), BALLAST);
        ballast.remove();
        ballast.remove();
        assert!(!path.exists());
    }
}
