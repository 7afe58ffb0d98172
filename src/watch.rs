//! Watches folders and says, after a moment of quiet, that something in them changed.
//!
//! In: folders. Out: a wake-up, without saying what changed: the reader looks again and compares, so a lost or doubled
//! notice does no harm. Must not read the files itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time that a folder which never rests holds back a wake-up.
const LONGEST_UNREST: Duration = Duration::from_secs(1);

/// A folder that cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {source}; is the folder there, and is fs.inotify.max_user_watches large enough?")]
pub struct Error {
    path: PathBuf,
    source: notify::Error,
}

/// What is watched, and how deep.
#[derive(Clone, Debug)]
pub enum Folder {
    /// Only the folder itself.
    Flat(PathBuf),
    /// With everything below it.
    Deep(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Folder::Flat(path) | Folder::Deep(path) => path,
        }
    }
}

/// Keeps the watch; dropping it ends it.
pub struct Folders {
    _watcher: RecommendedWatcher,
}

impl Folders {
    /// Watches `folders`; a wake-up comes when nothing has changed in them for `quiet`.
    ///
    /// The receiver holds one wake-up; more fold into it, since the reader looks at everything anyway.
    ///
    /// # Errors
    /// A folder that does not exist, or the system's limit of watches.
    pub fn watch(
        folders: &[Folder],
        quiet: Duration,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<()>), Error> {
        let (raw, noise) = mpsc::channel(1);
        let first = || {
            folders
                .first()
                .map(|folder| folder.path().to_owned())
                .unwrap_or_default()
        };
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A watcher's own error (an overflow, say) means that something was missed: look again.
            if event.map_or(true, |event| is_change(event.kind)) {
                // Full: a notice that has not been read yet says the same.
                raw.try_send(()).ok();
            }
        })
        .map_err(|source| Error { path: first(), source })?;
        for folder in folders {
            let mode = match folder {
                Folder::Flat(_) => RecursiveMode::NonRecursive,
                Folder::Deep(_) => RecursiveMode::Recursive,
            };
            let path = folder.path();
            watcher.watch(path, mode).map_err(|source| Error {
                path: path.to_owned(),
                source,
            })?;
        }
        let (wake, woken) = mpsc::channel(1);
        tracker.spawn(settle(noise, wake, quiet, stop));
        Ok((Self { _watcher: watcher }, woken))
    }
}

/// Reading a file is no change, or every look would cause the next.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

async fn settle(mut noise: mpsc::Receiver<()>, wake: mpsc::Sender<()>, quiet: Duration, stop: CancellationToken) {
    loop {
        let heard = tokio::select! {
            heard = noise.recv() => heard,
            () = stop.cancelled() => return,
        };
        if heard.is_none() {
            return;
        }
        let since = Instant::now();
        while since.elapsed() < LONGEST_UNREST && timeout(quiet, noise.recv()).await.is_ok_and(|more| more.is_some()) {}
        // Full: the reader has not looked since the last wake-up and will see this change too.
        if let Err(mpsc::error::TrySendError::Closed(())) = wake.try_send(()) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_saved_file_wakes_the_reader_and_reading_it_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let watched = [Folder::Deep(folder.path().to_owned())];
        let (_folders, mut woken) =
            Folders::watch(&watched, Duration::from_millis(20), &tracker, stop.clone()).unwrap();
        let file = folder.path().join("a.lua");
        std::fs::write(&file, "return 1").unwrap();
        timeout(Duration::from_secs(5), woken.recv()).await.unwrap().unwrap();
        std::fs::read(&file).unwrap();
        assert!(timeout(Duration::from_millis(300), woken.recv()).await.is_err());
        stop.cancel();
    }

    #[test]
    fn a_missing_folder_is_named() {
        let watched = [Folder::Flat(PathBuf::from("/nonexistent-wharf"))];
        let stop = CancellationToken::new();
        let error = Folders::watch(&watched, Duration::ZERO, &TaskTracker::new(), stop)
            .err()
            .unwrap();
        assert!(error.to_string().contains("/nonexistent-wharf"));
    }
}
