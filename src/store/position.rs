//! How far a script has come in the journal: a low-water mark and the finished ranges above it.
//!
//! Pure: the store keeps it as JSON, `script` moves it. Invariant: `done` is sorted, its ranges are not empty, do not touch
//! each other and lie above `mark`, which itself is not finished.

use serde::{Deserialize, Serialize};

/// A script's position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// All offsets below are finished; this one is not.
    pub mark: u64,
    /// Finished half-open ranges above.
    pub done: Vec<(u64, u64)>,
}

impl Position {
    /// A script that begins at this offset: all before is as good as finished.
    #[must_use]
    pub fn start(at: u64) -> Self {
        Position {
            mark: at,
            done: Vec::new(),
        }
    }

    /// Notes that the event at this offset is finished; a second time changes nothing.
    pub fn finish(&mut self, offset: u64) {
        self.finish_range(offset, offset.saturating_add(1));
    }

    /// Notes that all from `from` up to, not with, `to` are finished.
    pub fn finish_range(&mut self, from: u64, to: u64) {
        let (mut from, mut to) = (from.max(self.mark), to);
        if from >= to {
            return;
        }
        // The ranges that touch the new one become one with it.
        let first = self.done.partition_point(|range| range.1 < from);
        let after = self.done.partition_point(|range| range.0 <= to);
        if let Some(touched) = self.done.get(first..after)
            && let (Some(low), Some(high)) = (touched.first(), touched.last())
        {
            (from, to) = (from.min(low.0), to.max(high.1));
        }
        if from <= self.mark {
            self.mark = to;
            self.done.drain(first..after);
        } else {
            self.done.splice(first..after, [(from, to)]);
        }
    }

    /// Takes over all that another position of the same script says is finished.
    pub fn merge(&mut self, other: &Position) {
        self.finish_range(0, other.mark);
        for (from, to) in &other.done {
            self.finish_range(*from, *to);
        }
    }

    /// Whether the event at this offset is finished.
    #[must_use]
    pub fn is_finished(&self, offset: u64) -> bool {
        let before = self.done.partition_point(|range| range.1 <= offset);
        offset < self.mark || self.done.get(before).is_some_and(|range| range.0 <= offset)
    }

    /// The first offset above which nothing is finished.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.done.last().map_or(self.mark, |range| range.1)
    }

    /// How many events stand unfinished between the mark and the last finished one.
    #[must_use]
    pub fn unfinished_between(&self) -> u64 {
        let finished: u64 = self.done.iter().map(|(from, to)| to - from).sum();
        self.end() - self.mark - finished
    }

    /// The unfinished offsets from the mark up to, not with, `to`.
    pub fn unfinished(&self, to: u64) -> impl Iterator<Item = u64> {
        let starts = std::iter::once(self.mark).chain(self.done.iter().map(|range| range.1));
        let ends = self.done.iter().map(|range| range.0).chain(std::iter::once(u64::MAX));
        starts.zip(ends).flat_map(move |(from, end)| from..end.min(to))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_position_says_what_a_set_of_finished_offsets_says(
            start in 0..20u64,
            steps in proptest::collection::vec((0..60u64, 0..6u64), 0..60),
        ) {
            let mut position = Position::start(start);
            let mut model: BTreeSet<u64> = (0..start).collect();
            for (offset, more) in steps {
                if more == 0 {
                    position.finish(offset);
                    model.insert(offset);
                } else {
                    position.finish_range(offset, offset + more);
                    model.extend(offset..offset + more);
                }
                for at in 0..80 {
                    prop_assert_eq!(position.is_finished(at), model.contains(&at), "offset {} of {:?}", at, &position);
                }
                let mark = (0..).find(|at| !model.contains(at)).unwrap();
                let end = model.last().map_or(mark, |last| (last + 1).max(mark));
                prop_assert_eq!(position.mark, mark);
                prop_assert_eq!(position.end(), end);
                let open: Vec<u64> = (mark..end).filter(|at| !model.contains(at)).collect();
                prop_assert_eq!(position.unfinished_between(), open.len() as u64);
                prop_assert_eq!(position.unfinished(end).collect::<Vec<_>>(), open);
                // The invariant.
                let mut below = position.mark;
                for (from, to) in &position.done {
                    prop_assert!(below < *from && from < to, "{:?}", &position);
                    below = *to;
                }
                // Half of it and the other half are the whole, whichever way round.
                let (mut one, mut other) = (Position::start(start), Position::start(start));
                for (at, offset) in model.iter().enumerate() {
                    if at % 3 == 0 { one.finish(*offset) } else { other.finish(*offset) }
                }
                let before = one.clone();
                one.merge(&other);
                other.merge(&before);
                prop_assert_eq!((&one, &other), (&position, &position));
                let json = serde_json::to_string(&position).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Position>(&json).unwrap(), &position);
            }
        }
    }
}
