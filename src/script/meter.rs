//! The meter: how much time Lua code may take, and how it is stopped.
//!
//! In: a future that runs Lua. Out: the same future, which ends with [`Kill`] when its CPU or wall time is spent. CPU time is
//! the thread's own clock and counts only while Lua works; a handler may await for minutes. A kill is sticky: every check
//! refuses until the run has unwound, so that `pcall` in a loop does not survive it. Must not know what the code does.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use mlua::{Lua, VmState};
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep};

/// The thread's clock costs a system call (1.3 µs), so it is read only when the kernel's coarse clock (20 ns) has moved by
/// this much since. Counting interrupts alone would not do: each may come after a long function of C.
const CHECK_EVERY: Duration = Duration::from_millis(1);
/// The coarse clock is read at every so many interrupts, which brings an interrupt back to the price of a counter. A loop
/// around one function of C has two each turn, so that it is looked at after each second turn.
const LOOK_EVERY: u32 = 4;

/// Why the meter stopped a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// Its CPU time is spent; the limit.
    Cpu(Duration),
    /// Its wall time is spent; the limit.
    Wall(Duration),
    /// The top level of a file has spent the CPU time of a load; the limit.
    Load(Duration),
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kill::Cpu(limit) => write!(f, "stopped: more than {limit:?} of CPU time"),
            Kill::Wall(limit) => write!(f, "stopped: not done after {limit:?}"),
            Kill::Load(limit) => write!(f, "stopped: the top level takes more than {limit:?} of CPU time"),
        }
    }
}

impl std::error::Error for Kill {}

/// What one run has used, and whether it was killed.
#[derive(Debug)]
pub(crate) struct Tally {
    budget: Duration,
    used: Cell<Duration>,
    killed: Cell<Option<Kill>>,
    place: RefCell<String>,
    waits: Cell<u32>,
}

impl Tally {
    /// A run that may use `budget` of CPU time.
    pub(crate) fn new(budget: Duration) -> Rc<Self> {
        Rc::new(Self {
            budget,
            used: Cell::default(),
            killed: Cell::new(None),
            place: RefCell::default(),
            waits: Cell::new(0),
        })
    }

    /// Gives it its whole CPU time again: the next handler of the run begins.
    pub(crate) fn refill(&self) {
        self.used.set(Duration::ZERO);
    }

    /// Why it was killed, if it was.
    pub(crate) fn killed(&self) -> Option<Kill> {
        self.killed.get()
    }

    /// The frames that it was killed in; empty if it was awaiting, or lives.
    pub(crate) fn place(&self) -> String {
        self.place.borrow().clone()
    }

    /// Stops its wall clock until the guard is dropped: it waits for an account, or for its turn.
    pub(crate) fn wait(self: &Rc<Self>) -> Waiting {
        self.waits.set(self.waits.get() + 1);
        Waiting(Rc::clone(self))
    }
}

/// Keeps the wall clock of a run still.
pub(crate) struct Waiting(Rc<Tally>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waits.set(self.0.waits.get() - 1);
    }
}

/// The meter of one VM.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Thread CPU time at which the slice that runs now ends; `None` if nothing is metered.
    ends: Cell<Option<Duration>>,
    ticks: Cell<u32>,
    /// The coarse clock when the thread's was read last.
    looked: Cell<Duration>,
    /// Both clocks at the end of the last slice: what begins within the same tick goes on from there, which saves a reading
    /// and counts the little that the host did in between.
    last: Cell<Option<(Duration, Duration)>>,
    current: RefCell<Option<Rc<Tally>>>,
}

impl Meter {
    /// Makes the VM ask this meter as it works.
    pub(crate) fn install(self: &Rc<Self>, lua: &Lua) {
        let meter = Rc::clone(self);
        lua.set_interrupt(move |lua| meter.check(lua));
    }

    fn check(&self, lua: &Lua) -> mlua::Result<VmState> {
        let Some(ends) = self.ends.get() else {
            return Ok(VmState::Continue);
        };
        // A slice that starts spent ends at zero: it is refused at each interrupt, whatever the clock says.
        if !ends.is_zero() {
            let ticks = self.ticks.get().wrapping_add(1);
            self.ticks.set(ticks);
            if !ticks.is_multiple_of(LOOK_EVERY) {
                return Ok(VmState::Continue);
            }
            let coarse = read(ClockId::MonotonicCoarse);
            if coarse.saturating_sub(self.looked.get()) < CHECK_EVERY {
                return Ok(VmState::Continue);
            }
            self.looked.set(coarse);
            if cpu_time() < ends {
                return Ok(VmState::Continue);
            }
        }
        self.ends.set(Some(Duration::ZERO));
        let Some(tally) = self.current.borrow().clone() else {
            return Ok(VmState::Continue);
        };
        let kill = tally.killed.get().unwrap_or(Kill::Cpu(tally.budget));
        if tally.killed.replace(Some(kill)).is_none() {
            tally.place.replace(
                lua.traceback(None, 0)
                    .map(|stack| stack.to_string_lossy())
                    .unwrap_or_default(),
            );
        }
        Err(mlua::Error::external(kill))
    }

    /// Runs `work` on the account of `tally`.
    pub(crate) fn slice<R>(&self, tally: &Rc<Tally>, work: impl FnOnce() -> R) -> R {
        let tick = read(ClockId::MonotonicCoarse);
        let start = match self.last.get() {
            Some((last, cpu)) if last == tick => cpu,
            _ => cpu_time(),
        };
        let left = if tally.killed().is_some() {
            Duration::ZERO
        } else {
            tally.budget.saturating_sub(tally.used.get())
        };
        let outer_ends = self
            .ends
            .replace(Some(if left.is_zero() { Duration::ZERO } else { start + left }));
        let outer = self.current.replace(Some(Rc::clone(tally)));
        let result = work();
        self.current.replace(outer);
        self.ends.set(outer_ends);
        let end = cpu_time();
        self.last.set(Some((read(ClockId::MonotonicCoarse), end)));
        tally.used.set(tally.used.get() + end.saturating_sub(start));
        result
    }

    /// Meters a future that runs Lua: its CPU time by `tally`, its wall time by `wall`.
    pub(crate) fn watch<F: Future>(self: &Rc<Self>, tally: &Rc<Tally>, wall: Duration, work: F) -> Metered<F> {
        Metered {
            meter: Rc::clone(self),
            tally: Rc::clone(tally),
            work: Some(Box::pin(work)),
            wall,
            spent: Duration::ZERO,
            since: None,
            alarm: None,
        }
    }
}

/// A future that runs Lua under the meter.
pub(crate) struct Metered<F> {
    meter: Rc<Meter>,
    tally: Rc<Tally>,
    work: Option<Pin<Box<F>>>,
    wall: Duration,
    spent: Duration,
    since: Option<Instant>,
    /// Set when it waits for the first time: most runs never do.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Metered<F> {
    type Output = Result<F::Output, Kill>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.work.is_none() {
            return Poll::Pending;
        }
        let held = &mut this.work;
        // What has ended is dropped in the same slice: each costs two readings of the thread's clock.
        let polled = this.meter.slice(&this.tally, || {
            let polled = held.as_mut().map_or(Poll::Pending, |work| work.as_mut().poll(cx));
            if polled.is_ready() {
                held.take();
            }
            polled
        });
        if let Some(kill) = this.tally.killed() {
            // Also if it caught the refusal and went on: it is over its limit.
            this.drop_work();
            return Poll::Ready(Err(kill));
        }
        if let Poll::Ready(value) = polled {
            return Poll::Ready(Ok(value));
        }
        if this.tally.waits.get() > 0 {
            this.spent += this.since.take().map_or(Duration::ZERO, |since| since.elapsed());
            return Poll::Pending;
        }
        let (wall, spent) = (this.wall, this.spent);
        let alarm = this.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(wall)));
        if this.since.is_none() {
            let now = Instant::now();
            this.since = Some(now);
            alarm.as_mut().reset(now + wall.saturating_sub(spent));
        }
        if alarm.as_mut().poll(cx).is_ready() {
            let kill = Kill::Wall(this.wall);
            this.tally.killed.set(Some(kill));
            this.drop_work();
            return Poll::Ready(Err(kill));
        }
        Poll::Pending
    }
}

impl<F> Metered<F> {
    /// Dropping a coroutine that awaits resumes it once, so that must be under the meter as well.
    fn drop_work(&mut self) {
        if let Some(work) = self.work.take() {
            self.meter.slice(&self.tally, || drop(work));
        }
    }
}

impl<F> Drop for Metered<F> {
    fn drop(&mut self) {
        self.drop_work();
    }
}

fn cpu_time() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // The kernel's values are positive and below a second of nanoseconds.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
