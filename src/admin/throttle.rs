//! Slows down who tries wrong keys.
//!
//! In: a wrong key from an address. Out: how long that address is turned away. Must not see right keys: who has one is let
//! in even from an address that is turned away, because behind a reverse proxy, or on loopback, all callers share one.
//! Keys of 256 bits cannot be guessed anyway; this keeps a program with an old key from filling the log.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong keys that an address may try in a minute.
const PER_SOURCE: f64 = 10.0;

/// Wrong keys over all addresses in a minute.
const OVERALL: f64 = 100.0;

const MINUTE: Duration = Duration::from_secs(60);

/// The longest time that an address is turned away; it doubles up to here.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// Addresses that are remembered; when there are more, those longest quiet are forgotten.
const SOURCES: usize = 1_024;

#[derive(Default)]
pub(super) struct Throttle {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sources: HashMap<IpAddr, Bucket>,
    overall: Option<Bucket>,
}

#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
    shut: Option<Instant>,
    last_wait: Duration,
}

impl Throttle {
    /// A wrong key was tried: `None` if it may be answered as such, else how long the address is turned away.
    pub(super) fn wrong(&self, source: IpAddr) -> Option<Duration> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let overall = inner
            .overall
            .get_or_insert_with(|| Bucket::full(OVERALL, now))
            .take(OVERALL, now);
        if inner.sources.len() >= SOURCES && !inner.sources.contains_key(&source) {
            let oldest = inner
                .sources
                .iter()
                .min_by_key(|(_, bucket)| bucket.at)
                .map(|(address, _)| *address);
            oldest.and_then(|address| inner.sources.remove(&address));
        }
        let bucket = inner
            .sources
            .entry(source)
            .or_insert_with(|| Bucket::full(PER_SOURCE, now));
        bucket.take(PER_SOURCE, now).or(overall)
    }
}

impl Bucket {
    fn full(size: f64, now: Instant) -> Self {
        Self {
            tokens: size,
            at: now,
            shut: None,
            last_wait: Duration::ZERO,
        }
    }

    fn take(&mut self, size: f64, now: Instant) -> Option<Duration> {
        if let Some(until) = self.shut.filter(|until| *until > now) {
            return Some(until - now);
        }
        let quiet = now - self.at;
        self.at = now;
        if quiet > LONGEST {
            self.last_wait = Duration::ZERO;
        }
        self.tokens = (self.tokens + size * quiet.as_secs_f64() / MINUTE.as_secs_f64()).min(size);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return None;
        }
        self.last_wait = (self.last_wait * 2).clamp(MINUTE, LONGEST);
        self.shut = Some(now + self.last_wait);
        Some(self.last_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_keys_an_address_is_turned_away_longer_each_time() {
        let throttle = Throttle::default();
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..10).all(|_| throttle.wrong(one).is_none()));
        assert_eq!(throttle.wrong(one), Some(MINUTE));
        assert!(throttle.wrong(other).is_none(), "another address is not affected");
        tokio::time::advance(MINUTE + Duration::from_secs(1)).await;
        assert!((0..10).all(|_| throttle.wrong(one).is_none()), "it may try again");
        assert_eq!(throttle.wrong(one), Some(MINUTE * 2));
        for _ in 0..10 {
            tokio::time::advance(LONGEST).await;
            while throttle.wrong(one).is_none() {}
        }
        assert!(throttle.wrong(one).unwrap() <= LONGEST);
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_together_are_slowed_and_memory_is_bounded() {
        let throttle = Throttle::default();
        let waits = (0..5_000u32)
            .filter(|n| throttle.wrong(IpAddr::from(n.to_be_bytes())).is_some())
            .count();
        assert_eq!(waits, 4_900);
        assert!(throttle.inner.lock().unwrap().sources.len() <= SOURCES);
    }
}
