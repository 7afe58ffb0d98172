//! What a script wants said: a text, or a file with a text beside it.
//!
//! In: the argument of `send` and `reply`. Out: the content of a message; a file that the script has made is kept before. Must not
//! send anything.

use mlua::{Table, Value};

use crate::action::{Content, File, Shape};
use crate::script::error::suggestion;
use crate::script::run::{Refusal, Run};

use super::account::MAX_ID;
use super::args::Args;
use super::file;

/// Longest text of a message, in characters as WhatsApp counts them (UTF-16).
const MAX_TEXT: usize = 65_536;
/// Bytes of all ids that a message mentions: a group of a thousand.
const MAX_MENTIONS: usize = 64 * 1024;

/// Reads it: a text, or a table with the text and more. `answers` is the message that `quote = true` means.
pub(crate) async fn content(run: &Run, args: &Args, what: &Value, answers: Option<&str>) -> Result<Content, Refusal> {
    let Value::Table(table) = what else {
        let plain = args.as_text("the text", what)?;
        fits(args, &plain)?;
        return Ok(text(plain, None, Vec::new()));
    };
    args.only(table, &["text", "file", "as", "quote", "mentions"])?;
    let quote = quote(args, table, answers)?;
    let mentions = match args.json_within("mentions", &args.field(Some(table), "mentions")?, MAX_MENTIONS)? {
        serde_json::Value::Null => Vec::new(),
        list => serde_json::from_value(list).map_err(|_| args.refuse("mentions must be a list of ids"))?,
    };
    let words = args.field(Some(table), "text")?;
    let given = args.field(Some(table), "file")?;
    let shape = args.field(Some(table), "as")?;
    if given.is_nil() {
        if !shape.is_nil() {
            return Err(args.refuse("as says how a file is shown, and there is no file"));
        }
        let words = args.as_text("text", &words)?;
        fits(args, &words)?;
        return Ok(text(words, quote, mentions));
    }
    if !mentions.is_empty() {
        return Err(args.refuse("mentions go with a text, not with a file"));
    }
    let caption = match words {
        Value::Nil => None,
        words => Some(args.as_text("text", &words)?),
    };
    if let Some(caption) = &caption {
        fits(args, caption)?;
    }
    let shape = match shape {
        Value::Nil => None,
        word => Some(shape_of(args, &args.as_text("as", &word)?)?),
    };
    let file = file::taken(run, args, &given).await?;
    Ok(Content::File {
        shape: shape.unwrap_or_else(|| Shape::of(&file.mimetype)),
        file: Box::new(file),
        caption,
        quote,
    })
}

fn quote(args: &Args, table: &Table, answers: Option<&str>) -> Result<Option<String>, Refusal> {
    let quote = match args.field(Some(table), "quote")? {
        Value::Nil | Value::Boolean(false) => None,
        Value::Boolean(true) => match answers {
            Some(id) => Some(id.to_owned()),
            None => return Err(args.refuse("quote must be the id of a message")),
        },
        other => Some(args.as_text("quote", &other)?),
    };
    if quote.as_ref().is_some_and(|id| id.len() > MAX_ID) {
        return Err(args.refuse(&format!("quote is longer than {MAX_ID} bytes")));
    }
    Ok(quote)
}

fn shape_of(args: &Args, word: &str) -> Result<Shape, Refusal> {
    let found = Shape::ALL.iter().find(|(name, _)| *name == word);
    found.map(|(_, shape)| *shape).ok_or_else(|| {
        let hint = suggestion(word, Shape::ALL.iter().map(|(name, _)| *name));
        args.refuse(&format!("a file cannot be shown as '{word}'{hint}"))
    })
}

/// Whether WhatsApp takes a text of this length.
pub(crate) fn fits(args: &Args, text: &str) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(args.refuse("the text is empty"));
    }
    let length = text.encode_utf16().count();
    if length > MAX_TEXT {
        return Err(args.refuse(&format!("the text has {length} characters; at most {MAX_TEXT} fit")));
    }
    Ok(())
}

/// A text.
pub(crate) fn text(text: String, quote: Option<String>, mentions: Vec<String>) -> Content {
    Content::Text { text, quote, mentions }
}

/// A file of a message of WhatsApp's type `kind`, shown as it was there.
pub(crate) fn forwarded(file: File, kind: &str, caption: Option<String>) -> Content {
    let word = if kind == "ptt" { "voice" } else { kind };
    let shape = Shape::ALL.iter().find(|(name, _)| *name == word);
    Content::File {
        shape: shape.map_or_else(|| Shape::of(&file.mimetype), |(_, shape)| *shape),
        file: Box::new(file),
        caption: caption.filter(|caption| !caption.is_empty()),
        quote: None,
    }
}
