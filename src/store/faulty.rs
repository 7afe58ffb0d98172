//! A database that fails as a test tells it: for each call of a kind, in which way.
//!
//! In: any medium, and faults. Out: the same medium with them. After a failure its handle fails until it is closed, as sled's does.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::engine::{Engine, Medium, Range, Rows, Space};
use super::{Error, unpoisoned};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// What it should.
    None,
    /// What it should, later.
    Slow,
    /// Nothing, and an error.
    Refuse,
    /// What it should, and an error all the same.
    DoAndFail,
}

/// The faults to come; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    applies: Arc<Mutex<VecDeque<Fault>>>,
    syncs: Arc<Mutex<VecDeque<Fault>>>,
    opens: Arc<Mutex<VecDeque<Fault>>>,
    free: Arc<Mutex<Option<Space>>>,
}

impl Faults {
    pub(super) fn on_apply(&self, fault: Fault) {
        unpoisoned(self.applies.lock()).push_back(fault);
    }

    pub(super) fn on_sync(&self, fault: Fault) {
        unpoisoned(self.syncs.lock()).push_back(fault);
    }

    pub(super) fn on_open(&self, fault: Fault) {
        unpoisoned(self.opens.lock()).push_back(fault);
    }

    /// From now on the medium has so much room.
    pub(super) fn set_space(&self, space: Space) {
        *unpoisoned(self.free.lock()) = Some(space);
    }
}

/// A medium with faults.
#[derive(Debug)]
pub(super) struct Faulty<M> {
    pub(super) medium: M,
    pub(super) faults: Faults,
}

impl<M: Medium> Medium for Faulty<M> {
    fn open(&self) -> Result<Box<dyn Engine>, Error> {
        let engine = do_with(&self.faults.opens, || self.medium.open())?;
        Ok(Box::new(Opened {
            engine,
            faults: self.faults.clone(),
            failed: AtomicBool::new(false),
        }))
    }

    fn space(&self) -> Result<Space, Error> {
        unpoisoned(self.faults.free.lock()).map_or_else(|| self.medium.space(), Ok)
    }

    fn give_way(&self) {
        self.medium.give_way();
    }

    fn back_off(&self) -> (Duration, Duration) {
        (Duration::ZERO, Duration::ZERO)
    }

    fn place(&self) -> String {
        self.medium.place()
    }
}

#[derive(Debug)]
struct Opened {
    engine: Box<dyn Engine>,
    faults: Faults,
    failed: AtomicBool,
}

impl Opened {
    fn call<T>(&self, faults: &Mutex<VecDeque<Fault>>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(Error::down("it has failed before"));
        }
        let done = do_with(faults, work);
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done
    }
}

impl Engine for Opened {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.engine.get(key)
    }

    fn range<'a>(&'a self, from: &[u8]) -> Range<'a> {
        self.engine.range(from)
    }

    fn range_back<'a>(&'a self, before: &[u8]) -> Range<'a> {
        self.engine.range_back(before)
    }

    fn apply(&self, rows: Rows) -> Result<(), Error> {
        self.call(&self.faults.applies, || self.engine.apply(rows))
    }

    fn sync(&self) -> Result<(), Error> {
        self.call(&self.faults.syncs, || self.engine.sync())
    }

    fn size(&self) -> Result<u64, Error> {
        self.engine.size()
    }

    fn close(self: Box<Self>) {
        self.engine.close();
    }
}

fn do_with<T>(faults: &Mutex<VecDeque<Fault>>, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let fault = unpoisoned(faults.lock()).pop_front().unwrap_or(Fault::None);
    match fault {
        Fault::None => work(),
        Fault::Slow => {
            std::thread::park_timeout(Duration::from_millis(1));
            work()
        }
        Fault::Refuse => Err(Error::down("a test says no")),
        Fault::DoAndFail => work().and_then(|_| Err(Error::down("a test says no, too late"))),
    }
}
