//! What an event says of itself: its chat, its order among others, its JSON.
//!
//! In: an [`Event`]. Out: parts of it. Must not import another room.

use serde_json::Value;

use super::Event;

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

    /// The envelope as JSON, in one line: byte for byte what a script posts that posts the event itself.
    #[must_use]
    pub fn json(&self) -> String {
        // By way of a value, whose keys are sorted as those of a table are that comes out of Lua.
        serde_json::to_value(self).unwrap_or_default().to_string()
    }
}
