//! The wall clock as the room sees it, and whether it has jumped.
//!
//! In: the system's clocks. Out: the time, and jumps: the wall clock has moved otherwise than the monotonic one. Must not decide
//! what a jump means for what waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A difference below this is left alone: clocks are set a little all the time.
const JUMP_MS: i64 = 30_000;

/// The wall clock; a test can set it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead: Arc<AtomicI64>,
}

impl Clock {
    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        jiff::Timestamp::now()
            .as_millisecond()
            .saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// Sets it forward by so many milliseconds, back if they are negative; for every clone. For tests.
    pub fn set_ahead(&self, ms: i64) {
        self.ahead.fetch_add(ms, Ordering::Relaxed);
    }
}

/// Compares the two clocks.
#[derive(Debug)]
pub(super) struct Watch {
    wall: i64,
    at: Duration,
}

impl Watch {
    /// Begins at these times of the wall and the monotonic clock.
    pub(super) fn new(wall: i64, at: Duration) -> Self {
        Self { wall, at }
    }

    /// By how many milliseconds the wall clock has jumped since it was asked last; each jump is told once. A drift that is too
    /// slow to be a jump is followed.
    pub(super) fn look(&mut self, wall: i64, at: Duration) -> Option<i64> {
        let expected = self.wall.saturating_add(millis(at.saturating_sub(self.at)));
        let jump = wall.saturating_sub(expected);
        (self.wall, self.at) = (wall, at);
        (jump.abs() > JUMP_MS).then_some(jump)
    }
}

/// Time since some moment, which the host's clock cannot change.
pub(super) fn since(began: Instant) -> Duration {
    began.elapsed()
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_told_once_and_a_drift_never() {
        let second = Duration::from_secs(1);
        let mut watch = Watch::new(1_000_000, Duration::ZERO);
        assert_eq!(watch.look(1_001_000, second), None);
        assert_eq!(watch.look(1_001_000 + 3_600_000, second), Some(3_600_000));
        assert_eq!(watch.look(1_002_000 + 3_600_000, 2 * second), None);
        assert_eq!(watch.look(1_003_000, 3 * second), Some(-3_600_000));
        let (mut wall, mut at) = (1_003_000, 3 * second);
        for _ in 0..100 {
            (wall, at) = (wall + 1_900, at + second);
            assert_eq!(watch.look(wall, at), None);
        }
    }
}
