//! How many deliveries an endpoint gets in a time.
//!
//! In: the endpoint's `rate`, and times that only go forward. Out: whether one more may go, or when. Must not look at a clock.
//!
//! A bucket of tokens: it fills evenly, and holds what a second brings, at least one. So `"50/s"` lets fifty go at once after a
//! pause, and `"100/m"` never more than one.

use std::time::Duration;

use crate::config::resolved::Rate;

/// The bucket of one endpoint.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    tokens: f64,
    /// When it was filled last.
    at: Duration,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Duration) -> Self {
        let mut bucket = Self {
            rate,
            tokens: 0.0,
            at: now,
        };
        bucket.tokens = bucket.size();
        bucket
    }

    /// The rate that it keeps.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    fn per_second(&self) -> f64 {
        f64::from(self.rate.count) / self.rate.per.as_secs_f64()
    }

    fn size(&self) -> f64 {
        self.per_second().max(1.0)
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second()).min(self.size());
        self.at = self.at.max(now);
    }

    /// When the next one may go; `None`: now.
    pub(super) fn opens_at(&mut self, now: Duration) -> Option<Duration> {
        self.fill(now);
        // Sums of fractions stay a hair below one.
        let short = 1.0 - self.tokens;
        (short > 1e-9).then(|| now + Duration::from_secs_f64(short / self.per_second()) + Duration::from_millis(1))
    }

    /// One goes.
    pub(super) fn take(&mut self) {
        self.tokens -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, seconds: u64) -> Rate {
        Rate {
            count,
            per: Duration::from_secs(seconds),
        }
    }

    /// How many go in a time if as many wait as may go, looked at whenever the bucket says.
    fn gone(bucket: &mut Bucket, from: Duration, to: Duration) -> u32 {
        let (mut now, mut count) = (from, 0);
        while now < to {
            match bucket.opens_at(now) {
                None => {
                    bucket.take();
                    count += 1;
                }
                Some(at) => {
                    assert!(at > now, "it would be asked for ever");
                    now = at;
                }
            }
        }
        count
    }

    #[test]
    fn the_rate_holds_over_time_and_a_second_may_go_at_once() {
        let seconds = Duration::from_secs;
        let mut bucket = Bucket::new(rate(50, 1), Duration::ZERO);
        assert_eq!(gone(&mut bucket, Duration::ZERO, Duration::from_micros(1)), 50);
        let ten = gone(&mut bucket, Duration::ZERO, seconds(10));
        assert!((450..=501).contains(&ten), "{ten}");
        let after_a_pause = gone(&mut bucket, seconds(100), seconds(100) + Duration::from_micros(1));
        assert_eq!(after_a_pause, 50);
    }

    #[test]
    fn a_rate_by_the_minute_or_hour_is_spread_evenly() {
        let mut bucket = Bucket::new(rate(100, 60), Duration::ZERO);
        let minute = gone(&mut bucket, Duration::ZERO, Duration::from_secs(60));
        assert!((95..=101).contains(&minute), "{minute}");
        let mut bucket = Bucket::new(rate(2, 3600), Duration::ZERO);
        assert_eq!(gone(&mut bucket, Duration::ZERO, Duration::from_secs(1799)), 1);
    }
}
