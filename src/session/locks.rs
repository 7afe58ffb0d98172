//! One at a time for each key: a second send with a key waits for the first.
//!
//! In: keys of sends. Out: a guard, held while the send is under way. Must not know what the key names.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// Locks kept before those that nobody holds are forgotten.
const KEPT: usize = 1024;

/// The locks of one account.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<HashMap<String, Arc<Lock<()>>>>);

impl Locks {
    /// Waits until nobody else holds this key.
    pub(super) async fn lock(&self, key: &str) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() >= KEPT {
                // A guard, and one who waits for it, hold a reference each.
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(locks.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// How many hold this key or wait for it.
    #[cfg(test)]
    pub(super) fn interested(&self, key: &str) -> usize {
        let locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        locks.get(key).map_or(0, |lock| Arc::strong_count(lock) - 1)
    }
}
