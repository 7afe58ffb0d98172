//! What can go wrong with an account, in words for the one who asked.

use std::path::PathBuf;

use crate::action::State;
use crate::event::AccountId;
use crate::media;
use crate::{page, store};

/// Why something was not done with an account.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the files that messages carry.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// There are as many accounts as there may be.
    #[error("there are {current} accounts and [accounts] max is {max}: delete one or raise it")]
    Limit {
        /// How many there are.
        current: usize,
        /// How many there may be.
        max: usize,
    },
    /// The id is taken.
    #[error("there is an account `{account}` already")]
    Exists {
        /// The id.
        account: AccountId,
    },
    /// No such account.
    #[error("there is no account `{account}`")]
    NoAccount {
        /// The id.
        account: AccountId,
    },
    /// The configuration says it, so it is changed there.
    #[error("account {account}: [account.{account}] declares it; change it in config.toml")]
    Declared {
        /// Whose.
        account: AccountId,
    },
    /// No code waits to be scanned.
    #[error("account {account}: no QR code waits to be scanned, it is {state}")]
    NoQr {
        /// Whose.
        account: AccountId,
        /// How it stands.
        state: State,
    },
    /// It has no open page.
    #[error("account {account}: it has no open page, it is {state}; start it first")]
    NotRunning {
        /// Whose.
        account: AccountId,
        /// How it stands.
        state: State,
    },
    /// The folder of all profiles could not be made.
    #[error("cannot make the folder {}: {source}", path.display())]
    Profiles {
        /// Which folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A folder of the account could not be removed.
    #[error("account {account}: cannot {step} {}: {source}", path.display())]
    Folder {
        /// Whose.
        account: AccountId,
        /// What was tried.
        step: &'static str,
        /// With which folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A profile could not be copied.
    #[error("cannot copy the profile {}: {source}", path.display())]
    Copy {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The page did not do it.
    #[error(transparent)]
    Page(#[from] page::Error),
    /// The store did not keep it.
    #[error("account {account}: {step}: {source}")]
    Store {
        /// Whose.
        account: AccountId,
        /// What was tried.
        step: &'static str,
        /// What the store said.
        source: store::Error,
    },
    /// The accounts could not be read at the start.
    #[error("the accounts cannot be read: {0}")]
    Open(#[source] store::Error),
    /// The host is closing.
    #[error("account {account}: the host is closing")]
    Closing {
        /// Whose.
        account: AccountId,
    },
}
