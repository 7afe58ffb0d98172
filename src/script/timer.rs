//! Timers of one generation: what is due when.
//!
//! In: timers that the file or a run has made. Out: those that are due. They die with their generation, and a run's own are
//! armed when it has been committed. Must not run a callback, and must not keep a clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use mlua::Function;
use tokio::sync::Notify;

use super::cron::Cron;

/// Timers that a script may have.
pub(crate) const MAX_TIMERS: usize = 1000;

/// When a timer is due.
#[derive(Clone)]
pub(crate) enum Schedule {
    /// Once, after so many milliseconds.
    After(i64),
    /// Again and again, so many milliseconds apart.
    Every(i64),
    /// Whenever a pattern says.
    Cron(Box<Cron>),
}

impl Schedule {
    /// When a timer that is armed now is due; `None` if never.
    fn first(&self, now: i64) -> Option<i64> {
        match self {
            Schedule::After(wait) | Schedule::Every(wait) => Some(now.saturating_add(*wait)),
            Schedule::Cron(cron) => cron.after(now),
        }
    }

    /// When one that was due is due again, now that its callback has ended: times that passed meanwhile are left out.
    fn next(&self, due: i64, now: i64) -> Option<i64> {
        match self {
            Schedule::After(_) => None,
            Schedule::Every(wait) => Some(due.saturating_add(*wait)).map(|next| match next > now {
                true => next,
                false => now.saturating_add(*wait),
            }),
            Schedule::Cron(cron) => cron.after(now.max(due)),
        }
    }
}

/// One timer.
pub(crate) struct Timer {
    /// As a person would call it: `every 5m`.
    pub(crate) title: String,
    /// What is called.
    pub(crate) function: Function,
    schedule: Schedule,
    alive: Rc<Cell<usize>>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.alive.set(self.alive.get() - 1);
    }
}

/// A timer that is due, and since when.
pub(crate) struct Due {
    /// The timer.
    pub(crate) timer: Rc<Timer>,
    at: i64,
}

/// All timers of a generation.
#[derive(Default)]
pub(crate) struct Timers {
    queue: RefCell<BTreeMap<(i64, u64), Rc<Timer>>>,
    /// Made by the file, and armed when it is in force.
    of_file: RefCell<Vec<Rc<Timer>>>,
    alive: Rc<Cell<usize>>,
    numbered: Cell<u64>,
    changed: Notify,
    closed: Cell<bool>,
}

impl Timers {
    /// Makes a timer that is not armed yet.
    ///
    /// # Errors
    /// A sentence, if there are too many.
    pub(crate) fn make(&self, title: String, schedule: Schedule, function: Function) -> Result<Rc<Timer>, String> {
        if self.alive.get() == MAX_TIMERS {
            return Err(format!("more than {MAX_TIMERS} timers in one script"));
        }
        self.alive.set(self.alive.get() + 1);
        Ok(Rc::new(Timer {
            title,
            function,
            schedule,
            alive: Rc::clone(&self.alive),
        }))
    }

    /// Keeps a timer until the file is in force.
    pub(crate) fn keep(&self, timer: Rc<Timer>) {
        self.of_file.borrow_mut().push(timer);
    }

    /// What the file has made, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        self.of_file.borrow().iter().map(|timer| timer.title.clone()).collect()
    }

    /// The file is in force: arms its timers.
    pub(crate) fn arm_file(&self, now: i64) {
        let timers = self.of_file.take();
        self.arm(timers, now);
    }

    /// Arms timers.
    pub(crate) fn arm(&self, timers: Vec<Rc<Timer>>, now: i64) {
        for timer in timers {
            if let Some(due) = timer.schedule.first(now) {
                self.put(due, timer);
            }
        }
    }

    /// Arms a timer again whose callback has ended.
    pub(crate) fn again(&self, due: Due, now: i64) {
        if let Some(next) = due.timer.schedule.next(due.at, now) {
            self.put(next, due.timer);
        }
    }

    fn put(&self, due: i64, timer: Rc<Timer>) {
        if self.closed.get() {
            return;
        }
        let number = self.numbered.get();
        self.numbered.set(number + 1);
        self.queue.borrow_mut().insert((due, number), timer);
        self.changed.notify_one();
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<i64> {
        self.queue.borrow().keys().next().map(|(due, _)| *due)
    }

    /// Takes the next one that is due.
    pub(crate) fn take(&self, now: i64) -> Option<Due> {
        let mut queue = self.queue.borrow_mut();
        let first = queue.first_entry()?;
        let at = first.key().0;
        (at <= now).then(|| Due {
            timer: first.remove(),
            at,
        })
    }

    /// Ends when another one may be the next.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Forgets all, also what is armed from now on: the generation is no longer in force.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.queue.take();
        self.of_file.take();
    }
}
