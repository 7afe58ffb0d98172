//! The vocabulary of actions: what a session can be asked to do, and how it answers.
//!
//! In: requests of scripts and of the HTTP API. Out: [`SendOrder`] with [`Sent`], [`ActOrder`], [`LookOrder`] with [`Found`],
//! and [`Failure`]. Must not import another room but the event vocabulary.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{AccountId, Message, Source};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Content {
    /// Plain text.
    Text {
        /// The text, at most 65,536 characters as WhatsApp counts them.
        text: String,
        /// Id of the message that it answers.
        quote: Option<String>,
        /// Ids that the text mentions.
        #[serde(default)]
        mentions: Vec<String>,
    },
    /// A file.
    File {
        /// Which.
        file: Box<File>,
        /// As what it is shown.
        shape: Shape,
        /// The text beside it, as long as a text may be.
        caption: Option<String>,
        /// Id of the message that it answers.
        quote: Option<String>,
    },
}

impl Content {
    /// The file that it carries.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        match self {
            Content::Text { .. } => None,
            Content::File { file, .. } => Some(file),
        }
    }
}

/// A file that messages carry; its bytes lie with the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// SHA-256 of its bytes, in small hex digits; names it.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// Its type, such as `image/png`.
    pub mimetype: String,
    /// Its name, if it has one.
    pub filename: Option<String>,
}

/// As what a file is shown in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// A picture.
    Image,
    /// A film.
    Video,
    /// Sound, as a file.
    Audio,
    /// Sound, as if it was spoken just now.
    Voice,
    /// Any file, to be saved.
    Document,
    /// A sticker; WhatsApp takes WebP.
    Sticker,
}

impl Shape {
    /// All, by the words that scripts use.
    pub const ALL: [(&'static str, Shape); 6] = [
        ("image", Shape::Image),
        ("video", Shape::Video),
        ("audio", Shape::Audio),
        ("voice", Shape::Voice),
        ("document", Shape::Document),
        ("sticker", Shape::Sticker),
    ];

    /// As what a file of this type is shown if nobody says.
    #[must_use]
    pub fn of(mimetype: &str) -> Self {
        match mimetype.split(['/', ';']).next() {
            Some("image") if !mimetype.starts_with("image/svg") => Shape::Image,
            Some("video") => Shape::Video,
            Some("audio") => Shape::Audio,
            _ => Shape::Document,
        }
    }
}

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

/// Something done to a message or a chat that may be done twice without harm, so that nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Act {
    /// Puts a reaction on a message, in the place of the account's last one; an empty `emoji` takes it away.
    React {
        /// The message's id.
        message: String,
        /// One emoji, or nothing.
        emoji: String,
    },
    /// Writes an own message anew; WhatsApp allows it for 15 minutes.
    Edit {
        /// The message's id.
        message: String,
        /// What it says from now on.
        text: String,
    },
    /// Takes a message back for everybody: an own one, or as an admin any of a group.
    Revoke {
        /// The message's id.
        message: String,
    },
    /// Marks a chat as read, which its writers may see.
    Read {
        /// The chat.
        chat: String,
    },
    /// Shows that the account is typing.
    Typing {
        /// The chat.
        chat: String,
        /// For how long, in milliseconds.
        millis: u64,
    },
}

impl Act {
    /// The chat in which it is done: of a message's id (`true_CHAT_ID`) its middle.
    #[must_use]
    pub fn chat(&self) -> &str {
        match self {
            Act::React { message, .. } | Act::Edit { message, .. } | Act::Revoke { message } => {
                message.split('_').nth(1).unwrap_or_default()
            }
            Act::Read { chat } | Act::Typing { chat, .. } => chat,
        }
    }

    /// Whether others get something that counts as a message: then it waits for its turn as one.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(self, Act::React { .. } | Act::Edit { .. } | Act::Revoke { .. })
    }
}

/// An order to do an [`Act`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActOrder {
    /// With which account.
    pub account: AccountId,
    /// What.
    pub act: Act,
    /// How long it may wait for the account to be ready and for its turn; then it fails as `timeout`.
    pub patience: Duration,
}

/// A question about what an account knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Look {
    /// Who is behind an id or a phone number; answered by [`Found::Contact`].
    Contact {
        /// `…@c.us`, `…@lid`, or digits.
        id: String,
    },
    /// The chats, those where something happened last first; answered by [`Found::Chats`].
    Chats {
        /// Only those with unread messages.
        unread: bool,
        /// Only groups, or only others.
        groups: Option<bool>,
        /// At most so many.
        limit: usize,
    },
    /// Messages of a chat, oldest first; answered by [`Found::History`].
    History {
        /// The chat.
        chat: String,
        /// At most so many: the newest.
        limit: usize,
        /// Only those before the message of this id.
        before: Option<String>,
    },
}

/// An order to answer a [`Look`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookOrder {
    /// Of which account.
    pub account: AccountId,
    /// What is asked.
    pub look: Look,
    /// How long it may wait for the account to be ready.
    pub patience: Duration,
}

/// An order to fetch the file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownloadOrder {
    /// Of which account.
    pub account: AccountId,
    /// The message's id.
    pub message: String,
    /// How long it may wait for the account to be ready.
    pub patience: Duration,
}

/// The answer to a [`Look`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Found {
    /// Who it is; `None` if nobody on WhatsApp.
    Contact(Option<Contact>),
    /// The chats.
    Chats(Vec<Chat>),
    /// The messages.
    History(Vec<Message>),
}

/// A person or a business, as far as the account knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The id to write to.
    pub id: String,
    /// The phone number, digits only, if it is known.
    pub phone: Option<String>,
    /// The `@lid` id, if it is known.
    pub lid: Option<String>,
    /// The name in the address book, else the one that it chose.
    pub name: Option<String>,
    /// Whether it is a business account.
    pub business: bool,
}

/// A chat, as it stands in the list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chat {
    /// Its id.
    pub id: String,
    /// What stands above it.
    pub name: Option<String>,
    /// Unread messages; -1 where a person marked it unread.
    pub unread: i64,
    /// When something last happened in it, in milliseconds since 1970; 0 if not known.
    pub last: i64,
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
