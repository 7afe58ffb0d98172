//! The fields of a message.
//!
//! In: nothing. Out: their names. Must not import another room.

/// The fields of a message's `data`.
pub const MESSAGE_FIELDS: &[&str] = &[
    "id",
    "chat",
    "from",
    "to",
    "author",
    "sender",
    "from_me",
    "source",
    "type",
    "body",
    "caption",
    "media",
    "quoted",
    "mentions",
    "timestamp",
    "ack",
];
