//! From layers as written to the configuration in force: environment over file over the embedded defaults.
//!
//! In: [`File`] layers. Out: [`Config`], or an [`Error`] that names file and line. A value is checked here once, so that no
//! room needs to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use toml::Spanned;

use super::file::{self, File, Free, LogFormat, line_of};
use super::resolved::{
    Accounts, Admin, Backup, Browser, BrowserKind, Config, Data, Egress, Log, Media, Pacing, Scripts, Secret, Webhooks,
    Whatsapp,
};
use super::value::{SecretText, Span};
use super::{Error, Place, endpoint};

/// A layer with what is needed to say where a value stands.
pub(super) struct Layer {
    pub(super) name: PathBuf,
    pub(super) text: String,
    pub(super) file: File,
    /// A variable of the environment has one line, so its number says nothing.
    pub(super) has_lines: bool,
}

impl Layer {
    pub(super) fn parse(name: &Path, text: String) -> Result<Self, Error> {
        let file = File::parse(&text, name)?;
        Ok(Self {
            name: name.to_owned(),
            text,
            file,
            has_lines: true,
        })
    }

    pub(super) fn refuse<T>(&self, value: &Spanned<T>, message: impl Into<String>) -> Error {
        let line = self.has_lines.then(|| line_of(&self.text, value.span().start));
        Error::Invalid {
            place: Place {
                file: self.name.clone(),
                line,
            },
            message: message.into(),
        }
    }

    pub(super) fn secret(&self, text: &Spanned<SecretText>) -> Result<Secret, Error> {
        text.get_ref().resolve().map_err(|message| self.refuse(text, message))
    }
}

/// Finds a key in the first layer that has it, with that layer.
macro_rules! pick {
    ($layers:expr, $section:ident . $key:ident) => {
        $layers
            .iter()
            .find_map(|layer| layer.file.$section.$key.as_ref().map(|value| (layer, value)))
            .expect(concat!(
                "config.toml sets ",
                stringify!($section),
                ".",
                stringify!($key)
            ))
    };
}

/// The same, checked: the condition must hold for the value.
macro_rules! checked {
    ($layers:expr, $section:ident . $key:ident, $ok:expr, $message:expr) => {{
        let (layer, value) = pick!($layers, $section.$key);
        if !$ok(value.get_ref()) {
            return Err(layer.refuse(value, $message));
        }
        value.get_ref()
    }};
}

fn some_time(span: &Span) -> bool {
    !span.0.is_zero()
}

/// Stacks `layers`, the strongest first; relative paths start at `base`.
pub(super) fn resolve(layers: &[Layer], base: &Path) -> Result<Config, Error> {
    let at = |path: &Path| {
        if path.is_absolute() {
            path.to_owned()
        } else {
            base.join(path)
        }
    };
    let webhooks = webhooks(layers)?;
    switches(layers)?;
    let plugins = tables(layers, |file| &file.plugins);
    let enabled = plugins
        .iter()
        .filter(|(_, table)| table.get("enabled") != Some(&Value::Bool(false)));
    let enabled = enabled.map(|(name, _)| name.clone()).collect();
    let plugins = plugins.into_iter().map(|(name, mut table)| {
        table.remove("enabled");
        (name, table)
    });
    Ok(Config {
        data: Data {
            dir: at(pick!(layers, data.dir).1),
            cache: checked!(
                layers,
                data.cache,
                |size: &super::value::Size| size.0 >= 1 << 20,
                "at least \"1MiB\""
            )
            .0,
            journal_keep: checked!(layers, data.journal_keep, some_time, "at least \"1s\"").0,
            journal_max: checked!(
                layers,
                data.journal_max,
                |size: &super::value::Size| size.0 >= 1 << 20,
                "at least \"1MiB\""
            )
            .0,
        },
        backup: backup(layers, &at)?,
        log: Log {
            level: checked!(
                layers,
                log.level,
                |text: &String| is_filter(text),
                "not a log filter; try \"info\" or \"info,wharf=debug\""
            )
            .clone(),
            json: *pick!(layers, log.format).1 == LogFormat::Json,
        },
        admin: admin(layers)?,
        whatsapp: Whatsapp {
            url: checked!(
                layers,
                whatsapp.url,
                |url: &String| is_http(url),
                "not an address: it starts with http:// or https://"
            )
            .clone(),
            library: at(pick!(layers, whatsapp.library).1),
        },
        browser: browser(layers)?,
        accounts: Accounts {
            max: *pick!(layers, accounts.max).1,
        },
        scripts: scripts(layers, &at, enabled)?,
        plugins: plugins.collect(),
        script: tables(layers, |file| &file.script),
        endpoint: endpoint::endpoints(layers, &webhooks, &at)?,
        egress: Egress {
            allow: pick!(layers, egress.allow).1.clone(),
        },
        account: endpoint::accounts(layers)?,
        pacing: pacing(layers)?,
        media: media(layers)?,
        secrets: secrets(layers)?,
        webhooks,
    })
}

fn is_filter(text: &str) -> bool {
    !text.is_empty() && text.parse::<tracing_subscriber::EnvFilter>().is_ok()
}

pub(super) fn is_http(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some())
}

fn admin(layers: &[Layer]) -> Result<Admin, Error> {
    let listen = checked!(
        layers,
        admin.listen,
        |address: &std::net::SocketAddr| address.ip().is_loopback(),
        "the admin listens on loopback addresses only; put a reverse proxy with TLS before it"
    );
    Ok(Admin {
        enabled: *pick!(layers, admin.enabled).1,
        listen: *listen,
        hosts: hosts(layers)?,
    })
}

pub(super) fn kind(written: file::BrowserKind) -> BrowserKind {
    match written {
        file::BrowserKind::Auto => BrowserKind::Auto,
        file::BrowserKind::Shell => BrowserKind::Shell,
        file::BrowserKind::Chromium => BrowserKind::Chromium,
    }
}

/// Names as browsers send them in `Host`: another form would never match.
fn hosts(layers: &[Layer]) -> Result<Vec<String>, Error> {
    let (layer, hosts) = pick!(layers, admin.hosts);
    let checked = hosts.iter().map(|written| {
        let text = written.get_ref();
        let absolute = if text.contains("://") {
            text.clone()
        } else {
            format!("http://{text}")
        };
        let url = url::Url::parse(&absolute).ok();
        let meant = url.as_ref().and_then(|url| {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            Some(format!("{}{port}", url.host_str().filter(|host| !host.contains('*'))?))
        });
        match meant {
            Some(meant) if meant.eq_ignore_ascii_case(text) => Ok(text.clone()),
            Some(meant) => Err(layer.refuse(written, format!("not a host name; did you mean `{meant}`?"))),
            None => Err(layer.refuse(
                written,
                "not a host name; write each one out, such as \"wharf.example.com\" or \"wharf.example.com:8443\"",
            )),
        }
    });
    checked.collect()
}

/// A plugin is switched by a truth value alone: `\"false\"` is a text, and one that reads as no would have meant yes.
fn switches(layers: &[Layer]) -> Result<(), Error> {
    for layer in layers {
        for table in layer.file.plugins.values() {
            let Some(enabled) = table.get("enabled").filter(|value| !value.get_ref().is_bool()) else {
                continue;
            };
            return Err(layer.refuse(enabled, "`enabled` is true or false, without quotes"));
        }
    }
    Ok(())
}

fn browser(layers: &[Layer]) -> Result<Browser, Error> {
    let interval = checked!(
        layers,
        browser.snapshot_interval,
        |(short, long): &(Span, Span)| short.0 <= long.0,
        "the first time must not be longer than the second"
    );
    Ok(Browser {
        executable: layers.iter().find_map(|layer| layer.file.browser.executable.clone()),
        kind: kind(*pick!(layers, browser.kind).1),
        sandbox: *pick!(layers, browser.sandbox).1,
        snapshot_interval: (interval.0.0, interval.1.0),
    })
}

fn scripts(layers: &[Layer], at: &dyn Fn(&Path) -> PathBuf, enabled: Vec<String>) -> Result<Scripts, Error> {
    let must = "must be longer than no time at all";
    let memory = |size: &super::value::Size| size.0 >= 1 << 20;
    Ok(Scripts {
        dir: at(pick!(layers, scripts.dir).1),
        plugins: at(pick!(layers, scripts.plugins).1),
        order: pick!(layers, scripts.order).1.clone(),
        enabled,
        cpu: checked!(layers, scripts.cpu, some_time, must).0,
        wall: checked!(layers, scripts.wall, some_time, must).0,
        gate_wall: checked!(layers, scripts.gate_wall, some_time, must).0,
        load: checked!(layers, scripts.load, some_time, must).0,
        memory: checked!(layers, scripts.memory, memory, "a VM needs at least \"1MiB\"").0,
        patience: pick!(layers, scripts.patience).1.0,
        quiet: pick!(layers, scripts.quiet).1.0,
    })
}

fn webhooks(layers: &[Layer]) -> Result<Webhooks, Error> {
    Ok(Webhooks {
        timeout: checked!(layers, webhooks.timeout, endpoint::is_timeout, endpoint::TIMEOUT).0,
        retries: pick!(layers, webhooks.retries).1.iter().map(|span| span.0).collect(),
        in_flight: *checked!(
            layers,
            webhooks.in_flight,
            |n: &usize| (1..=4096).contains(n),
            "1 to 4096"
        ),
    })
}

fn per_minute<'a>(layer: &Layer, written: &'a Spanned<u32>) -> Result<&'a u32, Error> {
    if *written.get_ref() == 0 {
        return Err(layer.refuse(written, "at least 1 message a minute; to stop an account, stop it"));
    }
    Ok(written.get_ref())
}

fn backup(layers: &[Layer], at: &dyn Fn(&Path) -> PathBuf) -> Result<Backup, Error> {
    let (layer, span) = pick!(layers, backup.every);
    let every = span.get_ref().0;
    if !every.is_zero() && every < Duration::from_secs(60) {
        return Err(layer.refuse(span, "at least \"1m\", or \"0s\" for never"));
    }
    let dir = layers.iter().find_map(|layer| layer.file.backup.dir.as_deref());
    let passphrase = layers
        .iter()
        .find_map(|layer| layer.file.backup.passphrase.as_ref().map(|text| (layer, text)));
    Ok(Backup {
        every: (!every.is_zero()).then_some(every),
        keep: *checked!(layers, backup.keep, |keep: &usize| *keep > 0, "at least 1"),
        dir: dir.map(at),
        passphrase: passphrase.map(|(layer, text)| layer.secret(text)).transpose()?,
    })
}

fn media(layers: &[Layer]) -> Result<Media, Error> {
    const MOST: u64 = 100 << 20;
    let fits = |size: &super::value::Size| (1 << 10..=MOST).contains(&size.0);
    let day = |span: &Span| span.0 >= Duration::from_secs(24 * 60 * 60);
    Ok(Media {
        max: checked!(layers, media.max, fits, "from \"1KiB\" to \"100MiB\"").0,
        // A message that waits for its account must still find its file.
        keep: checked!(layers, media.keep, day, "at least \"24h\"").0,
    })
}

fn pacing(layers: &[Layer]) -> Result<Pacing, Error> {
    let (layer, minute) = pick!(layers, pacing.per_minute);
    Ok(Pacing {
        enabled: *pick!(layers, pacing.enabled).1,
        per_chat: pick!(layers, pacing.per_chat).1.0,
        per_minute: *per_minute(layer, minute)?,
        waiting: *pick!(layers, pacing.waiting).1,
    })
}

pub(super) fn own_pacing(layers: &[Layer], own: &[(&Layer, &file::Pacing)]) -> Result<Pacing, Error> {
    let general = pacing(layers)?;
    let minute = own
        .iter()
        .find_map(|(layer, own)| own.per_minute.as_ref().map(|written| per_minute(layer, written)))
        .transpose()?;
    let enabled = own.iter().find_map(|(_, own)| own.enabled);
    let per_chat = own.iter().find_map(|(_, own)| own.per_chat);
    let waiting = own.iter().find_map(|(_, own)| own.waiting);
    Ok(Pacing {
        enabled: enabled.unwrap_or(general.enabled),
        per_chat: per_chat.map_or(general.per_chat, |span| span.0),
        per_minute: minute.copied().unwrap_or(general.per_minute),
        waiting: waiting.unwrap_or(general.waiting),
    })
}

fn secrets(layers: &[Layer]) -> Result<BTreeMap<String, Secret>, Error> {
    let mut all = BTreeMap::new();
    for layer in layers.iter().rev() {
        for (name, text) in &layer.file.secrets {
            all.insert(name.clone(), layer.secret(text)?);
        }
    }
    Ok(all)
}

/// Free-form tables: a stronger layer replaces single keys of a weaker one.
fn tables(layers: &[Layer], of: impl Fn(&File) -> &BTreeMap<String, Free>) -> BTreeMap<String, Map<String, Value>> {
    let mut all: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for layer in layers.iter().rev() {
        for (name, table) in of(&layer.file) {
            let merged = all.entry(name.clone()).or_default();
            for (key, value) in table {
                merged.insert(key.clone(), json(value.get_ref()));
            }
        }
    }
    all
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(yes) => (*yes).into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
        }
    }
}
