//! The files that messages carry, as long as wharf needs them.
//!
//! In: bytes that an account has downloaded or that a script has made. Out: a [`File`] that names them, and the bytes again.
//! They lie in `<data>/media`, each under its SHA-256, so that the same file is kept once; what nobody has used for `[media] keep`
//! is removed. Must not know messages, and lets no name from outside become a path.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::action::File;
use crate::config::Config;

/// The folder in the data folder.
const FOLDER: &str = "media";
/// Between two looks for files that nobody uses any more.
const CLEANED_EVERY: Duration = Duration::from_secs(60 * 60);
/// What an unfinished file is called until it is whole.
const UNFINISHED: &str = ".part";

/// Why a file cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than may be.
    #[error("the file has {size} bytes; [media] max in config.toml allows {max}")]
    TooLarge {
        /// Its bytes.
        size: u64,
        /// The most.
        max: u64,
    },
    /// It was removed, or never kept.
    #[error("the file {name} is not kept any more: files that nobody has used for [media] keep are removed")]
    Gone {
        /// Its name, or its hash if it has none.
        name: String,
    },
    /// The disk.
    #[error("cannot {step} {}: {source}", path.display())]
    Disk {
        /// What was tried.
        step: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// The kept files; a cheap handle.
#[derive(Clone, Debug)]
pub struct Media {
    folder: Arc<Path>,
    /// Held while a file is looked at and kept or removed, so that none goes that is just being used again.
    changing: Arc<Mutex<()>>,
    config: watch::Receiver<Arc<Config>>,
}

impl Media {
    /// The files in this host's data folder.
    ///
    /// # Errors
    /// [`Error::Disk`] if the folder cannot be made.
    pub fn open(config: watch::Receiver<Arc<Config>>) -> Result<Self, Error> {
        let folder = config.borrow().data.dir.join(FOLDER);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&folder).map_err(|source| Error::Disk {
            step: "make the folder",
            path: folder.clone(),
            source,
        })?;
        let folder = folder.into();
        let changing = Arc::default();
        Ok(Self {
            folder,
            changing,
            config,
        })
    }

    /// The most bytes that a file may have.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.config.borrow().media.max
    }

    /// Keeps a file; when this answers, it is on disk.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Disk`].
    pub async fn keep(&self, bytes: Bytes, mimetype: String, filename: Option<String>) -> Result<File, Error> {
        let (size, max) = (bytes.len() as u64, self.max());
        if size > max {
            return Err(Error::TooLarge { size, max });
        }
        let this = self.clone();
        let file = blocking(move || {
            let file = File {
                sha256: hash(&bytes),
                size,
                mimetype,
                filename,
            };
            this.write(&file, &bytes).map(|()| file)
        });
        file.await
    }

    /// The bytes of a file; it counts as used now.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Disk`].
    pub async fn read(&self, file: &File) -> Result<Bytes, Error> {
        let (this, file) = (self.clone(), file.clone());
        let bytes = blocking(move || {
            let path = this.path(&file)?;
            let _one = this.changing.lock().unwrap_or_else(PoisonError::into_inner);
            touch(&path)?;
            let bytes = fs::read(&path).map_err(|source| missing(&file, "read", &path, source))?;
            // A disk that lies is better found here than by who gets the file.
            match hash(&bytes) == file.sha256 {
                true => Ok(Bytes::from(bytes)),
                false => Err(gone(&file)),
            }
        });
        bytes.await
    }

    fn path(&self, file: &File) -> Result<PathBuf, Error> {
        let name = &file.sha256;
        let is_hash = name.len() == 64 && name.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
        match is_hash {
            true => Ok(self.folder.join(name)),
            false => Err(gone(file)),
        }
    }

    fn write(&self, file: &File, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path(file)?;
        let disk = |step, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Disk { step, path, source }
        };
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // One that the disk has spoilt is written anew.
        if fs::read(&path).is_ok_and(|known| hash(&known) == file.sha256) {
            return touch(&path);
        }
        // Of its own, because two may keep the same file at once.
        let part = self
            .folder
            .join(format!("{}-{}{UNFINISHED}", file.sha256, ulid::Ulid::generate()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut open = options.open(&part).map_err(disk("make", &part))?;
        let written = open
            .write_all(bytes)
            .and_then(|()| open.sync_data())
            .and_then(|()| fs::rename(&part, &path))
            .and_then(|()| fs::File::open(&self.folder)?.sync_all());
        if let Err(source) = written {
            fs::remove_file(&part).ok();
            return Err(disk("write", &path)(source));
        }
        Ok(())
    }

    /// Removes what nobody uses any more, now and every hour, until `stop`.
    pub async fn clean(self, stop: CancellationToken) {
        loop {
            let this = self.clone();
            let keep = self.config.borrow().media.keep;
            match blocking(move || this.remove_unused(keep)).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(
                    count,
                    "files of messages that nobody has used for [media] keep were removed"
                ),
                Err(error) => tracing::warn!(%error, "files of messages cannot be looked through"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CLEANED_EVERY) => {}
            }
        }
    }

    fn remove_unused(&self, keep: Duration) -> Result<usize, Error> {
        let entries = fs::read_dir(&self.folder).map_err(|source| Error::Disk {
            step: "look through",
            path: self.folder.to_path_buf(),
            source,
        })?;
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        let is_old = |path: &Path| {
            let used = fs::metadata(path).and_then(|known| known.modified());
            // A clock that was set back makes files young, never old.
            used.is_ok_and(|used| now.duration_since(used).is_ok_and(|age| age > keep))
        };
        let old = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| is_old(path));
        Ok(old.filter(|path| fs::remove_file(path).is_ok()).count())
    }
}

/// Notes that a file was used.
fn touch(path: &Path) -> Result<(), Error> {
    let touched = fs::File::open(path).and_then(|file| file.set_modified(SystemTime::now()));
    match touched {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Disk {
            step: "note the use of",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn missing(file: &File, step: &'static str, path: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => gone(file),
        _ => Error::Disk {
            step,
            path: path.to_owned(),
            source,
        },
    }
}

fn gone(file: &File) -> Error {
    let name = file
        .filename
        .clone()
        .unwrap_or_else(|| file.sha256.chars().take(12).collect());
    Error::Gone { name }
}

fn hash(bytes: &[u8]) -> String {
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0'));
    Sha256::digest(bytes).iter().flat_map(digits).collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(folder: &Path) -> (Media, watch::Sender<Arc<Config>>) {
        let file = folder.join("config.toml");
        fs::write(&file, "[data]\ndir = \"data\"\n[media]\nmax = \"1MiB\"\n").unwrap();
        let sources = crate::config::Sources {
            file: Some(file),
            ..crate::config::Sources::default()
        };
        let (sender, receiver) = watch::channel(crate::config::Live::start(sources).unwrap().current());
        (Media::open(receiver).unwrap(), sender)
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder.join("data/media")).unwrap().count()
    }

    #[tokio::test]
    async fn a_file_is_kept_once_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (media, _config) = media(folder.path());
        let keep = |name: &str| media.keep(Bytes::from_static(b"hello"), "text/plain".into(), Some(name.to_owned()));
        let one = keep("a.txt").await.unwrap();
        let (two, three) = tokio::join!(keep("../b.txt"), keep("c.txt"));
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert_eq!((one.sha256.as_str(), one.size), (sha256, 5));
        for file in [one, two.unwrap(), three.unwrap()] {
            assert_eq!(media.read(&file).await.unwrap(), "hello");
        }
        assert_eq!(files(folder.path()), 1);
    }

    #[tokio::test]
    async fn what_is_too_large_or_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (media, _config) = media(folder.path());
        let large = media
            .keep(vec![0; (1 << 20) + 1].into(), "x/y".into(), None)
            .await
            .unwrap_err();
        assert_eq!(
            large.to_string(),
            "the file has 1048577 bytes; [media] max in config.toml allows 1048576"
        );
        let mut file = media
            .keep(Bytes::from_static(b"hello"), "text/plain".into(), None)
            .await
            .unwrap();
        fs::write(folder.path().join("data/media").join(&file.sha256), "other").unwrap();
        assert!(matches!(media.read(&file).await, Err(Error::Gone { .. })), "spoilt");
        let again = media
            .keep(Bytes::from_static(b"hello"), "text/plain".into(), None)
            .await
            .unwrap();
        assert_eq!(media.read(&again).await.unwrap(), "hello", "written anew");
        for name in ["../../config.toml", "", "2CF2"] {
            name.clone_into(&mut file.sha256);
            assert!(matches!(media.read(&file).await, Err(Error::Gone { .. })), "{name}");
        }
    }

    #[tokio::test]
    async fn what_nobody_uses_is_removed_and_what_is_used_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (media, _config) = media(folder.path());
        let day = Duration::from_secs(24 * 60 * 60);
        let [old, used] =
            [b"old" as &[u8], b"used"].map(|text| media.keep(Bytes::from_static(text), "x/y".into(), None));
        let (old, used) = (old.await.unwrap(), used.await.unwrap());
        for file in [&old, &used] {
            let path = media.path(file).unwrap();
            fs::File::open(path)
                .unwrap()
                .set_modified(SystemTime::now() - 2 * day)
                .unwrap();
        }
        assert_eq!(media.remove_unused(3 * day).unwrap(), 0);
        media.read(&used).await.unwrap();
        assert_eq!(media.remove_unused(day).unwrap(), 1);
        assert!(matches!(media.read(&old).await, Err(Error::Gone { .. })));
        media.read(&used).await.unwrap();
    }
}
