//! What can go wrong between the host and a tab.
//!
//! In: the failures of files, processes, the browser and the page. Out: [`Error`], one enum that says which step
//! failed, for which account, and what to do. Must not log: that is done where an error is handled.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::event::AccountId;

/// Why a tab could not be opened, or could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library's file is not there or cannot be read.
    #[error(
        "the in-page library {} cannot be read: {source}; run `npm ci --ignore-scripts` in wharf's folder, or let \
         [whatsapp] library name the file wppconnect-wa.js", path.display()
    )]
    LibraryMissing {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is something else.
    #[error(
        "{} is not the in-page library ({problem}); run `npm ci --ignore-scripts` in wharf's folder, or let [whatsapp] \
         library name the file wppconnect-wa.js", path.display()
    )]
    NotTheLibrary {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        problem: &'static str,
    },
    /// No browser is installed.
    #[error(
        "no browser was found ({looked_for}): install the Debian package `chromium-headless-shell` or `chromium`, or \
         let [browser] executable name one"
    )]
    NoBrowser {
        /// Where it was looked for.
        looked_for: String,
    },
    /// The configured or found browser does not run.
    #[error(
        "the browser {} does not work ({problem}): install the Debian package `chromium-headless-shell` or `chromium`, \
         or let [browser] executable name another", path.display()
    )]
    BadBrowser {
        /// The executable.
        path: PathBuf,
        /// What it did.
        problem: String,
    },
    /// Chromium's sandbox refuses to run as root.
    #[error("Chromium's sandbox does not run as root: run wharf as another user, or set [browser] sandbox = false")]
    SandboxAsRoot,
    /// The configured address of WhatsApp Web cannot be used.
    #[error("[whatsapp] url `{url}` cannot be used: {problem}")]
    BadUrl {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file of the profile folder.
    #[error("account {account}: the profile {}: {step}: {source}", path.display())]
    Profile {
        /// Whose.
        account: AccountId,
        /// The folder.
        path: PathBuf,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// Another host holds the profile.
    #[error("account {account}: the profile {} is in use by another wharf", path.display())]
    ProfileInUse {
        /// Whose.
        account: AccountId,
        /// The folder.
        path: PathBuf,
    },
    /// A browser of an earlier host does not end.
    #[error("account {account}: browser process {pid} of an earlier host still uses the profile and does not end")]
    Orphan {
        /// Whose.
        account: AccountId,
        /// The process.
        pid: i32,
    },
    /// The browser did not come up.
    #[error("account {account}: the browser did not start: {problem}")]
    Start {
        /// Whose.
        account: AccountId,
        /// What happened.
        problem: String,
    },
    /// No answer in time. What was asked may still happen.
    #[error("account {account}: {step}: no answer within {} s", after.as_secs())]
    Deadline {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
        /// The deadline.
        after: Duration,
    },
    /// The browser has ended, crashed or cannot be reached any more. What was asked may have happened.
    #[error("account {account}: {step}: the browser is gone")]
    Gone {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
    },
    /// The document was replaced while it was asked. What was asked may have happened.
    #[error("account {account}: {step}: the page was reloaded meanwhile")]
    DocumentChanged {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
    },
    /// The page has no agent: it is not the configured page, or it is still empty.
    #[error("account {account}: {step}: the page is not WhatsApp Web")]
    NoAgent {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
    },
    /// There is no such chat or number.
    #[error("account {account}: no chat for `{to}`: {reason}")]
    NoChat {
        /// Whose.
        account: AccountId,
        /// As asked.
        to: String,
        /// What the page said.
        reason: String,
    },
    /// The page cannot do it at all: its library lacks the function.
    #[error("account {account}: {step}: this WhatsApp Web cannot do it: {problem}")]
    NotSupported {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
        /// What is missing.
        problem: String,
    },
    /// The browser or the page refused; it was not done.
    #[error("account {account}: {step}: {message}")]
    Page {
        /// Whose.
        account: AccountId,
        /// What was asked.
        step: &'static str,
        /// What it said.
        message: String,
    },
}

impl Error {
    /// Whether the tab is of no use any more and has to be opened anew.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Gone { .. })
    }

    /// Whether what was asked may have happened all the same.
    #[must_use]
    pub fn is_uncertain(&self) -> bool {
        matches!(
            self,
            Error::Deadline { .. } | Error::Gone { .. } | Error::DocumentChanged { .. }
        )
    }
}
