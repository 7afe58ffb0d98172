//! How often each line of a script has failed since it was loaded, and which of it is logged.
//!
//! In: the moment and the place of each failure. Out: the counts, and whether a line of the log is due. Must not log itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The same line is logged at most once in this time; `script.error` tells of every failure.
pub(super) const SAME_LINE: Duration = Duration::from_secs(10);
/// Places that are remembered; the one that failed longest ago is forgotten for a new one.
const REMEMBERED: usize = 64;

/// A file and a line in it.
pub(super) type Place = (String, Option<u32>);

/// What is known of one place after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// Failures since the script was loaded, this one included.
    pub(super) count: u64,
    /// The first, in milliseconds since 1970.
    pub(super) first_at: i64,
    /// What becomes of its line in the log.
    pub(super) line: Line,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It is logged.
    Logged,
    /// It is left out, the first of these: [`Failures::left_out`] is to be asked when [`SAME_LINE`] is over.
    FirstLeftOut,
    /// It is left out.
    LeftOut,
}

struct Known {
    count: u64,
    first_at: i64,
    last: Instant,
    logged: Instant,
    left_out: u64,
}

/// All places that failed.
#[derive(Default)]
pub(super) struct Failures(BTreeMap<Place, Known>);

impl Failures {
    /// Counts a failure; `at` is the same moment as `now`, for people.
    pub(super) fn note(&mut self, place: &Place, at: i64, now: Instant) -> Noted {
        if self.0.len() >= REMEMBERED && !self.0.contains_key(place) {
            let oldest = self
                .0
                .iter()
                .min_by_key(|(_, known)| known.last)
                .map(|(place, _)| place.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let Some(known) = self.0.get_mut(place) else {
            let known = Known {
                count: 1,
                first_at: at,
                last: now,
                logged: now,
                left_out: 0,
            };
            self.0.insert(place.clone(), known);
            return Noted {
                count: 1,
                first_at: at,
                line: Line::Logged,
            };
        };
        known.count += 1;
        known.last = now;
        let line = if now.duration_since(known.logged) >= SAME_LINE {
            known.logged = now;
            Line::Logged
        } else {
            known.left_out += 1;
            match known.left_out {
                1 => Line::FirstLeftOut,
                _ => Line::LeftOut,
            }
        };
        Noted {
            count: known.count,
            first_at: known.first_at,
            line,
        }
    }

    /// How many lines were left out of the log since this was asked last.
    pub(super) fn left_out(&mut self, place: &Place) -> u64 {
        self.0
            .get_mut(place)
            .map_or(0, |known| std::mem::take(&mut known.left_out))
    }

    /// Another version is in force.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fails_often_is_counted_and_logged_once_in_a_while() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let (here, there) = (("bot.lua".to_owned(), Some(3)), ("bot.lua".to_owned(), Some(9)));
        let lines: Vec<_> = (0..4).map(|at| failures.note(&here, at, now).line).collect();
        assert_eq!(lines, [Line::Logged, Line::FirstLeftOut, Line::LeftOut, Line::LeftOut]);
        assert_eq!(
            failures.note(&there, 4, now).line,
            Line::Logged,
            "each line has its own turn"
        );
        assert_eq!((failures.left_out(&here), failures.left_out(&here)), (3, 0));
        let noted = failures.note(&here, 5, now + SAME_LINE);
        assert_eq!(
            noted,
            Noted {
                count: 5,
                first_at: 0,
                line: Line::Logged
            }
        );
        failures.clear();
        assert_eq!(failures.note(&here, 6, now).count, 1);
    }

    #[test]
    fn no_more_places_are_remembered_than_are_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for line in 0..1000 {
            failures.note(
                &("bot.lua".to_owned(), Some(line)),
                0,
                now + Duration::from_millis(line.into()),
            );
        }
        assert_eq!(failures.0.len(), REMEMBERED);
        assert!(failures.0.contains_key(&("bot.lua".to_owned(), Some(999))));
    }
}
