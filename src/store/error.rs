//! What can go wrong in the store, in words for the one who reads the log.

use std::path::PathBuf;
use std::sync::Arc;

/// Why the store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the folder; nothing was touched.
    #[error("the data folder {} is in use by another wharf{}: stop that one first, or use another folder", .dir.display(), pid(.by))]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// The process that wrote its number into the lock file.
        by: Option<u32>,
    },
    /// The folder lies on a network filesystem, where neither locks nor syncs hold.
    #[error("the data folder {} lies on a network filesystem ({kind}): the store needs a local disk", .dir.display())]
    NetworkFolder {
        /// The data folder.
        dir: PathBuf,
        /// The filesystem.
        kind: &'static str,
    },
    /// The operating system refused something while the store was opened.
    #[error("cannot {step} {}: {source}", .path.display())]
    Folder {
        /// What was tried.
        step: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: Arc<std::io::Error>,
    },
    /// The folder was written by a newer wharf.
    #[error("the store in {} has schema {found}, this wharf knows {known}: use a newer wharf", .dir.display())]
    NewerSchema {
        /// The store's folder.
        dir: PathBuf,
        /// The schema on disk.
        found: u32,
        /// The newest schema that this program knows.
        known: u32,
    },
    /// What is on disk is not what was written.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// A kv entry that the batch relies on has changed; nothing of the batch was kept.
    #[error("`{key}` in `{space}` was changed by another run")]
    Conflict {
        /// The kv space.
        space: String,
        /// The key in it.
        key: String,
    },
    /// An increment of a kv entry that is no number, or would not be one after it; nothing of the batch was kept.
    #[error("`{key}` in `{space}` cannot be incremented: it is not a finite number")]
    NotANumber {
        /// The kv space.
        space: String,
        /// The key in it.
        key: String,
    },
    /// Something in the batch is over its limit; nothing of the batch was kept.
    #[error("{what} is too large: {size}, at most {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// How large it is, in bytes or rows as `what` says.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// Something in the batch or the question cannot be stored under its name; nothing of the batch was kept.
    #[error("{what}")]
    Invalid {
        /// What, and why.
        what: String,
    },
    /// The disk is almost full, and the batch brings new work; nothing of it was kept.
    #[error("the disk is almost full: {} MiB are free and {} MiB are kept free; make room, wharf goes on by itself", free >> 20, kept_free >> 20)]
    Full {
        /// Bytes that are free.
        free: u64,
        /// Bytes below which new work is refused.
        kept_free: u64,
    },
    /// A backup that cannot be used; nothing was changed.
    #[error("the backup {} cannot be used: {why}", .file.display())]
    Backup {
        /// The file.
        file: PathBuf,
        /// Why not.
        why: String,
    },
    /// It cannot be done beside what is under way.
    #[error("{what}")]
    Busy {
        /// What, and why.
        what: String,
    },
    /// The disk failed. The store reopens by itself; whether the batch was kept is not known until then.
    #[error("the store is out of service: {why}")]
    Down {
        /// What the disk, or sled, said.
        why: Arc<str>,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// Whether the same request may succeed later without being changed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Down { .. } | Error::Full { .. } | Error::InUse { .. })
    }

    /// Whether the open database must not be used any more.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Error::Down { .. })
    }

    pub(super) fn down(why: impl std::fmt::Display) -> Self {
        Error::Down {
            why: why.to_string().into(),
        }
    }

    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Error::Corrupt { what: what.into() }
    }

    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Error::Invalid { what: what.into() }
    }

    pub(super) fn folder(step: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Error::Folder {
            step,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

fn pid(by: &Option<u32>) -> String {
    by.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
