//! A backup: all rows as they were at one moment, and the files that belong to them, in one file.
//!
//! In: a store at work, or one that nobody uses. Out: a file that [`restore()`] turns into a data folder again. The file is a gzipped
//! tar, so that one can look into it; with a passphrase it is encrypted (age). `fence` makes the moment, `archive` the file. Must not
//! hold up the writer for longer than it takes to note what it overwrites.
//!
//! | entry | what |
//! |---|---|
//! | `manifest.json` | format, schema, time, version of wharf |
//! | `rows/000000`, … | rows: `[length of key][length of row]`, 4 bytes each, key, row |
//! | `media/…`, `profiles/…` | files |
//! | `seal.json` | how many rows and files, and the SHA-256 over all rows: without it the file is not whole; files are covered by gzip's checksum |

mod archive;
mod fence;
mod restore;
mod schedule;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

pub(super) use fence::Fence;
pub use restore::{restore, verify};
pub use schedule::{Backups, Outcome, Turn, copies, newest, remove_copies};

use super::migrate::SCHEMA;
use super::{Error, Shared, Store, unpoisoned, writer};
use archive::Archive;

/// The form of the file.
const FORMAT: u32 = 1;

/// What goes into a backup beside the rows.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Folders, each under its name in the file: `media`, `profiles/01J…`.
    pub folders: Vec<(String, PathBuf)>,
    /// What it is encrypted with.
    pub passphrase: Option<Secret>,
}

/// What was written, or found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// Rows of the store.
    pub rows: u64,
    /// Files beside them.
    pub files: u64,
    /// Bytes of the backup file.
    pub bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    wharf: String,
    format: u32,
    schema: u32,
    made_at: i64,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seal {
    rows: u64,
    files: u64,
    sha256: String,
}

impl Store {
    /// Writes a backup to `file`, while everything goes on. The file appears when it is whole, and replaces one of that name.
    ///
    /// # Errors
    /// [`Error::Folder`] if the file cannot be written, or a folder not read; [`Error::Busy`] if a backup is under way already, or
    /// so much was written meanwhile that the moment could not be kept; [`Error::Down`], [`Error::Closed`].
    pub async fn backup(&self, file: &Path, extra: Extra) -> Result<Summary, Error> {
        let fence = self.fence().await?;
        let (shared, file) = (self.shared.clone(), file.to_owned());
        let done = tokio::task::spawn_blocking(move || write(&shared, &fence, &file, &extra)).await;
        done.unwrap_or_else(|err| Err(Error::corrupt(format!("the backup panicked: {err}"))))
    }

    /// The moment of the backup, between two commits.
    async fn fence(&self) -> Result<Arc<Fence>, Error> {
        let (answer, answered) = tokio::sync::oneshot::channel();
        self.commands
            .send(writer::Command::Fence { answer })
            .await
            .map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

/// Two at a time are too many.
pub(super) fn busy() -> Error {
    Error::Busy {
        what: "a backup is under way already: wait for its end".to_owned(),
    }
}

fn write(shared: &Shared, fence: &Fence, file: &Path, extra: &Extra) -> Result<Summary, Error> {
    let made_at = super::now();
    let mut archive = Archive::create(file, extra.passphrase.as_ref())?;
    archive.json(
        "manifest.json",
        &Manifest {
            wharf: env!("CARGO_PKG_VERSION").to_owned(),
            format: FORMAT,
            schema: SCHEMA,
            made_at,
        },
    )?;
    loop {
        let rows = {
            let disk = unpoisoned(shared.disk.read());
            let Some(disk) = disk.as_ref() else {
                return Err(unpoisoned(shared.down.lock()).clone());
            };
            fence.page(disk.engine())?
        };
        for (key, row) in rows {
            archive.row(&key, &row)?;
        }
        if fence.is_over() {
            break;
        }
    }
    archive.end_rows()?;
    for (name, folder) in &extra.folders {
        archive.folder(name, folder)?;
    }
    let (rows, files, bytes) = archive.finish(file)?;
    Ok(Summary {
        made_at,
        rows,
        files,
        bytes,
    })
}
