//! What the WhatsApp Web page and the server say to each other: JSON text frames on the WebSocket `/ws`.
//!
//! In: frames of the page, [`ToServer`]. Out: frames for the page, [`ToPage`]. The wire format is our own, because the
//! real one (Noise, Signal, binary XML) is not what is simulated; its *order* is the real one, as far as the notes say.
//! Must not hold state.
//!
//! The page opens with `hello`. Then one of four:
//!
//! * no device: `qr` (again at each rotation), after the last round `idle` until the page says `refresh`; when a phone has
//!   scanned: `pairing`, `paired`, `history`, `synced`;
//! * a device that is linked: `welcome`, an `item` for all that waited, `synced`;
//! * a device that is not linked any more: `unpaired`, and the socket is closed;
//! * a page that is not served: `block`, and the socket is closed.
//!
//! Everything that a device must get is an `item` with a number `n` that rises without end for that device. The page
//! stores it and says `got`; until then the server keeps it and sends it again on the next connection, so the page drops
//! an `n` that it has. `history` has such a number as well.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Round trips of acknowledgement as WhatsApp numbers them (library: `WAWebAck`, levels -1 to 4).
pub(super) mod ack {
    /// The server has it.
    pub(in crate::simulator) const SENT: i8 = 1;
    /// A device of the recipient has it.
    pub(in crate::simulator) const DELIVERED: i8 = 2;
    /// The recipient has seen it.
    pub(in crate::simulator) const READ: i8 = 3;
}

/// A frame of the page.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum ToServer {
    /// The first frame: who the page is, from its profile; `null` when it is not linked.
    Hello { device: Option<Device> },
    /// Codes again, after `idle` (library: `Cmd.refreshQR`).
    Refresh,
    /// The page has stored this item.
    Got { n: u64 },
    /// A message of this account. Answered by `sent` or `refused`. An id that comes twice is delivered twice (observed:
    /// the library has no guard either), but for what the page says it sends `again` by itself, because no answer came:
    /// that stands for the real server's check of ids.
    Send {
        message: Box<Message>,
        #[serde(default)]
        again: bool,
    },
    /// The account has seen these messages; with no `ids`, the whole chat.
    Read {
        chat: String,
        #[serde(default)]
        ids: Vec<String>,
    },
    /// Does something with a message that is there; answered by `answer` with `exists`: whether it was done.
    Change {
        #[serde(rename = "id")]
        question: u64,
        chat: String,
        message: String,
        change: Change,
    },
    /// The account is typing in this chat, or not any more. Not answered.
    Typing { chat: String, on: bool },
    /// A question; `what` is `exists`: is there an account with this `number`?
    Query { id: u64, what: String, number: String },
    /// The page unlinks itself (library: `conn.logout`).
    Logout,
}

/// A frame for the page.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum ToPage {
    /// A code to show: the page makes `ref,noisePub,identityPub,advSecret` of it. `ttl` in ms, `round` from 1.
    Qr {
        #[serde(rename = "ref")]
        reference: String,
        ttl: u64,
        round: u32,
    },
    /// No more codes until `refresh`.
    Idle,
    /// A phone has scanned the code.
    Pairing,
    /// The phone has agreed: keep this and come back with it.
    Paired { device: Device, me: Me },
    /// The chats of the phone at the moment of linking; nothing in it is new.
    History { n: u64, chats: Vec<Chat> },
    /// The device is known.
    Welcome { me: Me },
    /// Nothing older waits; what comes now is live.
    Synced,
    /// Something for this device.
    Item { n: u64, item: Item },
    /// The server has the message (ack 1); `t` in seconds is the time it counts.
    Sent { id: String, t: i64 },
    /// The server has not taken the message; `error` is a `SendMsgResult` of the library (`ERROR_NETWORK`, …).
    Refused { id: String, error: String },
    /// Answers `query` `id`.
    Answer {
        id: u64,
        exists: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        who: Option<Me>,
    },
    /// The server does not serve this page: the stream mode that it must go to; the socket closes after it.
    Block { mode: Barrier },
    /// The device is not linked any more; the socket closes after it.
    Unpaired,
    /// The same device has connected elsewhere; the socket closes after it.
    Conflict,
}

/// Why a page is not served (library: the enum `STREAM_MODE`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Barrier {
    /// The page is too old.
    DeprecatedVersion,
    /// The account has broken the terms, or must agree to new ones.
    TosBlock,
    /// The same for a business.
    SmbTosBlock,
    /// The network that the page comes from is not let in.
    Proxyblock,
}

/// What a page keeps in its profile to be known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Device {
    /// Its name for the server.
    pub(super) id: String,
    /// Proves it.
    pub(super) key: String,
}

/// An account, to itself or to somebody who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Me {
    /// Digits.
    pub(super) number: String,
    /// `NUMBER@c.us`.
    pub(super) wid: String,
    /// `…@lid`.
    pub(super) lid: String,
    /// The name that the owner chose.
    pub(super) name: String,
}

/// Something that a device gets once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Item {
    /// A message, of others or of another device of the account. `offline`: it waited while the device was away (the
    /// real server marks such stanzas `offline`).
    Message { message: Box<Message>, offline: bool },
    /// `sender` has messages `ids` of `chat` delivered (2) or read (3). In a group there is one for each member;
    /// `level` is then the message's own ack: the lowest of all.
    Receipt {
        chat: String,
        ids: Vec<String>,
        ack: i8,
        sender: String,
        level: i8,
        t: i64,
    },
    /// A group is new or has changed.
    Group { chat: Chat },
    /// A chat has changed: its unread count, its name. `messages` is empty.
    Chat { chat: Chat },
    /// `by` has done something with message `id` of `chat`.
    Change {
        chat: String,
        id: String,
        by: String,
        change: Change,
        t: i64,
    },
}

/// Something that is done with a message that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum Change {
    /// A reaction, in the place of the one before; an empty one takes it away.
    React { emoji: String },
    /// It says something else from now on.
    Edit { body: String },
    /// It is taken back for everybody.
    Revoke,
}

/// A message, as one account sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The raw id, hex; the same for all who have the message.
    pub(super) id: String,
    /// The chat of this account that it is in: `NUMBER@c.us` or `…@g.us`.
    pub(super) chat: String,
    /// Who sent it: the account, the other, or for another's message in a group the group (library: `MsgModel.from`).
    #[serde(default)]
    pub(super) from: String,
    /// Whom it goes to: the chat, or the account itself.
    #[serde(default)]
    pub(super) to: String,
    /// In a group, who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
    /// Whether this account wrote it.
    #[serde(default)]
    pub(super) from_me: bool,
    /// `chat` for text (library: `MSG_TYPE.CHAT`).
    #[serde(rename = "type", default = "text")]
    pub(super) kind: String,
    /// The text.
    #[serde(default)]
    pub(super) body: String,
    /// When, in seconds.
    #[serde(default)]
    pub(super) t: i64,
    /// The name that its writer chose (library: `notifyName`).
    #[serde(default)]
    pub(super) name: String,
    /// The message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) quoted: Option<Quoted>,
    /// Ids that its text mentions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mentions: Vec<String>,
    /// See [`ack`]; 0 is a message that no server has.
    #[serde(default)]
    pub(super) ack: i8,
    /// The file that it carries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media: Option<Medium>,
    /// The text beside the file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) caption: String,
    /// Reactions, by who gave them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) reactions: BTreeMap<String, String>,
    /// Whether it was written anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) edited: bool,
}

/// A file that a message carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Medium {
    /// Where the server has it: `/files/REFERENCE`.
    pub(super) reference: String,
    /// Its type.
    pub(super) mimetype: String,
    /// Its name, if it has one (library: documents have).
    #[serde(default)]
    pub(super) filename: Option<String>,
    /// Bytes.
    pub(super) size: u64,
    /// SHA-256 of its bytes, in base64 (library: `filehash`).
    pub(super) filehash: String,
}

fn text() -> String {
    "chat".to_owned()
}

/// A message that is answered by another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Quoted {
    /// Its raw id.
    pub(super) id: String,
    /// Its text.
    #[serde(default)]
    pub(super) body: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) author: Option<String>,
}

/// A chat of an account.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Chat {
    /// `NUMBER@c.us` or `…@g.us`.
    pub(super) id: String,
    /// `…@lid` of the other; not for groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lid: Option<String>,
    /// What the phone shows above it.
    pub(super) name: String,
    /// Messages that the account has not seen.
    pub(super) unread: u32,
    /// Whether it is a group.
    pub(super) group: bool,
    /// Members of a group, the account included.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) participants: Vec<Participant>,
    /// When it last changed, in seconds.
    pub(super) t: i64,
    /// Oldest first.
    pub(super) messages: Vec<Message>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Participant {
    /// `NUMBER@c.us`.
    pub(super) id: String,
    /// `…@lid`.
    pub(super) lid: String,
    /// The name that it chose.
    pub(super) name: String,
    /// Whether it may change the group.
    pub(super) admin: bool,
}
