//! Pictures of an account's page, not too often.
//!
//! In: requests, and the interval of `[browser] snapshot_interval`. Out: a [`Snapshot`]; within the interval the last one again,
//! while the account's state is the same. Must not open a page for it.
//!
//! A picture may show the code with which the account is taken over: each one says whether it may.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::action::State;
use crate::page::{self, Format};

use super::tab::Tab;

/// A picture of the page.
#[derive(Clone)]
pub struct Snapshot {
    /// The picture's file.
    pub bytes: Arc<[u8]>,
    /// Its format; within the throttle that of the last picture, whatever was asked for.
    pub format: Format,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at: i64,
    /// Whether it is an older one because another would have come too soon.
    pub throttled: bool,
    /// Whether it may show a code that links the account: then it is for those only who may have the code.
    pub may_show_code: bool,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            bytes,
            format,
            taken_at,
            throttled,
            may_show_code,
        } = self;
        let size = bytes.len();
        write!(
            f,
            "Snapshot {{ {size} bytes, {format:?}, taken_at: {taken_at}, throttled: {throttled}, \
             may_show_code: {may_show_code} }}"
        )
    }
}

/// The pictures of one account.
#[derive(Debug, Default)]
pub(super) struct Pictures(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    snapshot: Snapshot,
    state: State,
    next: Instant,
}

impl Pictures {
    /// Takes one, or gives the last one back. Callers at the same time share one picture.
    pub(super) async fn take(
        &self,
        tab: &dyn Tab,
        format: Format,
        (shortest, longest): (Duration, Duration),
        state: impl Fn() -> State,
    ) -> Result<Snapshot, page::Error> {
        let mut last = self.0.lock().await;
        let before = state();
        if let Some(last) = last
            .as_ref()
            .filter(|last| Instant::now() < last.next && last.state == before)
        {
            return Ok(Snapshot {
                throttled: true,
                ..last.snapshot.clone()
            });
        }
        // One from another state must not come back, even if no new one can be taken.
        *last = None;
        let bytes = tab.snapshot(format).await?;
        // The state follows the page by a moment, so the page itself is asked too, after the picture; no answer counts as yes.
        let is_code_out = tab.status().await.map_or(true, |status| status.qr.is_some());
        let after = state();
        let snapshot = Snapshot {
            bytes: bytes.into(),
            format,
            taken_at: super::now(),
            throttled: false,
            may_show_code: is_code_out || links(before) || links(after),
        };
        // A fixed beat would be one more thing by which a page could tell wharf from a person.
        let pause = shortest + longest.saturating_sub(shortest).mul_f64(super::chance());
        if before == after {
            *last = Some(Last {
                snapshot: snapshot.clone(),
                state: after,
                next: Instant::now() + pause,
            });
        }
        Ok(snapshot)
    }

    /// Forgets the last one: it shows an account that is not there any more.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// Whether the page shows a code in this state, to be scanned or typed.
fn links(state: State) -> bool {
    matches!(state, State::Qr | State::Pairing)
}
