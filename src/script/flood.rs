//! How many lines a script may log: a flood would fill the disk and hide what matters.
//!
//! In: the moment of each line. Out: whether it is logged, and how many were not. Must not log anything.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one script in [`WINDOW`].
pub(crate) const MAX_LINES: u32 = 100;
/// See [`MAX_LINES`].
pub(crate) const WINDOW: Duration = Duration::from_secs(1);

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It is logged.
    Logged,
    /// It is dropped, the first of its second: [`Flood::dropped`] is to be asked when that is over.
    FirstDropped,
    /// It is dropped.
    Dropped,
}

/// The lines of one script.
#[derive(Debug, Default)]
pub(crate) struct Flood {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    lines: u32,
    dropped: u64,
}

impl Flood {
    /// Counts a line.
    pub(crate) fn line(&self, now: Instant) -> Line {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_none_or(|began| now.duration_since(began) >= WINDOW) {
            state.began = Some(now);
            state.lines = 0;
        }
        if state.lines < MAX_LINES {
            state.lines += 1;
            return Line::Logged;
        }
        state.dropped += 1;
        match state.dropped {
            1 => Line::FirstDropped,
            _ => Line::Dropped,
        }
    }

    /// How many lines were dropped since the last time that this was asked.
    pub(crate) fn dropped(&self) -> u64 {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_limit_of_a_second_is_dropped_and_counted_once() {
        let flood = Flood::default();
        let now = Instant::now();
        for _ in 0..MAX_LINES {
            assert_eq!(flood.line(now), Line::Logged);
        }
        assert_eq!(flood.line(now), Line::FirstDropped);
        assert_eq!(flood.line(now + WINDOW / 2), Line::Dropped);
        assert_eq!(
            flood.line(now + WINDOW),
            Line::Logged,
            "the next second has lines of its own"
        );
        assert_eq!(flood.dropped(), 2);
        assert_eq!(flood.dropped(), 0);
    }
}
