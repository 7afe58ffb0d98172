//! Pictures of an account's page, not too often.
//!
//! In: requests, and the interval of `[browser] snapshot_interval`. Out: a [`Snapshot`]; within the interval the last one again.
//! Must not open a page for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

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
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { bytes, format, taken_at, throttled } = self;
        let size = bytes.len();
        write!(f, "Snapshot {{ {size} bytes, {format:?}, taken_at: {taken_at}, throttled: {throttled} }}")
    }
}

/// The pictures of one account.
#[derive(Debug, Default)]
pub(super) struct Pictures(Mutex<Option<Last>>);

#[derive(Debug)]
struct Last {
    snapshot: Snapshot,
    next: Instant,
}

impl Pictures {
    /// Takes one, or gives the last one back. Callers at the same time share one picture.
    pub(super) async fn take(
        &self,
        tab: &dyn Tab,
        format: Format,
        (shortest, longest): (Duration, Duration),
    ) -> Result<Snapshot, page::Error> {
        let mut last = self.0.lock().await;
        if let Some(last) = last.as_ref().filter(|last| Instant::now() < last.next) {
            return Ok(Snapshot { throttled: true, ..last.snapshot.clone() });
        }
        let bytes = tab.snapshot(format).await?;
        let snapshot = Snapshot { bytes: bytes.into(), format, taken_at: super::now(), throttled: false };
        // A fixed beat would be one more thing by which a page could tell wharf from a person.
        let pause = shortest + longest.saturating_sub(shortest).mul_f64(super::chance());
        *last = Some(Last { snapshot: snapshot.clone(), next: Instant::now() + pause });
        Ok(snapshot)
    }

    /// Forgets the last one: it shows an account that is not there any more.
    pub(super) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}
