//! The profile folder of an account: its lock, and the record of the browser that runs on it.
//!
//! In: the folder's path. Out: a [`Profile`] that holds the folder alone as long as it lives. Must not touch what
//! Chromium keeps in the folder, but for the file that tells its port.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Error;
use crate::event::AccountId;

const LOCK: &str = ".wharf.lock";
const RECORD: &str = ".wharf-browser.json";
/// Written by Chromium when it listens: the port, then the path.
const PORT: &str = "DevToolsActivePort";
const LOG: &str = ".wharf-browser.log";

/// A profile folder, locked.
pub(super) struct Profile {
    account: AccountId,
    path: PathBuf,
    /// The lock ends with it, also when the host is killed.
    _lock: File,
}

/// Which browser was started on the profile, to recognise it after the host's death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) pid: i32,
    /// In clock ticks since boot.
    pub(super) start: u64,
    /// Which boot.
    pub(super) boot: String,
}

impl Profile {
    /// Makes the folder if need be, closes it to others, and locks it.
    pub(super) fn open(account: &AccountId, path: &Path) -> Result<Profile, Error> {
        let failed = |step| {
            let (account, path) = (account.clone(), path.to_owned());
            move |source| Error::Profile {
                account,
                path,
                step,
                source,
            }
        };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("make the folder")(error)),
            _ => {}
        }
        let path = fs::canonicalize(path).map_err(failed("find the folder"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(failed("close the folder to others"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join(LOCK))
            .map_err(failed("open its lock"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Profile {
                account: account.clone(),
                path,
                _lock: lock,
            }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::ProfileInUse {
                account: account.clone(),
                path,
            }),
            Err(error) => Err(failed("lock it")(error.into())),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The argument by which a browser on this profile is known.
    pub(super) fn argument(&self) -> String {
        format!("--user-data-dir={}", self.path.display())
    }

    /// Where the browser's last words go.
    pub(super) fn log(&self) -> Result<File, Error> {
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(self.path.join(LOG));
        file.map_err(|source| self.failed("open the browser's log", source))
    }

    /// The last line that the browser wrote.
    pub(super) fn last_words(&self) -> Option<String> {
        let log = fs::read_to_string(self.path.join(LOG)).ok()?;
        log.lines()
            .rev()
            .find(|line| line.contains("FATAL") || line.contains("ERROR"))
            .map(|line| line.chars().take(300).collect())
    }

    /// Keeps in mind which browser runs on the profile.
    pub(super) fn remember_browser(&self, record: &Record) -> Result<(), Error> {
        let text = serde_json::to_vec(record).expect("a record is plain JSON");
        let write = || -> io::Result<()> {
            let aside = self.path.join(format!("{RECORD}.new"));
            let mut file = OpenOptions::new()
                .create(true)
                .write(true)
                .truncate(true)
                .mode(0o600)
                .open(&aside)?;
            file.write_all(&text)?;
            fs::rename(&aside, self.path.join(RECORD))
        };
        write().map_err(|source| self.failed("record the browser", source))
    }

    /// The browser that was last started, if it was not forgotten.
    pub(super) fn browser(&self) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.path.join(RECORD)).ok()?).ok()
    }

    /// The browser has ended. A record that stays is harmless: its process is not found.
    pub(super) fn forget_browser(&self) {
        fs::remove_file(self.path.join(RECORD)).ok();
    }

    /// Where the browser on this profile listens: a `ws:` address on this machine.
    pub(super) fn address(&self) -> Option<String> {
        let text = fs::read_to_string(self.path.join(PORT)).ok()?;
        let (port, path) = text.trim_end().split_once('\n')?;
        let port: u16 = port.parse().ok()?;
        path.starts_with("/devtools/browser/")
            .then(|| format!("ws://127.0.0.1:{port}{path}"))
    }

    /// Removes what an earlier browser said about its port.
    pub(super) fn forget_address(&self) -> Result<(), Error> {
        match fs::remove_file(self.path.join(PORT)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove the old port file", source))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, step: &'static str, source: io::Error) -> Error {
        Error::Profile {
            account: self.account.clone(),
            path: self.path.clone(),
            step,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountId {
        "one".parse().unwrap()
    }

    #[test]
    fn a_profile_is_closed_to_others_and_locked_while_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("profile");
        let held = Profile::open(&account(), &path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(
            Profile::open(&account(), &path),
            Err(Error::ProfileInUse { .. })
        ));
        drop(held);
        Profile::open(&account(), &path).unwrap();
    }

    #[test]
    fn a_half_written_port_file_gives_no_address() {
        let folder = tempfile::tempdir().unwrap();
        let profile = Profile::open(&account(), &folder.path().join("profile")).unwrap();
        let file = profile.path().join(PORT);
        for half in ["", "4", "4711", "4711\n"] {
            fs::write(&file, half).unwrap();
            assert_eq!(profile.address(), None, "{half:?}");
        }
        fs::write(&file, "4711\n/devtools/browser/ab").unwrap();
        assert_eq!(profile.address().unwrap(), "ws://127.0.0.1:4711/devtools/browser/ab");
        profile.forget_address().unwrap();
        profile.forget_address().unwrap();
        assert_eq!(profile.address(), None);
    }
}
