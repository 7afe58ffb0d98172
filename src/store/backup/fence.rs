//! The store as it was at one moment, read while it is written.
//!
//! In: the writer notes, before it applies rows, what lies there now. Out: pages of rows in order, with what was noted in the place of
//! what came since. A page is read first and put right afterwards: whatever of a later commit it may hold was noted before that
//! commit was applied. Must not grow without bound: a store that is written faster than it can be read breaks the fence.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};

use crate::store::engine::{Engine, Raw, Rows};
use crate::store::{Error, unpoisoned};

/// Rows in a page.
const PAGE: usize = 500;

/// Bytes of what is noted.
const NOTED_MAX: usize = 256 << 20;

/// The moment, and how far it has been read.
#[derive(Debug, Default)]
pub(in crate::store) struct Fence {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All up to this key was given out; `None` before the first page.
    read: Option<Vec<u8>>,
    over: bool,
    /// What lay under keys behind it that were written since; `None`: nothing.
    noted: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bytes: usize,
    broken: Option<Error>,
}

impl Fence {
    /// Notes what lies under the keys of a commit that is about to be applied.
    pub(in crate::store) fn note(&self, engine: &dyn Engine, rows: &Rows) -> Result<(), Error> {
        let mut state = self.state();
        if state.over || state.broken.is_some() {
            return Ok(());
        }
        for key in rows.keys() {
            if state.read.as_ref().is_some_and(|read| key <= read) || state.noted.contains_key(key) {
                continue;
            }
            let row = engine.get(key)?;
            state.bytes += key.len() + row.as_ref().map_or(0, Vec::len);
            state.noted.insert(key.clone(), row);
        }
        if state.bytes > NOTED_MAX {
            state.noted.clear();
            state.broken = Some(Error::Busy {
                what: "the backup was given up: the store was written faster than it could be copied".to_owned(),
            });
        }
        Ok(())
    }

    /// The database was opened again: what was noted may be of a commit that is lost.
    pub(in crate::store) fn break_off(&self, why: &Error) {
        let mut state = self.state();
        state.noted.clear();
        state.broken.get_or_insert_with(|| why.clone());
    }

    /// The next rows, in order.
    pub(super) fn page(&self, engine: &dyn Engine) -> Result<Vec<Raw>, Error> {
        let from = self.state().read.clone();
        // The first key behind one is that key with a zero byte.
        let start = from.as_ref().map_or_else(Vec::new, |read| {
            let mut start = read.clone();
            start.push(0);
            start
        });
        let mut rows = BTreeMap::new();
        for row in engine.range(&start).take(PAGE) {
            let (key, row) = row?;
            rows.insert(key, row);
        }
        let mut state = self.state();
        if let Some(why) = &state.broken {
            return Err(why.clone());
        }
        let last = (rows.len() == PAGE)
            .then(|| rows.last_key_value().map(|(key, _)| key.clone()))
            .flatten();
        let end = last.clone().map_or(Bound::Unbounded, Bound::Included);
        let put_right: Vec<Vec<u8>> = state
            .noted
            .range((Bound::Included(start), end))
            .map(|(key, _)| key.clone())
            .collect();
        for key in put_right {
            match state.noted.remove(&key).flatten() {
                Some(row) => rows.insert(key, row),
                None => rows.remove(&key),
            };
        }
        state.bytes = state
            .noted
            .iter()
            .map(|(key, row)| key.len() + row.as_ref().map_or(0, Vec::len))
            .sum();
        state.over = last.is_none();
        state.read = last.or(from);
        Ok(rows.into_iter().collect())
    }

    /// Whether the last page was given out.
    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::Medium;
    use crate::store::memory::Memory;
    use proptest::prelude::*;

    type Step = Vec<(u16, Option<u8>)>;

    fn rows(step: &Step) -> Rows {
        step.iter()
            .map(|(key, value)| (key.to_be_bytes().to_vec(), value.map(|value| vec![value])))
            .collect()
    }

    fn step() -> impl Strategy<Value = Step> {
        proptest::collection::vec((0..3000u16, proptest::option::of(any::<u8>())), 1..40)
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_there_at_the_moment_whatever_is_written_meanwhile(
            before in proptest::collection::vec(0..3000u16, 0..2500),
            meanwhile in proptest::collection::vec(step(), 0..40),
        ) {
            let engine = Memory::default().open().unwrap();
            engine.apply(before.iter().map(|key| (key.to_be_bytes().to_vec(), Some(vec![1, 2, 3]))).collect()).unwrap();
            let then: Vec<Raw> = engine.range(&[]).map(Result::unwrap).collect();
            let fence = Fence::default();
            let mut steps = meanwhile.iter();
            let mut read = Vec::new();
            while !fence.is_over() {
                for step in steps.by_ref().take(4) {
                    let rows = rows(step);
                    fence.note(&*engine, &rows).unwrap();
                    engine.apply(rows).unwrap();
                }
                read.extend(fence.page(&*engine).unwrap());
            }
            prop_assert_eq!(read, then);
        }
    }

    #[test]
    fn one_that_cannot_be_kept_says_so() {
        let engine = Memory::default().open().unwrap();
        let fence = Fence::default();
        fence.break_off(&Error::Closed);
        assert!(matches!(fence.page(&*engine), Err(Error::Closed)));
    }
}
