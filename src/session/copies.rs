//! Copies of the accounts' profiles for a backup: each account rests for as long as its own takes.
//!
//! In: accounts, running or not. Out: folders under the names that their records give them. What is wished of an account is not
//! touched, so that a host that dies meanwhile starts it again. Must not leave an account resting.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::action::State;
use crate::page;
use crate::store::{AccountRecord, Desired};

use super::account::{Account, Live};
use super::actor::Command;
use super::{Error, PROFILES, Sessions};

impl Sessions {
    /// Copies all profiles to folders in `to`, which is emptied first, one account at a time. Each running account rests with the
    /// reason `backup` until its copy is there. The names of the copies in a backup, and where they lie.
    ///
    /// # Errors
    /// [`Error::Copy`]; the accounts are started again all the same.
    pub async fn copy_profiles(&self, to: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
        remove(to)?;
        let mut copies = Vec::new();
        for account in self.all() {
            let rests = account.record().desired == Desired::Running && has_browser(&account);
            if rests && let Err(error) = self.command(&account, Command::Pause).await {
                if matches!(*account.live.borrow(), Live::Deleted) {
                    continue;
                }
                return Err(error);
            }
            let copied = self.copy(&account, to).await;
            if rests && account.record().desired == Desired::Running {
                self.command(&account, Command::Start).await?;
            }
            copies.push(copied?);
        }
        Ok(copies)
    }

    async fn copy(&self, account: &Account, to: &Path) -> Result<(String, PathBuf), Error> {
        let from = account.profile(&self.data());
        let folder = account.record().folder;
        let copy = to.join(&folder);
        let done = {
            let (id, from, copy) = (account.id.clone(), from.clone(), copy.clone());
            tokio::task::spawn_blocking(move || page::copy_profile(&id, &from, &copy)).await
        };
        match done.unwrap_or_else(|err| Err(io::Error::other(err))) {
            Ok(_) => Ok((named(&folder), copy)),
            Err(source) => Err(Error::Copy { path: from, source }),
        }
    }
}

/// Whether it has a browser, or will have one by itself. One that was given up is left as it is.
fn has_browser(account: &Account) -> bool {
    use State::{Blocked, Failed, LoggedOut, Stopped, Unpaired};
    let rests = matches!(
        account.status.borrow().state,
        Stopped | Unpaired | LoggedOut | Blocked | Failed
    );
    !rests || !matches!(*account.live.borrow(), Live::Closed | Live::Deleted)
}

/// The same for the accounts of a host that does not run.
///
/// # Errors
/// [`Error::Copy`].
pub fn copy_stopped(data: &Path, records: &[AccountRecord], to: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    remove(to)?;
    let copies = records.iter().map(|record| {
        let (from, copy) = (data.join(PROFILES).join(&record.folder), to.join(&record.folder));
        match page::copy_profile(&record.id, &from, &copy) {
            Ok(_) => Ok((named(&record.folder), copy)),
            Err(source) => Err(Error::Copy { path: from, source }),
        }
    });
    copies.collect()
}

fn named(folder: &str) -> String {
    format!("{PROFILES}/{folder}")
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Copy {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
