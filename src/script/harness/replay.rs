//! Events that really happened, played in a test.
//!
//! In: a file that `wharf record` wrote, beside the script. Out: its events, one after the other, as if they happened now. Must not
//! read a file outside of the script's folder.

use std::path::{Component, Path};

use serde_json::{Map, Value};

use crate::event::{Kind, Origin};
use crate::script::world::World;

use super::bot::{Bot, wrong};

/// Bytes of a file.
const LARGEST: u64 = 4 * 1024 * 1024;

impl Bot {
    /// `bot:replay("fixtures/orders.json")`
    pub(super) async fn replay(&self, file: &str) -> mlua::Result<()> {
        let inside = Path::new(file)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !inside || file.is_empty() {
            return Err(wrong(format!(
                "bot:replay: '{file}' is not in the folder of the script"
            )));
        }
        let path = self.folder.join(file);
        let cannot = |why: String| wrong(format!("bot:replay: {file}: {why}"));
        let size = std::fs::metadata(&path)
            .map_err(|error| cannot(error.to_string()))?
            .len();
        if size > LARGEST {
            return Err(cannot(format!("it has {size} bytes; at most {LARGEST} are read")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
        let events: Vec<Map<String, Value>> =
            serde_json::from_str(&text).map_err(|error| cannot(format!("it is no list of events: {error}")))?;
        for (at, event) in events.into_iter().enumerate() {
            self.play(event)
                .await
                .map_err(|error| cannot(format!("event {}: {error}", at + 1)))?;
        }
        Ok(())
    }

    async fn play(&self, mut event: Map<String, Value>) -> mlua::Result<()> {
        let name = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::parse(name).ok_or_else(|| wrong(format!("there is no event '{name}'")))?;
        let account = event
            .get("account")
            .and_then(Value::as_str)
            .map(|id| self.world.known_account(id));
        let Some(Value::Object(mut data)) = event.remove("data") else {
            return Err(wrong("it has no data"));
        };
        let now = self.world.now();
        // It happens now: old messages reach few handlers.
        if let Some(time) = data.get_mut("timestamp") {
            *time = Value::from(now);
        }
        self.happen(kind, account, now, Origin::Live, data).await
    }
}
