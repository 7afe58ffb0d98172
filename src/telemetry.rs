//! What is logged, and how: lines on stderr, as text or JSON.
//!
//! In: `[log]`. Out: a subscriber whose filter follows the configuration. Must not print secrets, which their type
//! prevents, nor message bodies, which no room logs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::resolved::Log;

/// Crates that are talkative; they are heard from here on only, unless the filter names them. What chromiumoxide calls an
/// error, the end of a connection, the page room handles and reports itself.
const QUIET: &[&str] = &[
    "chromiumoxide=off",
    "sled=warn",
    "hyper=warn",
    "reqwest=warn",
    "notify=warn",
];

/// Changes the filter while wharf runs.
#[derive(Clone)]
pub struct Telemetry {
    filter: reload::Handle<EnvFilter, tracing_subscriber::Registry>,
}

/// Starts logging; the first call in a process wins, later ones only answer a handle.
#[must_use]
pub fn start(log: &Log) -> Telemetry {
    let (filter, handle) = reload::Layer::new(filter(&log.level));
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    let started = if log.json {
        tracing_subscriber::registry()
            .with(filter)
            .with(lines.json())
            .try_init()
    } else {
        tracing_subscriber::registry().with(filter).with(lines).try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
    Telemetry { filter: handle }
}

impl Telemetry {
    /// Applies a changed `[log] level`; a change of the format waits for the next start.
    pub fn follow(&self, log: &Log) {
        if self.filter.reload(filter(&log.level)).is_err() {
            tracing::debug!("logging belongs to another part of this process");
        }
    }
}

fn filter(level: &str) -> EnvFilter {
    let named = |quiet: &&&str| quiet.split('=').next().is_some_and(|name| !level.contains(name));
    let directives: Vec<&str> = std::iter::once(level)
        .chain(QUIET.iter().filter(named).copied())
        .collect();
    EnvFilter::builder().parse_lossy(directives.join(","))
}
