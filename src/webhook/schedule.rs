//! When a delivery that failed is tried again.
//!
//! In: how many attempts have failed, what the last one met, and the waits of `[webhooks] retries`. Out: the wait before
//! the next attempt, or none when they are spent. Must not sleep or look at a clock; chance is passed in.

use std::time::Duration;

/// A wait is this much longer or shorter by chance, so that receivers that come back are not met by all at once.
const JITTER: f64 = 0.2;

/// The shortest wait after an attempt that ran out of time, or was answered 429 or 503.
const BUSY: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is followed.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// A delivery older than this is dead, whatever it waited for: the standard's longest schedule and a day more.
pub(super) const OLDEST: Duration = Duration::from_secs(96 * 60 * 60);

/// What a failed attempt met, as far as it bears on the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// An answer that is not 2xx, or no connection.
    Failure,
    /// No answer in time.
    Timeout,
    /// 429 or 503, with `Retry-After` if it had one.
    Busy(Option<Duration>),
}

/// The wait after the `failed`-th failed attempt (from 1); `None`: there are no more. `chance` is from 0 to 1.
pub(super) fn wait(failed: u32, met: Met, retries: &[Duration], chance: f64) -> Option<Duration> {
    let index = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    let planned = retries.get(index)?.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
    Some(match met {
        Met::Failure => planned,
        Met::Timeout => planned.max(BUSY),
        Met::Busy(None) => planned.max(BUSY),
        Met::Busy(Some(asked)) => asked.clamp(BUSY, LONGEST_RETRY_AFTER),
    })
}

/// A number from 0 to 1 by chance.
pub(super) fn chance() -> f64 {
    // Without randomness the waits are merely not spread; nothing depends on it.
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / f64::from(u32::MAX))
}

/// Reads `Retry-After`: seconds, or a date of HTTP. `now` is in seconds since 1970.
pub(super) fn retry_after(header: &str, now: i64) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(header).ok()?.timestamp().as_second();
    Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shipped table: 5 s, 30 s, 2 m, 10 m, 30 m, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
    fn shipped() -> Vec<Duration> {
        let seconds = [5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
        seconds.into_iter().map(Duration::from_secs).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn twelve_attempts_are_spread_over_three_days() {
        for (chance, hours) in [(0.0, 75.7 * 0.8), (0.5, 75.7), (1.0, 75.7 * 1.2)] {
            let start = tokio::time::Instant::now();
            let mut attempts = 1;
            while let Some(pause) = wait(attempts, Met::Failure, &shipped(), chance) {
                tokio::time::sleep(pause).await;
                attempts += 1;
            }
            assert_eq!(attempts, 12);
            let took = start.elapsed().as_secs_f64() / 3600.0;
            assert!((took - hours).abs() < 0.1, "{took} h with chance {chance}");
            assert!(
                took * 3600.0 < OLDEST.as_secs_f64(),
                "the age ends none that its attempts would not"
            );
        }
    }

    #[test]
    fn every_wait_stays_within_its_jitter() {
        for (index, planned) in shipped().iter().enumerate() {
            for chance in [0.0, 0.13, 0.5, 0.77, 1.0] {
                let failed = u32::try_from(index).unwrap() + 1;
                let share =
                    wait(failed, Met::Failure, &shipped(), chance).unwrap().as_secs_f64() / planned.as_secs_f64();
                assert!((0.799..=1.201).contains(&share), "{share}");
            }
        }
    }

    #[test]
    fn a_receiver_that_is_busy_is_given_a_minute_or_what_it_asks_for() {
        let seconds = |met| wait(1, met, &shipped(), 0.5).unwrap().as_secs();
        assert_eq!(seconds(Met::Failure), 5);
        assert_eq!(seconds(Met::Timeout), 60);
        assert_eq!(seconds(Met::Busy(None)), 60);
        assert_eq!(seconds(Met::Busy(Some(Duration::from_secs(1)))), 60);
        assert_eq!(seconds(Met::Busy(Some(Duration::from_secs(300)))), 300);
        assert_eq!(seconds(Met::Busy(Some(Duration::from_secs(1_000_000)))), 86_400);
        assert_eq!(
            wait(4, Met::Timeout, &shipped(), 0.5).unwrap().as_secs(),
            600,
            "a longer wait stays"
        );
        assert_eq!(wait(12, Met::Busy(Some(Duration::from_secs(1))), &shipped(), 0.5), None);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(retry_after(" 120 ", 0), Some(Duration::from_secs(120)));
        let date = "Wed, 21 Oct 2015 07:28:00 GMT";
        assert_eq!(retry_after(date, 1_445_412_420), Some(Duration::from_secs(60)));
        assert_eq!(retry_after(date, 2_000_000_000), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", 0), None);
    }

    #[test]
    fn chance_is_a_share() {
        assert!((0..100).all(|_| (0.0..=1.0).contains(&chance())));
    }
}
