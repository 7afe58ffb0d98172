//! One suite for everything that a store may stand on: sled, memory, and either of them with faults.
//!
//! A sequence of operations is done on an engine and on a model that keeps what was synced, and what was applied, apart. After an
//! error the engine is closed and opened again, and must be in a state that the model allows: all that was synced, and of the
//! groups after that the first ones, each whole.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::engine::{Engine, Medium, Raw, Rows};
use super::faulty::{Fault, Faults, Faulty};
use super::memory::Memory;
use super::tree::Folder;

type Table = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Op {
    Apply(Vec<(u8, Option<Vec<u8>>)>),
    Sync,
    Reopen,
    Look(u8),
    FailApply(Fault),
    FailSync(Fault),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let value = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Some),
        1 => Just(Some(vec![7; 3000])),
        3 => Just(None),
    ];
    let fault = prop_oneof![Just(Fault::Slow), Just(Fault::Refuse), Just(Fault::DoAndFail)];
    let op = prop_oneof![
        12 => proptest::collection::vec((0..24u8, value), 1..6).prop_map(Op::Apply),
        4 => Just(Op::Sync),
        1 => Just(Op::Reopen),
        6 => (0..24u8).prop_map(Op::Look),
        1 => fault.clone().prop_map(Op::FailApply),
        1 => fault.prop_map(Op::FailSync),
    ];
    proptest::collection::vec(op, 1..24)
}

/// The states that an engine may be in: the last one is the newest.
struct Model {
    states: Vec<Table>,
}

impl Model {
    fn now(&self) -> &Table {
        self.states.last().unwrap()
    }

    fn apply(&mut self, rows: &Rows) {
        let mut next = self.now().clone();
        for (key, row) in rows {
            match row {
                Some(row) => next.insert(key.clone(), row.clone()),
                None => next.remove(key),
            };
        }
        self.states.push(next);
    }

    fn synced(&mut self) {
        self.states.drain(..self.states.len() - 1);
    }

    /// The engine was opened again, after everything up to here may or may not have reached the medium.
    fn reopened(&mut self, found: &Table) -> bool {
        let found = self.states.iter().rposition(|state| state == found);
        if let Some(at) = found {
            self.states = vec![self.states.swap_remove(at)];
        }
        found.is_some()
    }
}

struct Subject {
    medium: Box<dyn Medium>,
    faults: Option<Faults>,
    engine: Option<Box<dyn Engine>>,
}

impl Subject {
    fn new(medium: impl Medium + 'static) -> Self {
        let engine = Some(medium.open().unwrap());
        Self {
            medium: Box::new(medium),
            faults: None,
            engine,
        }
    }

    fn with_faults(medium: impl Medium + 'static) -> Self {
        let faults = Faults::default();
        let subject = Self::new(Faulty {
            medium,
            faults: faults.clone(),
        });
        Self {
            faults: Some(faults),
            ..subject
        }
    }

    fn engine(&self) -> &dyn Engine {
        &**self.engine.as_ref().unwrap()
    }

    fn table(&self) -> Table {
        self.engine().range(&[]).map(Result::unwrap).collect()
    }

    fn reopen(&mut self) {
        self.engine.take().unwrap().close();
        self.engine = Some(self.medium.open().unwrap());
    }

    /// Begins anew on the same medium, which is cheaper than another one.
    fn clear(&mut self) {
        let rows = self.table().into_keys().map(|key| (key, None)).collect();
        let cleared = self.engine().apply(rows).and_then(|()| self.engine().sync());
        if cleared.is_err() {
            self.reopen();
            self.clear();
        }
    }
}

fn key(of: u8) -> Vec<u8> {
    // Of different lengths, some of them the beginning of others.
    vec![of / 4; usize::from(of % 4) + 1]
}

fn run(subject: &mut Subject, ops: &[Op]) -> Result<(), TestCaseError> {
    subject.clear();
    let mut model = Model {
        states: vec![Table::new()],
    };
    for op in ops {
        let done = match op {
            Op::Apply(rows) => {
                let rows: Rows = rows.iter().map(|(of, row)| (key(*of), row.clone())).collect();
                // What failed may have been done.
                model.apply(&rows);
                subject.engine().apply(rows)
            }
            Op::Sync => {
                let done = subject.engine().sync();
                if done.is_ok() {
                    model.synced();
                }
                done
            }
            Op::Reopen => Err(super::Error::down("the test opens it again")),
            Op::Look(of) => {
                look(subject.engine(), model.now(), &key(*of))?;
                Ok(())
            }
            Op::FailApply(fault) => {
                subject.faults.iter().for_each(|faults| faults.on_apply(*fault));
                Ok(())
            }
            Op::FailSync(fault) => {
                subject.faults.iter().for_each(|faults| faults.on_sync(*fault));
                Ok(())
            }
        };
        if done.is_err() {
            subject.reopen();
            let found = subject.table();
            prop_assert!(
                model.reopened(&found),
                "a state that was never there, or one before the last sync: {:?}",
                found
            );
        }
    }
    prop_assert_eq!(&subject.table(), model.now());
    Ok(())
}

fn look(engine: &dyn Engine, model: &Table, key: &[u8]) -> Result<(), TestCaseError> {
    prop_assert_eq!(engine.get(key).unwrap(), model.get(key).cloned());
    prop_assert_eq!(engine.has(key).unwrap(), model.contains_key(key));
    let owned = |(key, row): (&Vec<u8>, &Vec<u8>)| (key.clone(), row.clone());
    let from: Vec<Raw> = engine.range(key).map(Result::unwrap).collect();
    prop_assert_eq!(from, model.range(key.to_vec()..).map(owned).collect::<Vec<Raw>>());
    let back: Vec<Raw> = engine.range_back(key).map(Result::unwrap).collect();
    prop_assert_eq!(back, model.range(..key.to_vec()).rev().map(owned).collect::<Vec<Raw>>());
    Ok(())
}

fn conforms(mut subject: Subject, cases: u32) {
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let subject = std::cell::RefCell::new(&mut subject);
    let done = runner.run(&ops(), |ops| run(&mut subject.borrow_mut(), &ops));
    if let Err(error) = done {
        panic!("{error}");
    }
}

const CASES: u32 = 10_000;

/// In memory where there is such a place: this is about what an engine answers, and 50,000 syncs of a disk take minutes.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

#[test]
fn memory_does_what_a_store_relies_on() {
    conforms(Subject::new(Memory::default()), CASES);
}

#[test]
fn memory_with_faults_does_what_a_store_relies_on() {
    conforms(Subject::with_faults(Memory::default()), CASES);
}

#[test]
fn sled_does_what_a_store_relies_on() {
    let dir = folder();
    conforms(Subject::new(Folder::new(dir.path().to_owned(), 1 << 20, None)), CASES);
}

#[test]
fn sled_with_faults_does_what_a_store_relies_on() {
    let dir = folder();
    conforms(
        Subject::with_faults(Folder::new(dir.path().to_owned(), 1 << 20, None)),
        // Most of them open it again, which takes a while.
        CASES / 10,
    );
}
