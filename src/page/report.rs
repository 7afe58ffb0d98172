//! What a tab tells and answers: plain values, no browser types.
//!
//! In: what `bridge` makes of the agent's JSON. Out: [`Report`], [`PageEvent`], [`PageStatus`] and the answers to the
//! calls of a tab. Must not know chromiumoxide.

use hyper::body::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Message;

/// Reports that may wait for the session; with more the tab reads no further and the agent's ring keeps the rest.
pub const REPORTS: usize = 1024;

/// What a tab tells by itself, in order.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all reports are of the large variant")]
pub enum Report {
    /// Something happened in the page. It stays in the agent's ring until `Tab::ack`, and may come again before.
    Event {
        /// Which document.
        page_id: String,
        /// Its number in that document, from 1, without gaps but those that [`PageEvent::Gap`] reports.
        page_seq: u64,
        /// What.
        event: PageEvent,
    },
    /// The browser exited, the tab crashed or the connection was lost: the last report, and it comes once.
    /// It does not come after `Tab::close`; then the channel just ends.
    Gone(String),
}

/// What happened in the page.
#[derive(Clone, Debug, PartialEq)]
pub enum PageEvent {
    /// A message, own ones too.
    Message {
        /// The message; `source` is not filled.
        message: Message,
        /// Its conversation, whichever of its ids WhatsApp uses just now: the number's where it is known, else its chat.
        canonical: String,
        /// False for what WhatsApp Web took from history.
        is_new: bool,
    },
    /// Own messages went further: 1 sent, 2 delivered, 3 read, 4 played. Failures (-1) are not reported here.
    Ack {
        /// The chat.
        chat: String,
        /// Which messages.
        ids: Vec<String>,
        /// How far.
        ack: i64,
        /// In groups, whose receipt it is; unknown for 1.
        sender: Option<String>,
    },
    /// A new QR text, or none any more.
    Qr(Option<String>),
    /// WhatsApp Web stopped making QR codes; `Tab::refresh_qr` starts again.
    QrIdle,
    /// A code was scanned and accepted. A link counts as kept only 10 s later.
    Authenticated,
    /// The state changed; only the agent's own knowledge, not a proof that anything answers.
    State(PageStatus),
    /// The link is gone; the page reloads itself soon.
    LoggedOut {
        /// WhatsApp's word for it, if it gave one.
        reason: Option<String>,
    },
    /// The ring was full, or the agent could not read what it was told: so many events before this one are lost and a
    /// sweep is needed.
    Gap {
        /// How many.
        dropped: u64,
    },
}

/// How the page stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PageStatus {
    /// The document's random id; empty if there is no agent in it.
    pub page_id: String,
    /// Its address.
    pub url: String,
    /// Whether it has WhatsApp Web's modules. False while they load, and for ever on any other page.
    pub recognised: bool,
    /// Whether the library has found WhatsApp Web's loader.
    pub injected: bool,
    /// Whether the library has all its hooks in place; also true while a QR code is shown.
    pub full_ready: bool,
    /// Whether the account is linked.
    pub authenticated: bool,
    /// `QR`, `SYNCING`, `MAIN`, `OFFLINE`, `CONFLICT`, `PROXYBLOCK`, `TOS_BLOCK`, `SMB_TOS_BLOCK`,
    /// `DEPRECATED_VERSION`.
    pub mode: Option<String>,
    /// `OFFLINE`, `OPENING`, `PAIRING`, `SYNCING`, `RESUMING`, `CONNECTING`, `NORMAL`.
    pub info: Option<String>,
    /// The socket's state, such as `UNPAIRED_IDLE` when no QR codes are made any more.
    pub socket: Option<String>,
    /// Whether WhatsApp Web asks for an update.
    pub needs_update: bool,
    /// The QR text that is shown just now.
    pub qr: Option<String>,
    /// Who is linked.
    pub me: Option<Me>,
    /// Functions of the library that wharf uses and that this build, or this page, lacks. Known 2 s after `full_ready`
    /// of a linked account; empty before.
    pub missing: Vec<String>,
    /// Why the browser could not load the page, if it could not. Not set where it was led to another site, to which a tab
    /// cannot go, as a network's sign-in page does it: that is a page which is not recognised.
    pub load_error: Option<String>,
}

impl PageStatus {
    /// Whether it is usable by the rule: all hooks, linked, and the stream in `MAIN`.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.full_ready && self.authenticated && self.mode.as_deref() == Some("MAIN")
    }
}

/// The linked account as WhatsApp knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Me {
    /// `NUMBER@c.us`
    pub id: String,
    /// The `@lid` id.
    pub lid: Option<String>,
    /// The number, digits only.
    pub phone: Option<String>,
    /// The name that others see.
    pub name: Option<String>,
}

/// Step one of a send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The chat where it will really go.
    pub chat: String,
    /// The id made for it there.
    pub message_id: String,
    /// The document that made it.
    pub page_id: String,
}

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Ordered {
    /// WhatsApp has it.
    Sent {
        /// 0 waiting in WhatsApp Web's own queue, 1 sent, and so on.
        ack: i64,
    },
    /// It was not sent and will not be.
    Refused {
        /// WhatsApp's or the library's word for it.
        reason: String,
    },
}

/// What the agent's table says of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// This document was never told to send it.
    NeverOrdered,
    /// It was told and there is no answer yet.
    Running,
    /// It was told, and this came of it.
    Answered(Ordered),
    /// The document is another than the one asked about; its table says nothing.
    OtherDocument,
}

/// A chat, as the sweep needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatSummary {
    /// Its id.
    pub id: String,
    /// The conversation, as in [`PageEvent::Message`].
    pub canonical: String,
    /// When something last happened in it, in milliseconds since 1970; 0 if not known.
    pub timestamp_ms: i64,
    /// Unread messages; -1 where a person marked it unread.
    pub unread: i64,
}

/// A file that a message carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// Its type.
    pub mimetype: String,
    /// Its name, if it has one.
    pub filename: Option<String>,
}

/// The format of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Lossless, larger.
    Png,
    /// Quality 70.
    Jpeg,
}
