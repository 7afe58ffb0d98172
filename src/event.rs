//! The vocabulary of events: names, envelope, message data.
//!
//! In: what sessions, scripts and the host have to report. Out: [`Event`], the one shape that journal, Lua, webhooks
//! and HTTP share. Must not import another room.
//!
//! All events stand in [`EVENTS`].

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod envelope;
mod fields;
mod names;

pub use fields::MESSAGE_FIELDS;
pub use names::{BadName, Names};

/// The envelope's `schema`.
pub const SCHEMA: &str = "wharf.v1";

/// The id of an account: `[a-z0-9][a-z0-9_-]{0,63}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(std::sync::Arc<str>);

impl AccountId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account id that does not follow the rule.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an account id: use 1 to 64 of a-z, 0-9, `_` and `-`, starting with a letter or a digit")]
pub struct BadAccountId(pub String);

impl std::str::FromStr for AccountId {
    type Err = BadAccountId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ok = text.len() <= 64
            && text.bytes().next().is_some_and(plain)
            && text.bytes().all(|c| plain(c) || c == b'_' || c == b'-');
        if ok {
            Ok(Self(text.into()))
        } else {
            Err(BadAccountId(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = BadAccountId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AccountId> for String {
    fn from(id: AccountId) -> Self {
        id.0.as_ref().to_owned()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for AccountId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// The name of an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One of [`EVENTS`].
    Named(&'static str),
    /// `job.NAME`, from a script's `later`.
    Job(String),
}

/// An event that a script may listen to.
#[derive(Debug)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// What it tells, for the reference page.
    pub meaning: &'static str,
    /// The fields that its `data` may have.
    pub fields: &'static [&'static str],
}

const fn named(name: &'static str, meaning: &'static str, fields: &'static [&'static str]) -> Named {
    Named { name, meaning, fields }
}

/// All events but `job.NAME`.
pub const EVENTS: &[Named] = &[
    named(
        "message",
        "a new message from somebody else; handlers of `message.any` get it as well",
        MESSAGE_FIELDS,
    ),
    named(
        "message.any",
        "every new message; as a name in the envelope: one of the account's own",
        MESSAGE_FIELDS,
    ),
    named(
        "message.ack",
        "a message of the account was sent, delivered, read",
        &["chat", "ids", "ack", "sender"],
    ),
    named(
        "account.qr",
        "a new QR code waits to be scanned (the event is without the code)",
        &["attempt", "expires_at"],
    ),
    named("account.authenticated", "the account was linked just now", &["phone"]),
    named(
        "account.ready",
        "the account can send and receive, proven by a round trip",
        &["phone"],
    ),
    named(
        "account.synced",
        "messages missed while away have been looked for",
        &["recovered", "truncated"],
    ),
    named(
        "account.disconnected",
        "the account was ready and is not any more",
        &["state", "reason"],
    ),
    named(
        "account.status",
        "any other change of state",
        &["state", "reason", "previous"],
    ),
    named(
        "account.degraded",
        "the in-page library lacks parts that wharf uses",
        &["missing"],
    ),
    named(
        "action.unknown",
        "a send was cut off and cannot be known to have happened",
        &["id", "chat", "source", "script", "event"],
    ),
    named(
        "action.stopped",
        "a message that a gate had queued was not sent, and why",
        &["chat", "source", "script", "event", "reason"],
    ),
    named(
        "script.error",
        "a handler failed",
        &[
            "script",
            "generation",
            "message",
            "advice",
            "file",
            "line",
            "excerpt",
            "event",
            "cause",
            "try",
        ],
    ),
    named(
        "script.reloaded",
        "a new version of a script is in force",
        &["script", "generation"],
    ),
    named(
        "script.suspended",
        "a script was stopped too often in a minute",
        &["script", "reason"],
    ),
    named(
        "script.skipped",
        "events that a script did not see, and why",
        &["script", "from", "to", "count", "reason"],
    ),
    named(
        "delivery.dead",
        "a delivery was given up, or `count` of one endpoint at once, of which `delivery` is the oldest",
        &["endpoint", "delivery", "reason", "count"],
    ),
    named("endpoint.disabled", "an endpoint answered 410", &["endpoint", "reason"]),
    named(
        "host.clock",
        "the machine's clock was set by more than 30 s, back if `jump_ms` is negative",
        &["jump_ms"],
    ),
    named("config.changed", "a new configuration is in force", &["sections"]),
];

/// The names of all events but `job.NAME`.
pub fn names() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().map(|event| event.name)
}

impl Kind {
    /// A new message from somebody else.
    pub const MESSAGE: Kind = Kind::Named("message");
    /// A new message of the account's own.
    pub const MESSAGE_ANY: Kind = Kind::Named("message.any");
    /// Acknowledgements of the account's own messages.
    pub const MESSAGE_ACK: Kind = Kind::Named("message.ack");

    /// Finds a name; `None` if there is no such event.
    #[must_use]
    pub fn parse(name: &str) -> Option<Kind> {
        if let Some(job) = name.strip_prefix("job.") {
            return (!job.is_empty()).then(|| Kind::Job(job.to_owned()));
        }
        names().find(|known| *known == name).map(Kind::Named)
    }

    /// Whether a handler registered for `wanted` gets events of this name.
    #[must_use]
    pub fn answers_to(&self, wanted: &Kind) -> bool {
        self == wanted || (*self == Kind::MESSAGE && *wanted == Kind::MESSAGE_ANY)
    }

    /// Whether it is a message, own or not.
    #[must_use]
    pub fn is_message(&self) -> bool {
        *self == Kind::MESSAGE || *self == Kind::MESSAGE_ANY
    }

    /// The field names that its `data` may have; `None` for jobs, whose data is the script's own.
    #[must_use]
    pub fn fields(&self) -> Option<&'static [&'static str]> {
        match self {
            Kind::Named(name) => EVENTS
                .iter()
                .find(|event| event.name == *name)
                .map(|event| event.fields),
            Kind::Job(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Named(name) => f.write_str(name),
            Kind::Job(name) => write!(f, "job.{name}"),
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        Kind::parse(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown event `{name}`")))
    }
}

/// Whether an event was seen as it happened or found later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Seen as it happened.
    Live,
    /// Found by a sweep.
    History,
}

/// What happened, before the journal has numbered it.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its name.
    pub event: Kind,
    /// Whose it is; `None` for the host's own.
    pub account: Option<AccountId>,
    /// When it happened, in milliseconds since 1970.
    pub timestamp: i64,
    /// Live or found by a sweep.
    pub origin: Origin,
    /// Its fields.
    pub data: Map<String, Value>,
}

/// The envelope, numbered by the journal; everywhere the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// `evt_` and a ULID, rising across restarts and clock jumps.
    pub id: String,
    /// Gap-free per account; the host's events count by themselves.
    pub seq: u64,
    /// Its name.
    pub event: Kind,
    /// Whose it is; `null` for the host's own.
    pub account: Option<AccountId>,
    /// When it happened, in milliseconds since 1970.
    pub timestamp: i64,
    /// Live or found by a sweep.
    pub origin: Origin,
    /// Its fields, by [`Kind::fields`].
    pub data: Map<String, Value>,
}

/// Who made one of the account's own messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A person, on the phone or another linked device.
    Phone,
    /// The HTTP API.
    Api,
    /// A script.
    Script,
}

/// Who wrote a message; parts that are not known are `null`, never guessed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// The id as WhatsApp gave it.
    pub id: String,
    /// The `@lid` id.
    pub lid: Option<String>,
    /// The phone number, digits only.
    pub phone: Option<String>,
    /// The name the sender chose.
    pub name: Option<String>,
}

/// The `data` of `message` and `message.any`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The message's id, as the library prints it.
    pub id: String,
    /// The chat: the address to answer to.
    pub chat: String,
    /// Who sent it.
    pub from: String,
    /// Whom it was sent to.
    pub to: String,
    /// In groups, who wrote it.
    pub author: Option<String>,
    /// Who wrote it, in parts.
    pub sender: Sender,
    /// Whether the account itself wrote it.
    pub from_me: bool,
    /// Who made it, if the account itself wrote it.
    pub source: Option<Source>,
    /// `chat` for text, else WhatsApp's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The text.
    pub body: Option<String>,
    /// The text beside a medium.
    pub caption: Option<String>,
    /// What is known of its medium, never the bytes.
    pub media: Option<Value>,
    /// The message that it answers.
    pub quoted: Option<Value>,
    /// Who is mentioned in it.
    #[serde(default)]
    pub mentions: Vec<String>,
    /// When it was written, in milliseconds since 1970.
    pub timestamp: i64,
    /// -1 error, 0 waiting, 1 sent, 2 delivered, 3 read, 4 played.
    pub ack: i64,
}
