//! Times of the room that are no settings: nobody has a reason to change them but a test.

use std::time::Duration;

/// How long things of the script room may take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Waits before a failed run is tried again; after the last one it is dead.
    pub retries: [Duration; 4],
    /// How long runs of a replaced version may go on.
    pub drain: Duration,
    /// How long runs may go on when the host stops.
    pub last_runs: Duration,
    /// How much longer than those of `last_runs` the room waits for a thread that does not answer.
    pub last_words: Duration,
    /// How much longer than its wall time a gate may take to answer, other runs of its script included.
    pub gate_grace: Duration,
    /// Wait before what could not be read, watched or begun is tried again, and between two looks whether a watched folder
    /// is still the one that is watched.
    pub again: Duration,
    /// How often the store is told which scripts are at work.
    pub readers: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            retries: [1, 10, 60, 300].map(Duration::from_secs),
            drain: Duration::from_secs(30),
            last_runs: Duration::from_secs(10),
            last_words: Duration::from_secs(2),
            gate_grace: Duration::from_secs(5),
            again: Duration::from_secs(5),
            readers: Duration::from_secs(30),
        }
    }
}
