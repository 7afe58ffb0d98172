//! The webhook room: deliveries of the outbox to their endpoints.
//!
//! In: what scripts have posted, durable in the store's outbox. Out: signed requests (`sign`), tried again by a schedule
//! (`schedule`) until they are answered 2xx or dead; the events `delivery.dead` and `endpoint.disabled`. Every delivery
//! reaches its endpoint at least once, under the same `webhook-id` every time; first attempts keep the order within a chat
//! (`queue`). Must not choose what goes where, that is the scripts' part, nor connect by any way but [`crate::http`].

mod attempt;
mod carry;
mod dispatcher;
mod endpoint;
mod queue;
mod schedule;
pub mod sign;

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::http::Client;
use crate::store::Store;

/// What the room needs.
pub struct Deps {
    /// Where the outbox is.
    pub store: Store,
    /// Endpoints, schedule, `[egress]`: as they are in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// The way out. It follows `[egress]` from here.
    pub client: Client,
    /// Keeps the tasks.
    pub tracker: TaskTracker,
    /// Ends them: attempts under way get ten seconds.
    pub stop: CancellationToken,
}

/// Starts to deliver, behind the caller, until `stop`.
pub fn run(deps: Deps) {
    let tracker = deps.tracker.clone();
    tracker.spawn(dispatcher::Dispatcher::new(deps).run());
}
