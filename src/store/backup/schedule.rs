//! Backups that the host makes by itself, and the last one that anybody made.
//!
//! In: `[backup]`, live. Out: files `wharf-TIME.backup` in its folder, the newest so many; how the last one went. What is due is read
//! from the folder, so that a restart neither forgets nor repeats one. Must not stop anything when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Extra, Summary};
use crate::config::Config;
use crate::store::{Error, Store, durable, unpoisoned};

/// What the names of its files begin and end with.
const NAME: (&str, &str) = ("wharf-", ".backup");

/// How often is looked whether one is due; also the wait after a start, which has other things to do.
const LOOKS: Duration = Duration::from_secs(60);

/// Wait after one that failed.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// How a backup went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// The file.
    pub file: PathBuf,
    /// What was written, if it worked.
    pub written: Option<Summary>,
    /// Why it did not work.
    pub error: Option<String>,
}

/// The backups of a host; a cheap handle.
#[derive(Clone, Debug)]
pub struct Backups {
    store: Store,
    config: watch::Receiver<Arc<Config>>,
    last: Arc<Mutex<Option<Outcome>>>,
}

impl Backups {
    /// Begins to make them, until `stop`.
    pub fn start(
        store: &Store,
        config: watch::Receiver<Arc<Config>>,
        tracker: &TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let backups = Self {
            store: store.clone(),
            config,
            last: Arc::default(),
        };
        let this = backups.clone();
        tracker.spawn(async move { this.run(stop).await });
        backups
    }

    /// How the last one went since the host was started.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        unpoisoned(self.last.lock()).clone()
    }

    /// Makes one now: with the files that messages carry, and with other folders if there are any.
    ///
    /// # Errors
    /// As for [`Store::backup`].
    pub async fn make(&self, file: &Path, mut folders: Vec<(String, PathBuf)>) -> Result<Summary, Error> {
        let config = self.config.borrow().clone();
        folders.push(("media".to_owned(), config.data.dir.join("media")));
        let extra = Extra {
            folders,
            passphrase: config.backup.passphrase.clone(),
        };
        let made = self.store.backup(file, extra).await;
        match &made {
            Ok(made) => {
                tracing::info!(file = %file.display(), rows = made.rows, bytes = made.bytes, "a backup was made")
            }
            Err(error) => tracing::error!(file = %file.display(), %error, "no backup was made"),
        }
        *unpoisoned(self.last.lock()) = Some(Outcome {
            at: crate::store::now(),
            file: file.to_owned(),
            written: made.as_ref().ok().cloned(),
            error: made.as_ref().err().map(ToString::to_string),
        });
        made
    }

    async fn run(self, stop: CancellationToken) {
        let mut pause = LOOKS;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = LOOKS;
            let backup = self.config.borrow().backup.clone();
            let Some(every) = backup.every else { continue };
            let dir = backup.dir.clone();
            let newest = tokio::task::spawn_blocking(move || newest(&dir)).await.ok().flatten();
            if !is_due(newest, every, SystemTime::now()) {
                continue;
            }
            if self.one(&backup.dir, backup.keep).await.is_err() {
                pause = AGAIN;
            }
        }
    }

    async fn one(&self, dir: &Path, keep: usize) -> Result<(), Error> {
        durable::make_folder(dir)?;
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let file = dir.join(format!("{}{time}{}", NAME.0, NAME.1));
        self.make(&file, Vec::new()).await?;
        remove_old(dir, keep);
        Ok(())
    }
}

fn is_due(newest: Option<SystemTime>, every: Duration, now: SystemTime) -> bool {
    // A clock that was set back makes the newest one of the future: it counts as just made.
    newest.is_none_or(|newest| now.duration_since(newest).unwrap_or_default() >= every)
}

/// The backups of a folder, the oldest first: their names say the time.
fn all(dir: &Path) -> Vec<PathBuf> {
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(NAME.0) && name.ends_with(NAME.1)
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_ours).collect();
    found.sort();
    found
}

/// When the newest backup of a folder was made; `None` if there is none.
#[must_use]
pub fn newest(dir: &Path) -> Option<SystemTime> {
    let newest = all(dir).pop()?;
    fs::metadata(newest).and_then(|found| found.modified()).ok()
}

fn remove_old(dir: &Path, keep: usize) {
    let all = all(dir);
    let old = all.len().saturating_sub(keep);
    for file in all.iter().take(old) {
        if let Err(error) = fs::remove_file(file) {
            tracing::warn!(%error, file = %file.display(), "an old backup cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_due_when_the_newest_is_old_enough_and_when_there_is_none() {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        assert!(is_due(None, hour, now));
        assert!(is_due(Some(now - hour), hour, now));
        assert!(!is_due(Some(now - hour / 2), hour, now));
        assert!(!is_due(Some(now + 2 * hour), hour, now));
    }

    #[test]
    fn the_newest_stay_and_other_files_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "wharf-20260101T000000Z.backup",
            "wharf-20260301T000000Z.backup",
            "wharf-20260201T000000Z.backup",
            "wharf.toml",
            "mine.backup",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        remove_old(dir.path(), 2);
        let left: Vec<String> = all(dir.path())
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(left, ["wharf-20260201T000000Z.backup", "wharf-20260301T000000Z.backup"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }
}
