//! How an account looks from outside: state, reason, proof.
//!
//! In: what the actor publishes and the record says. Out: [`AccountView`], as the HTTP API shows it. Must not change anything.

use serde::Serialize;
use tokio::time::Instant;

use crate::action::State;
use crate::event::AccountId;

/// An account as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// A name for people.
    pub name: Option<String>,
    /// How it stands.
    pub state: State,
    /// Why, as a word or a short sentence; none when it is ready.
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// Its phone number, digits only, once it is known.
    pub phone: Option<String>,
    /// Where `account:ID` delivers.
    pub webhook_url: Option<String>,
    /// How long ago a round trip through the page was proven, in milliseconds; none without a page.
    pub proof_age_ms: Option<u64>,
    /// What the library lacks that wharf uses.
    pub degraded: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was linked last, in milliseconds since 1970.
    pub linked_at: Option<i64>,
}

/// What the actor publishes.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) state: State,
    pub(super) reason: Option<String>,
    /// Milliseconds since 1970.
    pub(super) since: i64,
    pub(super) proof: Option<Instant>,
    pub(super) degraded: Vec<String>,
}

impl Status {
    pub(super) fn stopped(now: i64) -> Self {
        Self { state: State::Stopped, reason: None, since: now, proof: None, degraded: Vec::new() }
    }

    pub(super) fn proof_age_ms(&self) -> Option<u64> {
        self.proof.map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}
