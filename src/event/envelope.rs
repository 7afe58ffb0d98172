//! What an event says of itself: its chat, its order among others, its JSON.
//!
//! In: an [`Event`]. Out: parts of it. Must not import another room.

use serde_json::{Map, Value};

use super::{Event, Kind};

/// Bytes that the texts of an event may take in its JSON; what is longer is cut. The rest of an envelope is small, so that it
/// stays below the 256 KiB of a webhook's body.
pub(super) const TEXT_MAX: usize = 192 << 10;

impl Event {
    /// The chat that it belongs to, which orders it among others; `None` if it belongs to none.
    #[must_use]
    pub fn chat(&self) -> Option<&str> {
        self.data.get("chat").and_then(Value::as_str)
    }

    /// A text field of its data.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.data.get(field).and_then(Value::as_str)
    }

    /// The name of what orders it among others: its chat; without one, its account; without either, the host.
    #[must_use]
    pub fn lane(&self) -> String {
        let account = self.account.as_ref().map_or("", |id| id.as_str());
        format!("{account}/{}", self.chat().unwrap_or_default())
    }

    /// The envelope as it leaves wharf: body and caption, and the text of the message that it answers, are cut behind
    /// 192 KiB in all, and `data.truncated` says so. The journal has them whole.
    #[must_use]
    pub fn envelope(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        // The data of a job is the script's own.
        if let (Kind::Named(_), Some(data)) = (&self.event, value.get_mut("data").and_then(Value::as_object_mut)) {
            cut_texts(data);
        }
        value
    }

    /// The envelope as JSON, in one line: byte for byte what a script posts that posts the event itself.
    #[must_use]
    pub fn json(&self) -> String {
        // By way of a value, whose keys are sorted as those of a table are that comes out of Lua.
        self.envelope().to_string()
    }
}

fn cut_texts(data: &mut Map<String, Value>) {
    let (mut room, mut was_cut) = (TEXT_MAX, false);
    for path in [&["body"][..], &["caption"], &["quoted", "body"]] {
        let mut at = data.get_mut(path.first().copied().unwrap_or_default());
        for name in path.iter().skip(1) {
            at = at.and_then(|value| value.get_mut(name));
        }
        if let Some(Value::String(text)) = at {
            was_cut |= cut(text, &mut room);
        }
    }
    if was_cut {
        data.insert("truncated".to_owned(), Value::Bool(true));
    }
}

/// Cuts a text where its JSON is longer than the room that is left, between two characters; whether there was a need.
fn cut(text: &mut String, room: &mut usize) -> bool {
    for (at, char) in text.char_indices() {
        let bytes = in_json(char);
        if bytes > *room {
            text.truncate(at);
            // A shorter text that follows must not begin where this one ended.
            *room = 0;
            return true;
        }
        *room -= bytes;
    }
    false
}

/// Bytes of a character in JSON.
fn in_json(char: char) -> usize {
    match char {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        char if char < ' ' => 6,
        char => char.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Origin;

    fn event(data: &Value) -> Event {
        Event {
            schema: "wharf.v1".to_owned(),
            id: "evt_01ARYZ6S41TSV4RRFFQ69G5FAV".to_owned(),
            seq: 1,
            event: Kind::MESSAGE,
            account: None,
            timestamp: 1,
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap(),
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_two_characters_and_that_is_said() {
        // Three bytes each, and 192 KiB is a multiple of three: with one byte before them the last one does not fit.
        let long = format!("x{}", "€".repeat(65_536));
        let shown = event(&json!({ "body": long })).envelope();
        let body = shown["data"]["body"].as_str().unwrap();
        assert_eq!(body.len(), TEXT_MAX - 2);
        assert!(long.starts_with(body) && shown["data"]["truncated"] == true);
        let fits = event(&json!({ "body": "€".repeat(65_536) })).envelope();
        assert_eq!(fits["data"].get("truncated"), None);
        assert_eq!(fits["data"]["body"].as_str().unwrap().len(), TEXT_MAX);
    }

    #[test]
    fn whatever_is_in_the_texts_the_envelope_fits_into_a_body() {
        for char in ["\n", "\"", "\u{1}", "é", "😀", "a"] {
            let long = char.repeat(300_000 / char.len());
            let data = json!({ "body": null, "caption": long, "quoted": { "id": "Q", "body": long } });
            let text = event(&data).json();
            assert!(text.len() < 200 << 10, "{char:?}: {}", text.len());
            assert!(text.len() > 191 << 10, "{char:?}: {}", text.len());
            assert!(text.contains("\"truncated\":true"));
        }
    }

    #[test]
    fn the_data_of_a_job_is_left_alone() {
        let mut job = event(&json!({ "body": "x".repeat(200 << 10) }));
        job.event = Kind::Job("remind".to_owned());
        assert_eq!(job.envelope(), serde_json::to_value(&job).unwrap());
    }
}
