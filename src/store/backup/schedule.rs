//! Backups that the host makes by itself, and the last one that anybody made.
//!
//! In: `[backup]`, live. Out: files `wharf-TIME.backup` in its folder, the newest so many; how the last one went. What is due is read
//! from the folder, so that a restart neither forgets nor repeats one. Must not stop anything when it fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Extra, Summary};
use crate::config::Config;
use crate::store::{Error, Store, durable};

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
    last: watch::Sender<Option<Outcome>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to make a backup; nobody else makes one meanwhile.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "it is held")] tokio::sync::OwnedMutexGuard<()>);

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
            last: watch::Sender::new(None),
            turn: Arc::default(),
        };
        let this = backups.clone();
        tracker.spawn(async move { this.run(stop).await });
        backups
    }

    /// How the last one went since the host was started.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        self.last.borrow().clone()
    }

    /// Changes when one has ended.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Option<Outcome>> {
        self.last.subscribe()
    }

    /// Where copies of profiles lie while a backup is made.
    #[must_use]
    pub fn copies(&self) -> PathBuf {
        copies(&self.config.borrow().data.dir)
    }

    /// Begins one: what goes into it is prepared by whoever has the turn.
    ///
    /// # Errors
    /// [`Error::Busy`] if one is under way.
    pub fn begin(&self) -> Result<Turn, Error> {
        self.turn.clone().try_lock_owned().map(Turn).map_err(|_| super::busy())
    }

    /// Takes note of one that came to nothing before it was written.
    pub fn failed(&self, file: &Path, why: &impl std::fmt::Display) {
        tracing::error!(file = %file.display(), error = %why, "no backup was made");
        self.note(file, None, Some(why.to_string()));
    }

    /// Makes one now: with the files that messages carry, and with other folders if there are any.
    ///
    /// # Errors
    /// As for [`Store::backup`].
    pub async fn make(&self, _turn: &Turn, file: &Path, mut folders: Vec<(String, PathBuf)>) -> Result<Summary, Error> {
        let config = self.config.borrow().clone();
        folders.push(("media".to_owned(), config.data.dir.join("media")));
        let extra = Extra {
            folders,
            passphrase: config.backup.passphrase.clone(),
        };
        let made = self.store.backup(file, extra).await;
        match &made {
            Ok(made) => {
                tracing::info!(file = %file.display(), rows = made.rows, bytes = made.bytes, "a backup was made");
                self.note(file, Some(made.clone()), None);
            }
            Err(error) => self.failed(file, error),
        }
        made
    }

    fn note(&self, file: &Path, written: Option<Summary>, error: Option<String>) {
        self.last.send_replace(Some(Outcome {
            at: crate::store::now(),
            file: file.to_owned(),
            written,
            error,
        }));
    }

    async fn run(self, stop: CancellationToken) {
        // A host that died meanwhile has left them; they are credentials.
        remove_copies(&self.copies()).await;
        let mut pause = LOOKS;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stop.cancelled() => return,
            }
            pause = LOOKS;
            let config = self.config.borrow().clone();
            let Some(every) = config.backup.every else { continue };
            let dir = config.backup_dir();
            let looked = dir.clone();
            let newest = tokio::task::spawn_blocking(move || newest(&looked))
                .await
                .ok()
                .flatten();
            if !is_due(newest, every, SystemTime::now()) {
                continue;
            }
            if self.one(&dir, config.backup.keep).await.is_err() {
                pause = AGAIN;
            }
        }
    }

    async fn one(&self, dir: &Path, keep: usize) -> Result<(), Error> {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        let file = dir.join(format!("{}{time}{}", NAME.0, NAME.1));
        let turn = self.begin()?;
        if let Err(error) = durable::make_folder(dir) {
            self.failed(&file, &error);
            return Err(error);
        }
        self.make(&turn, &file, Vec::new()).await?;
        remove_old(dir, keep);
        Ok(())
    }
}

/// Where copies of profiles lie while a backup of this data folder is made.
#[must_use]
pub fn copies(data: &Path) -> PathBuf {
    data.join("backup.copies")
}

/// Removes the copies; what stays is removed by the next backup.
pub async fn remove_copies(copies: &Path) {
    match tokio::fs::remove_dir_all(copies).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %copies.display(), "copies of profiles cannot be removed");
        }
        _ => {}
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
    use std::fs::File;

    use super::*;

    fn config(dir: &Path, more: &[(&str, &str)]) -> Arc<Config> {
        let environment = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sources = crate::config::Sources {
            data: Some(dir.join("data")),
            environment: environment.collect(),
            ..crate::config::Sources::default()
        };
        Arc::new(sources.load().unwrap())
    }

    /// Makes the files of a folder an hour older.
    fn age(dir: &Path) {
        for file in all(dir) {
            let opened = File::options().write(true).open(file).unwrap();
            let time = opened.metadata().unwrap().modified().unwrap();
            opened.set_modified(time - Duration::from_secs(3600)).unwrap();
        }
    }

    // The clock is paused: waits are over at once, and a file's age is what the test makes it.
    #[tokio::test(start_paused = true)]
    async fn the_host_makes_backups_when_they_are_due_keeps_the_newest_and_tells_of_failures() {
        let dir = tempfile::tempdir().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let blocked = dir.path().join("blocked");
        fs::write(&blocked, "no folder").unwrap();
        let every = ("WHARF_BACKUP__EVERY", "1h");
        let in_blocked = ("WHARF_BACKUP__DIR", blocked.to_str().unwrap());
        let live = watch::Sender::new(config(dir.path(), &[every, in_blocked]));
        let store = Store::open(&dir.path().join("data"), 1 << 20).unwrap();
        let left = copies(&dir.path().join("data"));
        fs::create_dir(&left).unwrap();
        let backups = Backups::start(&store, live.subscribe(), &tracker, stop.clone());
        let mut changed = backups.changed();
        changed.changed().await.unwrap();
        let failed = backups.last().unwrap();
        assert!(failed.written.is_none() && failed.error.unwrap().contains("blocked"));
        assert!(!left.exists(), "copies that a crash has left are credentials");

        live.send_replace(config(dir.path(), &[every, ("WHARF_BACKUP__KEEP", "2")]));
        let folder = dir.path().join("data/backups");
        fs::create_dir(&folder).unwrap();
        for name in ["wharf-20200101T000000Z.backup", "wharf-20200102T000000Z.backup"] {
            fs::write(folder.join(name), "").unwrap();
        }
        age(&folder);
        for round in 0..2 {
            changed.changed().await.unwrap();
            let made = backups.last().unwrap();
            assert_eq!(made.error, None, "round {round}");
            assert_eq!(super::super::verify(&made.file, None).unwrap(), made.written.unwrap());
            // The next one's name says another second.
            fs::rename(&made.file, folder.join(format!("wharf-2020020{round}T000000Z.backup"))).unwrap();
            if round == 0 {
                age(&folder);
            }
        }
        stop.cancel();
        tracker.close();
        tracker.wait().await;
        let left: Vec<_> = all(&folder)
            .iter()
            .map(|file| file.file_name().unwrap().to_owned())
            .collect();
        assert_eq!(left.last().unwrap(), "wharf-20200201T000000Z.backup");
        assert!(
            left.len() <= 3 && !left.iter().any(|name| name == "wharf-20200101T000000Z.backup"),
            "{left:?}"
        );
        store.close().await.unwrap();
    }

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
