//! The script room: runs scripts and plugins written in Lua. The only room that knows mlua.
//!
//! In: events of the journal, files of `scripts/` and `plugins/`, the configuration. Out: one commit for each run, sends
//! through [`Host`]. Must not import the page, session or admin room, and lets no Lua value out.

mod api;
mod error;
mod filter;
mod generation;
mod manifest;
mod meter;
mod run;
mod vm;
mod world;

use futures::future::BoxFuture;

use crate::action::{Failure, SendOrder, Sent, State};

/// What scripts ask of the rest of the program.
pub trait Host: Send + Sync + 'static {
    /// Sends a message, once for each key, however often it is asked.
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>>;

    /// How an account stands; `None` if there is none of that id.
    fn account(&self, id: &str) -> Option<AccountState>;

    /// Whether deliveries to this name can go anywhere: `[endpoint.NAME]`, or `account:ID` with a webhook.
    fn has_endpoint(&self, name: &str) -> bool;
}

/// How an account stands, as scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountState {
    /// The state.
    pub state: State,
    /// Why, if there is a reason.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
}
