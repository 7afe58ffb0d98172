//! What a message says: a text, or a file.
//!
//! In: what scripts and the HTTP API want said. Out: [`Content`], which is kept with a send until it is answered. Must not hold the
//! bytes of a file.

use serde::{Deserialize, Serialize};

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
