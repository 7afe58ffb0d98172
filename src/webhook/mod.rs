//! The webhook room: deliveries of the outbox to their endpoints.
//!
//! In: what scripts have posted, durable in the store's outbox. Out: signed requests (`sign`), tried again by a schedule
//! (`schedule`) until they are answered 2xx or dead; the events `delivery.dead`, `endpoint.disabled` and `host.clock`. Every
//! delivery reaches its endpoint at least once, under the same `webhook-id` every time; first attempts keep the order within a
//! chat (`queue`). Must not choose what goes where, that is the scripts' part, nor connect by any way but [`crate::http`].
//!
//! One task, the dispatcher, owns the queue and all that is decided by it. What holds an endpoint back: `valve` (its `breaker`
//! and `rate`), and its durable record (`records`, `rotation`). What keeps the outbox small: `backlog`.

mod attempt;
mod backlog;
mod breaker;
mod carry;
mod clock;
mod dispatcher;
mod endpoint;
mod queue;
mod rate;
mod reading;
mod records;
mod report;
mod rotation;
mod schedule;
pub mod sign;
mod status;
mod upkeep;
mod valve;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use clock::Clock;
pub use status::{Deliveries, DisabledStatus, EndpointStatus, Error, LastStatus, Status};

use crate::config::Config;
use crate::http::Client;
use crate::store::Store;
use records::Records;

/// Questions that may wait for the dispatcher; one more waits in who asks.
const QUESTIONS: usize = 16;

/// What the room needs.
pub struct Deps {
    /// Where the outbox is.
    pub store: Store,
    /// Endpoints, schedule, `[egress]`: as they are in force.
    pub config: watch::Receiver<Arc<Config>>,
    /// The way out. It follows `[egress]` from here.
    pub client: Client,
    /// What time it is.
    pub clock: Clock,
    /// Keeps the tasks.
    pub tracker: TaskTracker,
    /// Ends them: attempts under way get ten seconds.
    pub stop: CancellationToken,
}

/// What the tasks of the room share.
struct Work {
    deps: Deps,
    records: Records,
}

/// Starts to deliver, behind the caller, until `stop`.
#[must_use]
pub fn run(deps: Deps) -> Deliveries {
    let (sender, questions) = mpsc::channel(QUESTIONS);
    let tracker = deps.tracker.clone();
    tracker.spawn(dispatcher::run(deps, questions));
    Deliveries::new(sender)
}
