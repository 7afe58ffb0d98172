//! When an endpoint that fails is left alone for a while.
//!
//! In: how attempts ended, and times that only go forward. Out: how many requests it may have at a time. Must not look at a
//! clock or know deliveries.
//!
//! *Closed*: as many as the endpoint takes. It opens after ten failures running, or when of at least ten attempts in five minutes
//! 70 % have failed. *Open*: none, for 30 s. *Half open*: one, the probe: delivered, it closes; failed, it opens again, for twice
//! as long, up to ten minutes. What an attempt says that was begun in another phase does not count: it may be older than the
//! breaker's last turn.

use std::collections::VecDeque;
use std::time::Duration;

/// What the share of failures is taken over.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// Attempts of the window are counted by spans of this length, so that a busy endpoint costs no memory.
const SPAN: Duration = Duration::from_secs(10);
/// With fewer attempts in the window their share says nothing.
const LEAST: u32 = 10;
/// The share of failed attempts that opens, in percent.
const SHARE: u32 = 70;
/// Failures running that open.
const RUNNING: u32 = 10;
/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10 * 60));

/// What the breaker says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    /// Until then.
    Open(Duration),
    HalfOpen,
}

/// The breaker of one endpoint.
#[derive(Debug)]
pub(super) struct Breaker {
    phase: Phase,
    /// Counts the turns.
    turn: u64,
    /// The next pause.
    pause: Duration,
}

#[derive(Debug)]
enum Phase {
    Closed { spans: VecDeque<Span>, running: u32 },
    Open { until: Duration },
    HalfOpen,
}

#[derive(Debug)]
struct Span {
    begin: Duration,
    good: u32,
    bad: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            phase: Phase::closed(),
            turn: 0,
            pause: PAUSES.0,
        }
    }
}

impl Phase {
    fn closed() -> Self {
        Phase::Closed {
            spans: VecDeque::new(),
            running: 0,
        }
    }
}

impl Breaker {
    /// What it says at a time; a pause that is over makes it half open.
    pub(super) fn state(&mut self, now: Duration) -> State {
        if let Phase::Open { until } = self.phase
            && until <= now
        {
            self.turn_to(Phase::HalfOpen);
        }
        match self.phase {
            Phase::Closed { .. } => State::Closed,
            Phase::Open { until } => State::Open(until),
            Phase::HalfOpen => State::HalfOpen,
        }
    }

    /// How many requests the endpoint may have at a time, of the `most` that it takes.
    pub(super) fn limit(&mut self, now: Duration, most: usize) -> usize {
        match self.state(now) {
            State::Closed => most,
            State::Open(_) => 0,
            State::HalfOpen => most.min(1),
        }
    }

    /// An attempt is begun; its end is told with what this answers.
    pub(super) fn begin(&self) -> u64 {
        self.turn
    }

    /// An attempt has ended. Answers whether the breaker opened by it.
    pub(super) fn end(&mut self, now: Duration, turn: u64, good: bool) -> bool {
        if turn != self.turn {
            return false;
        }
        let opens = match &mut self.phase {
            Phase::Open { .. } => return false,
            Phase::HalfOpen if good => {
                self.pause = PAUSES.0;
                self.turn_to(Phase::closed());
                return false;
            }
            Phase::HalfOpen => true,
            Phase::Closed { spans, running } => {
                *running = if good { 0 } else { *running + 1 };
                count(spans, now, good);
                let (all, bad) = spans
                    .iter()
                    .fold((0, 0), |(all, bad), span| (all + span.good + span.bad, bad + span.bad));
                // A success never opens, even where the share is above the bound still.
                !good && (*running >= RUNNING || (all >= LEAST && bad * 100 >= all * SHARE))
            }
        };
        if opens {
            let until = now + self.pause;
            self.pause = (self.pause * 2).min(PAUSES.1);
            self.turn_to(Phase::Open { until });
        }
        opens
    }

    /// Whoever has changed or enabled the endpoint wants it tried.
    pub(super) fn reset(&mut self) {
        self.pause = PAUSES.0;
        self.turn_to(Phase::closed());
    }

    fn turn_to(&mut self, phase: Phase) {
        self.phase = phase;
        self.turn += 1;
    }
}

fn count(spans: &mut VecDeque<Span>, now: Duration, good: bool) {
    while spans.front().is_some_and(|span| span.begin + WINDOW <= now) {
        spans.pop_front();
    }
    if spans.back().is_none_or(|span| span.begin + SPAN <= now) {
        spans.push_back(Span {
            begin: now,
            good: 0,
            bad: 0,
        });
    }
    if let Some(span) = spans.back_mut() {
        span.good += u32::from(good);
        span.bad += u32::from(!good);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn told(breaker: &mut Breaker, now: Duration, good: bool) -> bool {
        let turn = breaker.begin();
        breaker.end(now, turn, good)
    }

    #[test]
    fn ten_failures_running_open_it_and_nine_do_not() {
        let mut breaker = Breaker::default();
        for second in 0..9 {
            assert!(!told(&mut breaker, at(second * 600), false));
        }
        assert!(!told(&mut breaker, at(5_400), true));
        for second in 0..9 {
            assert!(!told(&mut breaker, at(6_000 + second * 600), false));
        }
        assert!(told(&mut breaker, at(12_000), false));
        assert_eq!(breaker.state(at(12_001)), State::Open(at(12_030)));
        assert_eq!(breaker.limit(at(12_001), 8), 0);
    }

    #[test]
    fn seven_of_ten_in_five_minutes_open_it_and_what_is_older_does_not_count() {
        let mut breaker = Breaker::default();
        let pattern = [false, false, true, false, false, true, false, false, true];
        for (second, good) in (0..).zip(pattern) {
            assert!(!told(&mut breaker, at(second), good));
        }
        assert!(told(&mut breaker, at(10), false), "seven of ten");

        let mut breaker = Breaker::default();
        for (second, good) in (0..).zip(pattern) {
            told(&mut breaker, at(second), good);
        }
        assert!(!told(&mut breaker, at(400), false), "one of one");
    }

    #[test]
    fn pauses_double_up_to_ten_minutes_and_a_good_probe_ends_it() {
        let mut breaker = Breaker::default();
        (0..10).for_each(|_| {
            told(&mut breaker, at(0), false);
        });
        let mut now = at(0);
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(breaker.state(now), State::Open(now + at(pause)));
            now += at(pause);
            assert_eq!((breaker.state(now), breaker.limit(now, 8)), (State::HalfOpen, 1));
            assert!(told(&mut breaker, now, false));
        }
        now += at(600);
        assert_eq!(breaker.state(now), State::HalfOpen);
        told(&mut breaker, now, true);
        assert_eq!((breaker.state(now), breaker.limit(now, 8)), (State::Closed, 8));
        (0..10).for_each(|_| {
            told(&mut breaker, now, false);
        });
        assert_eq!(breaker.state(now), State::Open(now + at(30)), "the pauses begin anew");
    }

    #[test]
    fn an_attempt_of_an_earlier_phase_is_not_taken_for_the_probe() {
        let mut breaker = Breaker::default();
        let old = breaker.begin();
        (0..10).for_each(|_| {
            told(&mut breaker, at(0), false);
        });
        assert_eq!(breaker.state(at(30)), State::HalfOpen);
        let probe = breaker.begin();
        assert!(!breaker.end(at(31), old, false), "it says nothing of now");
        breaker.end(at(31), old, true);
        assert_eq!(breaker.state(at(31)), State::HalfOpen);
        breaker.end(at(32), probe, true);
        assert_eq!(breaker.state(at(32)), State::Closed);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// Whatever happens, a pause is from 30 s to 10 min, at most one probe goes, and a good probe closes.
        #[test]
        fn it_never_stays_shut_and_never_lets_two_probes_go(steps in proptest::collection::vec((0..90u64, any::<bool>(), any::<bool>()), 1..200)) {
            let mut breaker = Breaker::default();
            let mut now = Duration::ZERO;
            let mut under_way: Vec<u64> = Vec::new();
            for (pass, start, good) in steps {
                now += Duration::from_secs(pass);
                let limit = breaker.limit(now, 4);
                match breaker.state(now) {
                    State::Open(until) => {
                        prop_assert!(until > now && until <= now + PAUSES.1);
                        prop_assert_eq!(limit, 0);
                    }
                    State::HalfOpen => prop_assert_eq!(limit, 1),
                    State::Closed => prop_assert_eq!(limit, 4),
                }
                if start && under_way.len() < limit {
                    under_way.push(breaker.begin());
                } else if let Some(turn) = under_way.pop() {
                    let before = breaker.state(now);
                    let counts = turn == breaker.begin();
                    let opened = breaker.end(now, turn, good);
                    prop_assert!(!(opened && good));
                    if counts && before == State::HalfOpen {
                        let after = breaker.state(now);
                        prop_assert_eq!(after == State::Closed, good);
                    }
                }
            }
            let later = now + PAUSES.1;
            prop_assert!(breaker.limit(later, 4) > 0, "after the longest pause something may go");
        }
    }
}
