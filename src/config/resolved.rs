//! The configuration as the rooms use it: typed, defaulted, checked.
//!
//! In: `file` builds it from `config.toml`, the defaults and the environment. Out: a section for each room; a room takes its
//! own section and never the whole. Must not read anything itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::event::AccountId;

/// Everything that can be set, in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[data]`
    pub data: Data,
    /// `[backup]`
    pub backup: Backup,
    /// `[log]`
    pub log: Log,
    /// `[admin]`
    pub admin: Admin,
    /// `[whatsapp]`
    pub whatsapp: Whatsapp,
    /// `[browser]`
    pub browser: Browser,
    /// `[accounts]`
    pub accounts: Accounts,
    /// `[account.ID]`
    pub account: BTreeMap<AccountId, Account>,
    /// `[scripts]`
    pub scripts: Scripts,
    /// `[plugins.NAME]`, as JSON for the plugin itself.
    pub plugins: BTreeMap<String, Map<String, Value>>,
    /// `[script.NAME]`, as JSON for the script itself.
    pub script: BTreeMap<String, Map<String, Value>>,
    /// `[endpoint.NAME]`
    pub endpoint: BTreeMap<String, Endpoint>,
    /// `[webhooks]`
    pub webhooks: Webhooks,
    /// `[egress]`
    pub egress: Egress,
    /// `[pacing]`
    pub pacing: Pacing,
    /// `[media]`
    pub media: Media,
    /// `[secrets]`
    pub secrets: BTreeMap<String, Secret>,
}

impl Config {
    /// Where backups go: `[backup] dir`, or a folder in the data folder.
    #[must_use]
    pub fn backup_dir(&self) -> PathBuf {
        self.backup.dir.clone().unwrap_or_else(|| self.data.dir.join("backups"))
    }

    /// The names of the sections that are not the same in `other`.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            ("data", self.data != other.data),
            ("backup", self.backup != other.backup),
            ("log", self.log != other.log),
            ("admin", self.admin != other.admin),
            ("whatsapp", self.whatsapp != other.whatsapp),
            ("browser", self.browser != other.browser),
            ("accounts", self.accounts != other.accounts),
            ("account", self.account != other.account),
            ("scripts", self.scripts != other.scripts),
            ("plugins", self.plugins != other.plugins),
            ("script", self.script != other.script),
            ("endpoint", self.endpoint != other.endpoint),
            ("webhooks", self.webhooks != other.webhooks),
            ("egress", self.egress != other.egress),
            ("pacing", self.pacing != other.pacing),
            ("media", self.media != other.media),
            ("secrets", self.secrets != other.secrets),
        ];
        sections
            .into_iter()
            .filter_map(|(name, differs)| differs.then_some(name))
            .collect()
    }
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The value itself; the name makes every use stand out in review.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where everything is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The data folder.
    pub dir: PathBuf,
    /// The store's cache, in bytes.
    pub cache: u64,
    /// How long the journal keeps an event.
    pub journal_keep: Duration,
    /// Bytes of events that the journal keeps.
    pub journal_max: u64,
}

/// Backups that the host makes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The time from one to the next; `None` for never.
    pub every: Option<Duration>,
    /// How many are kept.
    pub keep: usize,
    /// Where they go, if it is set; see [`Config::backup_dir`].
    pub dir: Option<PathBuf>,
    /// What they are encrypted with.
    pub passphrase: Option<Secret>,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A filter such as `info` or `wharf=debug`.
    pub level: String,
    /// Lines of JSON instead of text.
    pub json: bool,
}

/// The admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Whether it listens on TCP at all; the control socket is always there.
    pub enabled: bool,
    /// Where; loopback only.
    pub listen: SocketAddr,
    /// Host names by which pages and programs may call it, beside the loopback names.
    pub hosts: Vec<String>,
}

/// WhatsApp Web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whatsapp {
    /// The page, `https://web.whatsapp.com/` or a simulator's.
    pub url: String,
    /// The in-page library's file.
    pub library: PathBuf,
}

/// Which Chromium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BrowserKind {
    /// The shell where installed, else Chromium.
    Auto,
    /// `chromium-headless-shell`
    Shell,
    /// `chromium --headless=new`
    Chromium,
}

/// How browsers are started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    /// The executable, if not found by itself.
    pub executable: Option<PathBuf>,
    /// Which of the two.
    pub kind: BrowserKind,
    /// Chromium's own sandbox.
    pub sandbox: bool,
    /// Shortest and longest time between two snapshots of an account.
    pub snapshot_interval: (Duration, Duration),
}

/// Limits over all accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accounts {
    /// How many there may be.
    pub max: usize,
}

/// What is declared for one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// A name for people.
    pub name: Option<String>,
    /// Where `account:ID` delivers.
    pub webhook_url: Option<String>,
    /// Its signing secret, `whsec_…`.
    pub webhook_secret: Option<Secret>,
    /// Another kind of browser than `[browser]` says.
    pub browser: Option<BrowserKind>,
    /// Another pacing than `[pacing]` says.
    pub pacing: Option<Pacing>,
}

/// Scripts and plugins, and their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scripts {
    /// The owner's own scripts.
    pub dir: PathBuf,
    /// Other people's plugins.
    pub plugins: PathBuf,
    /// Gates run in this order of names, then by name.
    pub order: Vec<String>,
    /// Plugins that run; others in the folder do not.
    pub enabled: Vec<String>,
    /// CPU time of a handler inside its VM.
    pub cpu: Duration,
    /// Wall time of a handler, awaiting included.
    pub wall: Duration,
    /// Wall time of a gate.
    pub gate_wall: Duration,
    /// CPU time of loading a file.
    pub load: Duration,
    /// Memory of a VM, in bytes.
    pub memory: u64,
    /// How long a send may wait for the account and its turn.
    pub patience: Duration,
    /// Quiet time before a changed file is read.
    pub quiet: Duration,
}

/// Where the outbox delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub url: String,
    /// Its signing secret, `whsec_…`; without one, deliveries are not signed.
    pub secret: Option<Secret>,
    /// Headers sent with each delivery.
    pub headers: BTreeMap<String, Secret>,
    /// Time for one attempt.
    pub timeout: Duration,
    /// Requests at a time.
    pub in_flight: usize,
    /// How many deliveries it gets in a time; `None`: as many as it takes.
    pub rate: Option<Rate>,
    /// What a delivery that failed means for those after it.
    pub ordering: Ordering,
    /// Certificates that it may be signed by, beside those that the system trusts.
    pub ca: Option<Ca>,
}

/// A number of deliveries in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

/// In which order deliveries of one chat go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ordering {
    /// First attempts in order; one that failed stands aside.
    #[default]
    Chat,
    /// One that failed holds up those after it in its chat, until it is delivered or given up.
    Strict,
}

/// Certificates of a file, as they were when the configuration was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Ca {
    /// The file.
    pub path: PathBuf,
    /// Its content: at least one certificate in PEM.
    pub pem: Arc<[u8]>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// Delivery, for all endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhooks {
    /// Time for one attempt, where the endpoint says nothing.
    pub timeout: Duration,
    /// Waits after each failed attempt; after the last one the delivery is dead.
    pub retries: Vec<Duration>,
    /// Requests at a time over all endpoints.
    pub in_flight: usize,
}

/// Where wharf itself may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Private ranges that are allowed.
    pub allow: Vec<IpNet>,
}

/// The files that messages carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Most bytes of one file.
    pub max: u64,
    /// How long one that nobody uses is kept.
    pub keep: Duration,
}

/// How fast an account may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Off means: as fast as the page takes them.
    pub enabled: bool,
    /// Shortest time between two sends to the same chat.
    pub per_chat: Duration,
    /// Sends of an account in a minute.
    pub per_minute: u32,
    /// Sends that may wait for their turn; one more is refused.
    pub waiting: usize,
}
