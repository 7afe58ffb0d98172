//! Which version of a script is in force, and how the one before it ends.
//!
//! In: the version that is to be. Out: the one that was, whose runs end. Must not load anything, nor decide what is to be in force.

use std::sync::Arc;

use super::super::host::Runner;
use super::super::times::Times;
use super::Slot;

impl Slot {
    /// Replaces `runner`, unless another one is in force by now.
    pub(super) fn swap(&self, runner: &Arc<Runner>, by: Option<Arc<Runner>>) {
        let old = {
            let _status = self.status();
            match self.is_current(runner) {
                true => self.put(by),
                false => None,
            }
        };
        self.drain(old);
    }

    /// Puts a version in force, and answers the one before, whose timers end; under the lock of `status`.
    pub(super) fn put(&self, by: Option<Arc<Runner>>) -> Option<Arc<Runner>> {
        let begins = by.clone();
        let old = self.runner.send_replace(by);
        if let Some(old) = &old {
            old.retire();
        }
        if let Some(begins) = begins {
            begins.put_in_force();
        }
        old
    }

    /// Lets the runs of a version end that is no longer in force.
    pub(super) fn drain(&self, old: Option<Arc<Runner>>) {
        let Some(old) = old else { return };
        // Weak: a thread whose runs are done ends at once.
        let (ended, stop) = (old.ended(), self.shared.stop.clone());
        let old = Arc::downgrade(&old);
        let Times { drain, last_runs, .. } = self.shared.times;
        self.shared.tracker.spawn_on(
            async move {
                tokio::select! {
                    () = ended.cancelled() => return,
                    () = tokio::time::sleep(drain) => {}
                    () = async {
                        stop.cancelled().await;
                        tokio::time::sleep(last_runs).await;
                    } => {}
                }
                if let Some(old) = old.upgrade() {
                    old.cut();
                }
            },
            &self.shared.runtime,
        );
    }

    /// Whether this very VM is in force.
    pub(crate) fn is_current(&self, runner: &Arc<Runner>) -> bool {
        self.runner
            .borrow()
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, runner))
    }
}
