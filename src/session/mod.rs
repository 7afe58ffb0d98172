//! The session room: one actor per account, and everything that keeps the account's promises.
//!
//! In: wishes of the admin and of scripts ([`Sessions`]), reports of the page. Out: events in the journal, sent messages, honest
//! states. Must not know what a script does with an event, nor how a browser is driven.
//!
//! | file | what |
//! |---|---|
//! | `registry`, `accounts` | which accounts there are; making, deleting, starting, stopping them |
//! | `actor`, `machine`, `reading` | how an account stands: what is seen, what follows, what a page's status means |
//! | `open_tab`, `ingest`, `sweep`, `drafts` | from the page to the journal, live and afterwards |
//! | `send`, `settle`, `pacing`, `locks` | sending once, in turn |
//! | `acts` | what may be done twice: reactions, edits, looking things up |
//! | `copies` | profiles for a backup |
//! | `qr`, `snapshot`, `view` | what is shown |
//! | `tab` | the seam to the page room |

mod account;
mod accounts;
mod actor;
mod acts;
mod copies;
mod drafts;
mod error;
mod hold;
mod ingest;
mod locks;
mod machine;
mod open_tab;
mod pacing;
mod qr;
mod reading;
mod registry;
mod send;
mod settle;
mod snapshot;
mod sweep;
mod tab;
mod view;
mod writer;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::AccountId;
use crate::media::Media;
use crate::store::Store;

pub use copies::copy_stopped;
pub use error::Error;
pub use qr::Qr;
pub use registry::Sessions;
pub use snapshot::Snapshot;
pub use view::AccountView;

/// The folder of the profiles in the data folder.
pub(crate) const PROFILES: &str = "profiles";

/// What the room is built on.
#[derive(Clone, Debug)]
pub struct Deps {
    /// Where everything is kept.
    pub store: Store,
    /// The configuration, followed as it changes.
    pub config: watch::Receiver<Arc<Config>>,
    /// On which the room's tasks run.
    pub tracker: TaskTracker,
    /// Ends the room as [`Sessions::close`] does, without waiting for it.
    pub stop: CancellationToken,
}

/// What the parts of the room share.
struct Room {
    store: Store,
    config: watch::Receiver<Arc<Config>>,
    tracker: TaskTracker,
    closing: CancellationToken,
    opener: Arc<dyn tab::Opener>,
    media: Media,
    tempo: Tempo,
}

/// How often and how long; only tests have other values.
#[derive(Clone, Copy, Debug)]
struct Tempo {
    /// Between two proofs of an account that is ready.
    proof_every: Duration,
    /// Between two looks at a page that is not.
    look_every: Duration,
    /// For one round trip.
    proof_limit: Duration,
    /// Chromium writes localStorage out 5 to 8 s late, measured; a part of a fresh link lies there.
    link_kept: Duration,
    /// Between two notes of the time up to which an account is complete.
    mark_every: Duration,
    /// How long a send that was cut off is asked about in one go.
    settle: Duration,
    /// Before events that the store did not take are tried again.
    save_again: Duration,
    /// Before a sweep that failed is tried again.
    sweep_again: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            proof_every: Duration::from_secs(15),
            look_every: Duration::from_secs(2),
            proof_limit: Duration::from_secs(10),
            link_kept: Duration::from_secs(10),
            mark_every: Duration::from_secs(60),
            settle: Duration::from_secs(60),
            save_again: Duration::from_secs(5),
            sweep_again: Duration::from_secs(5),
        }
    }
}

/// The wall clock, in milliseconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// WhatsApp counts in seconds.
fn whole_second(ms: i64) -> i64 {
    ms - ms.rem_euclid(1000)
}

/// A random number from 0 to 1, to spread things; where the system has none to give, the middle does.
fn chance() -> f64 {
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

/// The kv space in which the room keeps what it has to remember of an account. No script's space has a `~` in its name.
fn session_space(account: &AccountId) -> String {
    format!("~session/{account}")
}

/// The kv space of the raw ids of messages that wharf itself sent, with who wanted them.
fn sent_space(account: &AccountId) -> String {
    format!("~sent/{account}")
}
