//! What may be done twice, and what may be asked.
//!
//! In: requests of scripts. Out: [`ActOrder`], [`LookOrder`] with [`Found`], [`DownloadOrder`]. Must not hold anything that has to
//! happen once: that is a send.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{AccountId, Message};

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
    /// Its word, the same in Lua.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Act::React { .. } => "react",
            Act::Edit { .. } => "edit",
            Act::Revoke { .. } => "revoke",
            Act::Read { .. } => "read",
            Act::Typing { .. } => "typing",
        }
    }

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

impl Look {
    /// Its word, the same in Lua.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Look::Contact { .. } => "contact",
            Look::Chats { .. } => "chats",
            Look::History { .. } => "history",
        }
    }
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
