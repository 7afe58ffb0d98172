//! Filters of handlers, evaluated here so that a handler that does not match costs no Lua.
//!
//! In: the table given to `wharf.on`. Out: whether an event matches. Must not run Lua after the file has loaded.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::config;
use crate::event::Event;

use super::error::suggestion;
use super::jobs::OWNER;

/// The keys of a filter, and when an event passes each.
pub(crate) const KEYS: &[(&str, &str)] = &[
    ("account", "it is of this account, or of one in the list"),
    ("chat", "it belongs to this chat, or to one in the list"),
    ("from", "who wrote it has this id or phone number, or one in the list"),
    ("is_group", "its chat is a group (`true`), or is none (`false`)"),
    (
        "type",
        "the message is of this type, such as `chat` or `image`, or of one in the list",
    ),
    (
        "match",
        "its text (or caption) starts with this, or with one in the list; capitals do not matter",
    ),
    (
        "max_age",
        "the message is not older than this: `\"2h\"`, seconds, or `\"any\"`; ten minutes if not said",
    ),
];

/// The age above which a handler gets a message only if its filter says `max_age`.
pub(crate) const DEFAULT_MAX_AGE: Duration = Duration::from_secs(600);

/// Which events a handler gets, beside their name. Absent keys match everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Jobs go to the script that made them.
    owner: Option<String>,
    account: Option<Vec<String>>,
    chat: Option<Vec<String>>,
    from: Option<Vec<String>>,
    is_group: Option<bool>,
    kind: Option<Vec<String>>,
    starts: Option<Vec<String>>,
    max_age: Option<Age>,
}

/// How old a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// At most this.
    Within(Duration),
    /// As old as it likes.
    Any,
}

impl Filter {
    /// Reads a filter from a table.
    ///
    /// # Errors
    /// A sentence that names the key, and the one that was probably meant.
    pub(crate) fn parse(table: &Value) -> Result<Self, String> {
        let mut filter = Self::default();
        let entries = match table {
            Value::Object(entries) => entries,
            Value::Array(list) if list.is_empty() => return Ok(filter),
            other => {
                return Err(format!(
                    "a filter is a table such as {{ is_group = false }}, not {other}"
                ));
            }
        };
        for (key, value) in entries {
            match key.as_str() {
                "account" => filter.account = Some(texts(key, value)?),
                "chat" => filter.chat = Some(texts(key, value)?),
                "from" => filter.from = Some(texts(key, value)?),
                "type" => filter.kind = Some(texts(key, value)?),
                "match" => filter.starts = Some(texts(key, value)?.iter().map(|text| text.to_lowercase()).collect()),
                "is_group" => {
                    let value = value
                        .as_bool()
                        .ok_or_else(|| format!("filter 'is_group' is true or false, not {value}"))?;
                    filter.is_group = Some(value);
                }
                "max_age" => filter.max_age = Some(age(value)?),
                other => {
                    return Err(format!(
                        "no filter '{other}'{}",
                        suggestion(other, KEYS.iter().map(|(key, _)| *key))
                    ));
                }
            }
        }
        Ok(filter)
    }

    /// The same, for the jobs of one script.
    pub(crate) fn of_script(self, name: &str) -> Self {
        Self {
            owner: Some(name.to_owned()),
            ..self
        }
    }

    /// Whether the event passes, leaving its age aside.
    pub(crate) fn matches(&self, event: &Event) -> bool {
        let chat = event.chat();
        self.owner.as_ref().is_none_or(|owner| event.text(OWNER) == Some(owner))
            && among(&self.account, event.account.as_ref().map(|id| id.as_str()))
            && among(&self.chat, chat)
            && self
                .from
                .as_ref()
                .is_none_or(|wanted| writers(event).any(|writer| wanted.iter().any(|w| w == writer)))
            && self
                .is_group
                .is_none_or(|wanted| chat.is_some_and(|chat| is_group(chat) == wanted))
            && among(&self.kind, event.text("type"))
            && self.starts.as_ref().is_none_or(|wanted| {
                let text = event
                    .text("body")
                    .or_else(|| event.text("caption"))
                    .unwrap_or_default()
                    .to_lowercase();
                wanted.iter().any(|start| text.starts_with(start))
            })
    }

    /// Whether the event is young enough at `now`; only messages have an age.
    pub(crate) fn young_enough(&self, event: &Event, now: i64) -> bool {
        if !event.event.is_message() {
            return true;
        }
        let written = event
            .data
            .get("timestamp")
            .and_then(Value::as_i64)
            .unwrap_or(event.timestamp);
        match self.max_age.unwrap_or(Age::Within(DEFAULT_MAX_AGE)) {
            Age::Any => true,
            Age::Within(limit) => {
                i128::from(now) - i128::from(written) <= i128::try_from(limit.as_millis()).unwrap_or(i128::MAX)
            }
        }
    }
}

/// Whether a chat id is a group's.
pub(crate) fn is_group(chat: &str) -> bool {
    chat.ends_with("@g.us")
}

/// The ids and numbers by which the writer of an event can be named.
fn writers(event: &Event) -> impl Iterator<Item = &str> {
    let sender = event.data.get("sender").and_then(Value::as_object);
    let parts = ["id", "lid", "phone"]
        .into_iter()
        .filter_map(move |part| sender?.get(part)?.as_str());
    ["from", "author"]
        .into_iter()
        .filter_map(|field| event.text(field))
        .chain(parts)
}

fn among(wanted: &Option<Vec<String>>, value: Option<&str>) -> bool {
    wanted
        .as_ref()
        .is_none_or(|wanted| value.is_some_and(|value| wanted.iter().any(|w| w == value)))
}

fn texts(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let bad = || format!("filter '{key}' is a text or a list of texts, not {value}");
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().map(str::to_owned).ok_or_else(bad))
            .collect(),
        _ => Err(bad()),
    }
}

fn age(value: &Value) -> Result<Age, String> {
    match value {
        Value::String(text) if text == "any" => Ok(Age::Any),
        Value::String(text) => parse_duration(text).map(Age::Within),
        Value::Number(seconds) => seconds_of(seconds.as_f64().unwrap_or(-1.0)).map(Age::Within),
        other => Err(format!(
            "filter 'max_age' is \"any\", a time such as \"2h\" or seconds, not {other}"
        )),
    }
}

/// Reads `500ms`, `30s`, `5m`, `2h`, `3d`.
///
/// # Errors
/// A sentence that shows the forms.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    config::parse_duration(text).ok_or_else(|| format!("'{text}' is not a time; write 500ms, 30s, 5m, 2h or 3d"))
}

/// Seconds as Lua has them.
///
/// # Errors
/// If they are negative or no number.
pub(crate) fn seconds_of(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{seconds} is not a number of seconds"))
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let texts = [
            ("account", &self.account),
            ("chat", &self.chat),
            ("from", &self.from),
            ("type", &self.kind),
            ("match", &self.starts),
        ];
        for (key, values) in texts {
            if let Some(values) = values {
                parts.push(format!("{key}={}", values.join("|")));
            }
        }
        if let Some(value) = self.is_group {
            parts.push(format!("is_group={value}"));
        }
        match self.max_age {
            Some(Age::Any) => parts.push("max_age=any".to_owned()),
            Some(Age::Within(limit)) => parts.push(format!("max_age={limit:?}")),
            None => {}
        }
        if parts.is_empty() {
            Ok(())
        } else {
            write!(f, " {{{}}}", parts.join(", "))
        }
    }
}
