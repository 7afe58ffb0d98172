//! The configuration as written: one struct per section, every key optional, unknown keys refused.
//!
//! In: TOML text. Out: [`File`], a layer of which `resolve` stacks several. Must not know defaults: those are in
//! `config.toml` alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use super::value::{Rate, SecretText, Size, Span};
use super::{Error, Place};
use crate::event::AccountId;

/// A table whose keys are not ours.
pub(super) type Free = BTreeMap<String, Spanned<toml::Value>>;

/// One layer of configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) data: Data,
    pub(super) backup: Backup,
    pub(super) log: Log,
    pub(super) admin: Admin,
    pub(super) whatsapp: Whatsapp,
    pub(super) browser: Browser,
    pub(super) accounts: Accounts,
    pub(super) account: BTreeMap<AccountId, Account>,
    pub(super) scripts: Scripts,
    pub(super) plugins: BTreeMap<String, Free>,
    pub(super) script: BTreeMap<String, Free>,
    pub(super) endpoint: BTreeMap<String, Spanned<Endpoint>>,
    pub(super) webhooks: Webhooks,
    pub(super) egress: Egress,
    pub(super) pacing: Pacing,
    pub(super) media: Media,
    pub(super) secrets: BTreeMap<String, Spanned<SecretText>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Media {
    pub(super) max: Option<Spanned<Size>>,
    pub(super) keep: Option<Spanned<Span>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Data {
    pub(super) dir: Option<PathBuf>,
    pub(super) cache: Option<Spanned<Size>>,
    pub(super) journal_keep: Option<Spanned<Span>>,
    pub(super) journal_max: Option<Spanned<Size>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Backup {
    pub(super) every: Option<Spanned<Span>>,
    pub(super) keep: Option<Spanned<usize>>,
    pub(super) dir: Option<PathBuf>,
    pub(super) passphrase: Option<Spanned<SecretText>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<Spanned<String>>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) enabled: Option<bool>,
    pub(super) listen: Option<Spanned<SocketAddr>>,
    pub(super) hosts: Option<Vec<Spanned<String>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Whatsapp {
    pub(super) url: Option<Spanned<String>>,
    pub(super) library: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BrowserKind {
    Auto,
    Shell,
    Chromium,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Browser {
    pub(super) executable: Option<PathBuf>,
    pub(super) kind: Option<BrowserKind>,
    pub(super) sandbox: Option<bool>,
    pub(super) snapshot_interval: Option<Spanned<(Span, Span)>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Accounts {
    pub(super) max: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Account {
    pub(super) name: Option<String>,
    pub(super) webhook_url: Option<Spanned<String>>,
    pub(super) webhook_secret: Option<Spanned<SecretText>>,
    pub(super) browser: Option<BrowserKind>,
    pub(super) pacing: Option<Pacing>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Scripts {
    pub(super) dir: Option<PathBuf>,
    pub(super) plugins: Option<PathBuf>,
    pub(super) order: Option<Vec<String>>,
    pub(super) cpu: Option<Spanned<Span>>,
    pub(super) wall: Option<Spanned<Span>>,
    pub(super) gate_wall: Option<Spanned<Span>>,
    pub(super) load: Option<Spanned<Span>>,
    pub(super) memory: Option<Spanned<Size>>,
    pub(super) patience: Option<Span>,
    pub(super) quiet: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Endpoint {
    /// Must be set in one of the layers.
    pub(super) url: Option<Spanned<String>>,
    pub(super) secret: Option<Spanned<SecretText>>,
    pub(super) headers: BTreeMap<String, Spanned<SecretText>>,
    pub(super) timeout: Option<Spanned<Span>>,
    pub(super) in_flight: Option<Spanned<usize>>,
    pub(super) rate: Option<Spanned<Rate>>,
    pub(super) ordering: Option<Ordering>,
    pub(super) ca: Option<Spanned<PathBuf>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ordering {
    Chat,
    Strict,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Webhooks {
    pub(super) timeout: Option<Spanned<Span>>,
    pub(super) retries: Option<Vec<Span>>,
    pub(super) in_flight: Option<Spanned<usize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Egress {
    pub(super) allow: Option<Vec<IpNet>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pacing {
    pub(super) enabled: Option<bool>,
    pub(super) per_chat: Option<Span>,
    pub(super) per_minute: Option<Spanned<u32>>,
    pub(super) waiting: Option<usize>,
}

impl File {
    /// Reads a layer; an error says where and, for a misspelt key, what was probably meant.
    pub(super) fn parse(text: &str, name: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            let place = Place {
                file: name.to_owned(),
                line,
            };
            Error::Invalid {
                place,
                message: plainly(&with_suggestion(error.message())),
            }
        })
    }
}

/// The line, counted from 1, of a byte of the text.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|b| *b == b'\n').count() + 1
}

/// Rust's names of types are not everybody's.
fn plainly(message: &str) -> String {
    let whole = ["usize", "u64", "u32", "u16", "i64"];
    whole.iter().fold(message.to_owned(), |message, name| {
        message.replace(&format!("expected {name}"), "expected a whole number")
    })
}

/// Turns serde's "unknown field `a`, expected one of `b`, `c`" into a sentence with the nearest name.
fn with_suggestion(message: &str) -> String {
    let Some(rest) = message.strip_prefix("unknown field ") else {
        return message.to_owned();
    };
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let Some(wrong) = quoted.next() else {
        return message.to_owned();
    };
    let known: Vec<&str> = quoted.collect();
    let near = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)));
    match near {
        Some(near) if strsim::jaro_winkler(wrong, near) > 0.75 => {
            format!("no key `{wrong}`; did you mean `{near}`?")
        }
        _ => format!("no key `{wrong}`; there are {}", known.join(", ")),
    }
}
