//! `plugin.toml`: what a plugin is, what it may do, what it uses, how it is configured.
//!
//! In: the file's text, and the plugin's table of `config.toml`. Out: [`Manifest`], and the configuration with defaults
//! filled in and types checked. Must not read files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::api;
use super::error::suggestion;
use super::filter::parse_duration;
use super::permissions::{Declared, Permissions};
use super::vm::Limits;

/// The version of the `wharf` API that this program has.
pub(crate) const API: u32 = 1;

/// A plugin's manifest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// Its name, which its folder has as well.
    pub(crate) name: String,
    /// As its author counts.
    pub(crate) version: String,
    /// What it is for.
    pub(crate) description: String,
    /// What it may do.
    pub(crate) permissions: Permissions,
    limits: LowerLimits,
    config: BTreeMap<String, Field>,
}

/// A manifest or a configuration that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ManifestError {
    /// The line in `plugin.toml`, if it is about one.
    pub(crate) line: Option<u32>,
    /// What is wrong.
    pub(crate) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    version: String,
    api: u32,
    #[serde(default)]
    description: String,
    #[serde(default)]
    permissions: Declared,
    #[serde(default)]
    limits: WrittenLimits,
    #[serde(default)]
    config: BTreeMap<String, Field>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLimits {
    memory: Option<String>,
    cpu: Option<String>,
    wall: Option<String>,
}

#[derive(Clone, Debug, Default)]
struct LowerLimits {
    memory: Option<usize>,
    cpu: Option<Duration>,
    wall: Option<Duration>,
}

/// One setting of a plugin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Field {
    #[serde(rename = "type")]
    kind: FieldType,
    default: Option<Value>,
    #[serde(default)]
    required: bool,
    /// For people; `wharf check` and editors show it.
    #[serde(default)]
    #[expect(dead_code, reason = "read by people in the file")]
    description: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FieldType {
    String,
    Number,
    Integer,
    Boolean,
    List,
    Table,
    Any,
}

impl FieldType {
    fn holds(self, value: &Value) -> bool {
        match self {
            FieldType::String => value.is_string(),
            FieldType::Number => value.is_number(),
            FieldType::Integer => value.is_i64() || value.is_u64(),
            FieldType::Boolean => value.is_boolean(),
            FieldType::List => value.is_array(),
            FieldType::Table => value.is_object(),
            FieldType::Any => true,
        }
    }

    fn words(self) -> &'static str {
        match self {
            FieldType::String => "a string",
            FieldType::Number => "a number",
            FieldType::Integer => "a whole number",
            FieldType::Boolean => "true or false",
            FieldType::List => "a list",
            FieldType::Table => "a table",
            FieldType::Any => "anything",
        }
    }
}

impl Manifest {
    /// Reads the manifest of the plugin in the folder `folder`.
    ///
    /// # Errors
    /// With the line, if the text is at fault.
    pub(crate) fn parse(text: &str, folder: &str) -> Result<Self, ManifestError> {
        let written: Written = toml::from_str(text).map_err(|error| ManifestError {
            line: error.span().map(|span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let at = |key: &str, message: String| ManifestError {
            line: line_with(text, key),
            message,
        };
        if written.name != folder {
            return Err(at(
                "name",
                format!("the name is '{}', but the folder is '{folder}'", written.name),
            ));
        }
        if written.api != API {
            return Err(at(
                "api",
                format!("it was written for API {}; this wharf has {API}", written.api),
            ));
        }
        for event in &written.permissions.events {
            if !event.ends_with('*') && crate::event::Kind::parse(event).is_none() {
                let known = crate::event::names();
                return Err(at("events", format!("no event '{event}'{}", suggestion(event, known))));
            }
        }
        for action in &written.permissions.actions {
            if action != "*" && !api::actions().any(|known| known == action) {
                let hint = suggestion(action, api::actions());
                return Err(at("actions", format!("no action '{action}'{hint}")));
            }
        }
        let limits = &written.limits;
        let limits = LowerLimits {
            memory: limits
                .memory
                .as_deref()
                .map(parse_size)
                .transpose()
                .map_err(|text| at("memory", text))?,
            cpu: limits
                .cpu
                .as_deref()
                .map(parse_duration)
                .transpose()
                .map_err(|text| at("cpu", text))?,
            wall: limits
                .wall
                .as_deref()
                .map(parse_duration)
                .transpose()
                .map_err(|text| at("wall", text))?,
        };
        for (key, field) in &written.config {
            if let Some(default) = field.default.as_ref().filter(|default| !field.kind.holds(default)) {
                let words = field.kind.words();
                return Err(at(
                    key,
                    format!("the default of '{key}' must be {words}, not {default}"),
                ));
            }
        }
        Ok(Self {
            name: written.name,
            version: written.version,
            description: written.description,
            permissions: Permissions::Declared(written.permissions),
            limits,
            config: written.config,
        })
    }

    /// The limits that hold for it: its own, where they are lower.
    pub(crate) fn limits(&self, host: &Limits) -> Limits {
        Limits {
            memory: self.limits.memory.map_or(host.memory, |own| own.min(host.memory)),
            cpu: self.limits.cpu.map_or(host.cpu, |own| own.min(host.cpu)),
            wall: self.limits.wall.map_or(host.wall, |own| own.min(host.wall)),
            ..host.clone()
        }
    }

    /// Its configuration: `given` from `[plugins.NAME]`, checked, with the defaults filled in.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub(crate) fn configure(&self, name: &str, given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut config = Map::new();
        for (key, value) in given {
            // Whether a plugin runs at all is the host's business.
            if key == "enabled" && !self.config.contains_key(key) {
                continue;
            }
            let Some(field) = self.config.get(key) else {
                let hint = suggestion(key, self.config.keys().map(String::as_str));
                return Err(format!("[plugins.{name}] has no setting '{key}'{hint}"));
            };
            if !field.kind.holds(value) {
                return Err(format!(
                    "[plugins.{name}] {key} must be {}, not {value}",
                    field.kind.words()
                ));
            }
            config.insert(key.clone(), value.clone());
        }
        for (key, field) in &self.config {
            if config.contains_key(key) {
                continue;
            }
            match &field.default {
                Some(default) => {
                    config.insert(key.clone(), default.clone());
                }
                None if field.required => return Err(format!("[plugins.{name}] needs the setting '{key}'")),
                None => {}
            }
        }
        Ok(config)
    }
}

/// Reads `500KiB`, `32MB`, `64MiB`, `1GiB` or plain bytes.
fn parse_size(text: &str) -> Result<usize, String> {
    let bad = || format!("'{text}' is not a size; write 500KiB, 32MB or 64MiB");
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (amount, unit) = text.split_at(unit);
    let amount: usize = amount.trim().parse().map_err(|_| bad())?;
    let scale: usize = match unit.trim() {
        "" | "B" => 1,
        "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(bad()),
    };
    amount.checked_mul(scale).ok_or_else(bad)
}

fn line_of(text: &str, offset: usize) -> u32 {
    let before = text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

/// The first line that sets `key`.
fn line_with(text: &str, key: &str) -> Option<u32> {
    let at = text.lines().position(|line| {
        line.trim_start()
            .strip_prefix(key)
            .is_some_and(|rest| rest.trim_start().starts_with('='))
    });
    at.and_then(|at| u32::try_from(at + 1).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::permissions::List;

    const TEXT: &str = r#"name = "bot"
version = "0.1.0"
api = 1

[permissions]
events = ["message"]
endpoints = ["crm", "account:*"]

[limits]
memory = "1MiB"
wall = "5m"

[config]
model = { type = "string", default = "small" }
count = { type = "integer" }
"#;

    #[test]
    fn what_is_not_declared_is_not_permitted() {
        let manifest = Manifest::parse(TEXT, "bot").unwrap();
        let may = &manifest.permissions;
        let has = |list, name| may.allows(list, name);
        assert!(has(List::Events, "message") && !has(List::Events, "message.any"));
        assert!(has(List::Endpoints, "crm") && has(List::Endpoints, "account:sales") && !has(List::Endpoints, "other"));
        assert!(!may.allows(List::Actions, "reply") && !may.account("sales"));
    }

    #[test]
    fn limits_are_only_lowered() {
        let host = Limits {
            memory: 64 << 20,
            cpu: Duration::from_millis(100),
            wall: Duration::from_secs(60),
            gate_wall: Duration::from_secs(2),
            load: Duration::from_millis(200),
            patience: Duration::from_secs(600),
        };
        let limits = Manifest::parse(TEXT, "bot").unwrap().limits(&host);
        assert_eq!((limits.memory, limits.wall), (1 << 20, Duration::from_secs(60)));
    }

    #[test]
    fn settings_are_checked_and_defaults_filled_in() {
        let manifest = Manifest::parse(TEXT, "bot").unwrap();
        let given = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap();
        assert_eq!(
            manifest.configure("bot", &given("{}")).unwrap(),
            given(r#"{"model":"small"}"#)
        );
        let error = manifest.configure("bot", &given(r#"{"modle":"x"}"#)).unwrap_err();
        assert_eq!(error, "[plugins.bot] has no setting 'modle'; did you mean 'model'?");
        let error = manifest.configure("bot", &given(r#"{"count":1.5}"#)).unwrap_err();
        assert_eq!(error, "[plugins.bot] count must be a whole number, not 1.5");
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        let error = Manifest::parse(&TEXT.replace("api = 1", "api = 2"), "bot").unwrap_err();
        assert_eq!(error.line, Some(3));
        let error = Manifest::parse(&TEXT.replace("wall =", "wal ="), "bot").unwrap_err();
        assert_eq!(error.line, Some(11), "{error:?}");
        let actions = |names: &str| TEXT.replace("[permissions]", &format!("[permissions]\nactions = {names}"));
        Manifest::parse(&actions(r#"["reply", "send", "react", "forward"]"#), "bot").unwrap();
        let error = Manifest::parse(&actions(r#"["reactt"]"#), "bot").unwrap_err();
        assert_eq!(error.message, "no action 'reactt'; did you mean 'react'?");
        let error = Manifest::parse(&TEXT.replace("[\"message\"]", "[\"mesage\"]"), "bot").unwrap_err();
        assert_eq!(error.message, "no event 'mesage'; did you mean 'message'?");
    }
}
