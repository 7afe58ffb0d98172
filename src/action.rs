//! The vocabulary of actions: what a session can be asked to do, and how it answers.
//!
//! In: requests of scripts and of the HTTP API. Out: [`SendOrder`] with [`Sent`], [`ActOrder`], [`LookOrder`] with [`Found`],
//! and [`Failure`]. Must not import another room but the event vocabulary.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{AccountId, Source};

pub use act::{Act, ActOrder, Chat, Contact, DownloadOrder, Found, Look, LookOrder};
pub use content::{Content, File, Shape};

mod act;
mod content;

/// An order to send one message, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOrder {
    /// Names this send for ever: a second order with the key gets the first one's answer.
    pub key: String,
    /// From which account.
    pub account: AccountId,
    /// To whom: a chat id, or a phone number in digits.
    pub to: String,
    /// What.
    pub content: Content,
    /// On whose behalf.
    pub source: Source,
    /// How long it may wait for the account to be ready and for its turn; then it fails as `timeout`.
    pub patience: Duration,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// WhatsApp Web has it in its own queue, or further.
    Sent,
    /// It was cut off between order and answer and is not repeated.
    Unknown,
}

/// The answer to a send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The message's id.
    pub id: String,
    /// Whether it is known to be sent.
    pub status: Status,
}

/// Why an action was not done; `kind` is what scripts see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The class of the failure.
    pub kind: FailureKind,
    /// A sentence for people, naming the account.
    pub message: String,
    /// Which account, if one.
    pub account: Option<AccountId>,
}

/// Classes of failure, as scripts and HTTP callers see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The account is not ready and did not become so in time.
    NotConnected,
    /// No such account.
    NoAccount,
    /// The page did not answer, or the patience ended.
    Timeout,
    /// WhatsApp or the page refused.
    Refused,
    /// Too many wait already.
    RateLimited,
    /// Not built yet.
    NotSupported,
    /// Not granted by the manifest.
    NotPermitted,
    /// wharf itself could not do it: the store, say.
    Internal,
}

impl FailureKind {
    /// The name that scripts see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::NotConnected => "not_connected",
            FailureKind::NoAccount => "no_account",
            FailureKind::Timeout => "timeout",
            FailureKind::Refused => "refused",
            FailureKind::RateLimited => "rate_limited",
            FailureKind::NotSupported => "not_supported",
            FailureKind::NotPermitted => "not_permitted",
            FailureKind::Internal => "internal",
        }
    }
}

/// How an account stands; the word is the same in Rust, Lua, config, HTTP and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No browser, by wish.
    Stopped,
    /// Browser and page are on their way.
    Starting,
    /// A QR code waits to be scanned.
    Qr,
    /// Scanned; keys are being exchanged.
    Pairing,
    /// Linked; chats are being loaded.
    Syncing,
    /// A round trip through the page was proven.
    Ready,
    /// Linked, without connection to WhatsApp.
    Disconnected,
    /// The budget of QR codes is spent.
    Unpaired,
    /// The phone has removed this device.
    LoggedOut,
    /// WhatsApp or a person must act first.
    Blocked,
    /// Given up; the reason says why.
    Failed,
}

impl State {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Starting => "starting",
            State::Qr => "qr",
            State::Pairing => "pairing",
            State::Syncing => "syncing",
            State::Ready => "ready",
            State::Disconnected => "disconnected",
            State::Unpaired => "unpaired",
            State::LoggedOut => "logged_out",
            State::Blocked => "blocked",
            State::Failed => "failed",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
