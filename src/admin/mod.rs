//! The admin room: HTTP for programs, pages for people, the control socket for `wharf` commands.
//!
//! In: requests, by loopback TCP with a key or by the control socket. Out: what sessions, scripts and the store answer.
//! `server` holds the table of routes, `auth` the gate before them, `refusal` every answer that is a no. Must not hold
//! state of accounts or scripts of its own, nor reach a page by any way but the session room.

mod api;
mod auth;
pub mod control;
pub mod keys;
mod listen;
mod pages;
mod refusal;
mod server;
mod throttle;
mod tickets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use auth::Need;
pub use listen::Doors;

use crate::config::Config;
use crate::script::Scripts;
use crate::session::Sessions;
use crate::store::backup::Backups;
use crate::store::{self, Store};
use crate::webhook::Deliveries;

/// The control socket's name in the data folder.
pub const SOCKET: &str = "wharf.sock";

/// What the room needs.
pub struct Deps {
    /// The accounts.
    pub sessions: Sessions,
    /// The scripts.
    pub scripts: Scripts,
    /// The deliveries.
    pub deliveries: Deliveries,
    /// Keys, the outbox, send intents.
    pub store: Store,
    /// The store's backups.
    pub backups: Backups,
    /// `[admin]`, the limit of accounts, declared webhooks: as they are in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// Ends it: requests under way get ten seconds.
    pub stop: CancellationToken,
    /// Keeps the tasks.
    pub tracker: TaskTracker,
    /// By it two hosts on one machine tell their cookies apart.
    pub data_dir: PathBuf,
}

/// What can go wrong in the room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of `[admin] listen` cannot be had.
    #[error("the admin cannot listen on {at}: {source}; is another wharf running? `[admin] listen` takes another port")]
    Listen {
        /// Which.
        at: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The control socket cannot be made.
    #[error("cannot make the control socket {path}: {source}; its path may have at most 100 bytes", path = path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no such scope.
    #[error("`{0}` is not a scope: use one or more of read, send, qr and admin")]
    Scope(String),
    /// The system gave no randomness.
    #[error("the system gives no random bytes, so no key can be made: {0}")]
    Random(getrandom::Error),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Opens the control socket and, if it is enabled, the TCP listener. Both ends are closed again when the doors are dropped.
///
/// # Errors
///
/// [`Error::Listen`] and [`Error::Socket`].
pub async fn open(config: &Config) -> Result<Doors, Error> {
    Doors::open(config, &config.data.dir.join(SOCKET)).await
}

/// Serves both doors behind the caller until `stop`.
pub fn serve(deps: Deps, doors: Doors) {
    let Deps {
        sessions,
        scripts,
        deliveries,
        store,
        backups,
        config,
        stop,
        tracker,
        data_dir,
    } = deps;
    let context = server::Context {
        sessions,
        scripts,
        deliveries,
        store,
        backups,
        config: config.clone(),
        tracker: tracker.clone(),
        throttle: throttle::Throttle::default(),
        tickets: tickets::Tickets::default(),
        cookie: cookie_name(&data_dir),
    };
    listen::Server::new(server::router(context), tracker, stop).enter(doors, config);
}

/// The routes with what each needs, as documents and tests read them.
#[must_use]
pub fn routes() -> Vec<(String, &'static str, Need)> {
    server::routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path, route.need))
        .collect()
}

fn cookie_name(data_dir: &std::path::Path) -> String {
    let [a, b, c, d, ..] = keys::hash(&data_dir.to_string_lossy());
    format!("wharf_{a:02x}{b:02x}{c:02x}{d:02x}")
}
