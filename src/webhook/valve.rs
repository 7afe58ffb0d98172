//! How much an endpoint may get now: its breaker and its rate; and how its last attempts ended.
//!
//! In: the endpoint's settings, and how attempts ended. Out: a bound on its requests. Must not know deliveries, nor outlive the
//! process: after a start every endpoint is tried.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Config;

use super::attempt::Ending;
use super::breaker::{Breaker, State};
use super::endpoint;
use super::rate::Bucket;

/// The last attempt at an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) ending: Ending,
    pub(super) status: Option<u16>,
    pub(super) ms: u64,
}

/// What is known of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Valve {
    pub(super) breaker: Breaker,
    bucket: Option<Bucket>,
    pub(super) last: Option<Last>,
}

/// Those of all endpoints that got something since the start: as many as there are names in the outbox.
#[derive(Debug, Default)]
pub(super) struct Valves {
    all: BTreeMap<String, Valve>,
    /// Attempts by how they ended.
    pub(super) endings: BTreeMap<Ending, u64>,
}

impl Valves {
    fn of(&mut self, name: &str, config: &Config, now: Duration) -> &mut Valve {
        if !self.all.contains_key(name) {
            self.all.insert(name.to_owned(), Valve::default());
        }
        let valve = self.all.get_mut(name).expect("it is there now");
        let rate = endpoint::rate(name, config);
        if valve.bucket.as_ref().map(Bucket::rate) != rate {
            valve.bucket = rate.map(|rate| Bucket::new(rate, now));
        }
        valve
    }

    /// How many requests an endpoint may have at a time now.
    pub(super) fn limit(&mut self, name: &str, config: &Config, now: Duration) -> usize {
        let most = endpoint::in_flight(name, config);
        let valve = self.of(name, config, now);
        match valve.bucket.as_mut().and_then(|bucket| bucket.opens_at(now)) {
            Some(_) => 0,
            None => valve.breaker.limit(now, most),
        }
    }

    /// An attempt is begun; its end is told with what this answers.
    pub(super) fn begin(&mut self, name: &str, config: &Config, now: Duration) -> u64 {
        let valve = self.of(name, config, now);
        if let Some(bucket) = &mut valve.bucket {
            bucket.take();
        }
        valve.breaker.begin()
    }

    /// An attempt has ended.
    pub(super) fn end(&mut self, name: &str, turn: u64, now: Duration, last: Last) {
        *self.endings.entry(last.ending).or_default() += 1;
        let Some(valve) = self.all.get_mut(name) else { return };
        valve.last = Some(last);
        let Some(good) = last.ending.health() else { return };
        let was = valve.breaker.state(now);
        if valve.breaker.end(now, turn, good)
            && let State::Open(until) = valve.breaker.state(now)
        {
            let pause_s = until.saturating_sub(now).as_secs();
            if was == State::Closed {
                tracing::warn!(
                    endpoint = name,
                    pause_s,
                    "it fails again and again; it is left alone for a while"
                );
            } else {
                tracing::info!(endpoint = name, pause_s, "it still fails; it is left alone for a while");
            }
        } else if was == State::HalfOpen && good {
            tracing::info!(endpoint = name, "it works again");
        }
    }

    /// When the earliest of these endpoints takes something again that does not now.
    pub(super) fn opens_at<'a>(&mut self, names: impl Iterator<Item = &'a str>, now: Duration) -> Option<Duration> {
        let times = names.filter_map(|name| {
            let valve = self.all.get_mut(name)?;
            let rate = valve.bucket.as_mut().and_then(|bucket| bucket.opens_at(now));
            let breaker = match valve.breaker.state(now) {
                State::Open(until) => Some(until),
                State::Closed | State::HalfOpen => None,
            };
            rate.max(breaker)
        });
        times.min()
    }

    /// Whoever has changed or enabled endpoints wants them tried.
    pub(super) fn reset(&mut self, of: impl Fn(&str) -> bool) {
        let those = self.all.iter_mut().filter(|(name, _)| of(name));
        those.for_each(|(_, valve)| valve.breaker.reset());
    }

    /// What is known of an endpoint; `None` if it got nothing since the start.
    pub(super) fn get(&mut self, name: &str) -> Option<&mut Valve> {
        self.all.get_mut(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let sources = crate::config::Sources {
            file: Some(file.path().to_owned()),
            ..Default::default()
        };
        sources.load().unwrap()
    }

    #[test]
    fn a_rate_that_is_set_changed_or_removed_holds_at_once() {
        let now = Duration::from_secs(1);
        let with = |rate: &str| config(&format!("[endpoint.e]\nurl = \"http://x/\"\nin_flight = 3\n{rate}\n"));
        let mut valves = Valves::default();
        let none = with("");
        (0..5).for_each(|_| {
            assert_eq!(valves.limit("e", &none, now), 3);
            valves.begin("e", &none, now);
        });
        let two = with("rate = \"2/s\"");
        assert_eq!(valves.limit("e", &two, now), 3);
        valves.begin("e", &two, now);
        valves.begin("e", &two, now);
        assert_eq!(valves.limit("e", &two, now), 0);
        let opens = valves.opens_at(["e"].into_iter(), now).unwrap();
        assert!(opens > now && opens < now + Duration::from_millis(600), "{opens:?}");
        assert_eq!(valves.limit("e", &two, opens), 3);
        assert_eq!(valves.limit("e", &none, now), 3);
    }
}
