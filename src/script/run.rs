//! One run, while it is under way: what it has read, what it wants written, which messages it has ordered.
//!
//! In: the calls of the API. Out: [`Effects`], for one commit; nothing is kept of a run that fails. A run reads back what it
//! wrote. Must not write anything itself, and must not run Lua.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::action::{Content, Failure, SendOrder, Sent};
use crate::event::{AccountId, Event, Source};

use super::meter::Tally;
use super::timer::Timer;
use super::vm::Limits;
use super::world::World;
use keys::Keys;
pub(crate) use keys::MAX_KEY;
pub(crate) use place::Place;
pub(crate) use posts::body_fits;

mod acts;
mod keys;
mod place;
mod posts;

/// Deliveries that one run may post.
pub(crate) const MAX_POSTS: usize = 16;
/// Calls of `http` that one run may make.
pub(crate) const MAX_CALLS: u64 = 64;
/// Jobs that one run may make.
pub(crate) const MAX_JOBS: usize = 16;
/// Bytes of one delivery's body.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Messages that one run may send, as many as keys: with the keys and posts, the rows of its commit stay well below the 512
/// that the store takes at once, also when it must forget the sends of tries that took another way.
pub(crate) const MAX_SENDS: usize = 64;
/// Functions that one run may begin by `spawn` and `all`; a name in a key of a send grows by each level of them.
pub(crate) const MAX_BRANCHES: usize = 64;
/// Bytes of all messages that a gate may queue: they are kept until its commit, and written by it.
pub(crate) const MAX_QUEUED: usize = 1024 * 1024;

/// Which part of a script's work a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All handlers that match the event.
    Handlers,
    /// One gate, by its place among the script's gates.
    Gate(usize),
    /// The callback of a timer.
    Timer,
}

/// What a run is for.
#[derive(Clone, Debug)]
pub(crate) enum Cause {
    /// An event.
    Event(Arc<Event>),
    /// A timer; the id of this call of it.
    Timer(String),
}

/// A call that the API refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The script calls it wrongly, or too often: raised with the line of the call.
    Misuse(String),
    /// The world did not do it: raised as `{kind, message, account}`.
    Failed(Failure),
    /// A function of the script raised this: passed on as it is.
    Raised(mlua::Value),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Refusal::Failed(failure)
    }
}

fn misuse<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Misuse(text.into()))
}

/// A write to a key, applied when the run is committed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    /// The key, within the script's own space.
    pub(crate) key: String,
    /// What is done.
    pub(crate) change: Change,
    /// When the entry ends, in milliseconds since 1970.
    pub(crate) expires_at: Option<i64>,
    /// The version that the run read before it wrote: if another one is there at the commit, the run is run again. Inner
    /// `None`: it read that nothing was there.
    pub(crate) expect: Option<Option<u64>>,
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// This value, of at most 48 KiB.
    Set(Value),
    /// Nothing remains.
    Delete,
    /// The newest number and this one.
    Incr(f64),
    /// What a function of the script makes of the value of the expected version; `None`: nothing remains. If another version
    /// is there at the commit, the function is asked again, and the run goes on.
    Update(Option<Value>),
}

/// A delivery that a run posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// `[endpoint.NAME]` or `account:ID`.
    pub(crate) endpoint: String,
    /// What is delivered, as JSON or text.
    pub(crate) body: Vec<u8>,
}

/// An event that a run wants this script to be sent later.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Later {
    /// The event is `job.NAME`.
    pub(crate) name: String,
    /// When, in milliseconds since 1970.
    pub(crate) due: i64,
    /// Its fields.
    pub(crate) data: Map<String, Value>,
}

/// All that a run that ended well wants kept, in one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effects {
    /// Writes, by key.
    pub(crate) writes: Vec<Write>,
    /// Deliveries, in order.
    pub(crate) posts: Vec<Posted>,
    /// Events to come, in order.
    pub(crate) jobs: Vec<Later>,
    /// Sends of a gate, to be carried out after the commit.
    pub(crate) queued: Vec<SendOrder>,
    /// Keys of the sends that were made: a repeat of this run will not come, so their answers need not be kept.
    pub(crate) sent: Vec<String>,
}

/// What one run has done so far.
pub(crate) struct Run {
    script: Rc<str>,
    cause: Cause,
    part: Part,
    limits: Rc<Limits>,
    world: Rc<dyn World>,
    tally: Rc<Tally>,
    place: Place,
    keys: Keys,
    posts: RefCell<Vec<Posted>>,
    jobs: RefCell<Vec<Later>>,
    queued: RefCell<Vec<SendOrder>>,
    queued_bytes: Cell<usize>,
    /// How many each branch has sent, by account and chat.
    sends: RefCell<HashMap<(String, String, String), u64>>,
    /// How many branches each branch has begun.
    branches: RefCell<HashMap<String, u32>>,
    branches_made: Cell<usize>,
    /// Calls of `http` of each branch.
    calls: RefCell<HashMap<String, u64>>,
    sends_made: Cell<usize>,
    acts_made: Cell<usize>,
    sent: RefCell<Vec<String>>,
    timers: RefCell<Vec<Rc<Timer>>>,
    ended: Cell<bool>,
}

impl Run {
    /// A run of `part` of `script`.
    pub(crate) fn new(
        script: &Rc<str>,
        cause: Cause,
        part: Part,
        limits: &Rc<Limits>,
        world: &Rc<dyn World>,
        place: Place,
    ) -> Rc<Self> {
        Rc::new(Self {
            script: Rc::clone(script),
            cause,
            part,
            limits: Rc::clone(limits),
            world: Rc::clone(world),
            tally: Tally::new(limits.cpu),
            place,
            keys: Keys::default(),
            posts: RefCell::default(),
            jobs: RefCell::default(),
            queued: RefCell::default(),
            queued_bytes: Cell::new(0),
            sends: RefCell::default(),
            branches: RefCell::default(),
            branches_made: Cell::new(0),
            calls: RefCell::default(),
            sends_made: Cell::new(0),
            acts_made: Cell::new(0),
            sent: RefCell::default(),
            timers: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    /// The event at work; `None` in a timer's callback.
    pub(crate) fn event(&self) -> Option<&Arc<Event>> {
        match &self.cause {
            Cause::Event(event) => Some(event),
            Cause::Timer(_) => None,
        }
    }

    /// What it is known by: the event's id, or that of the timer's call.
    pub(crate) fn id(&self) -> &str {
        match &self.cause {
            Cause::Event(event) => &event.id,
            Cause::Timer(id) => id,
        }
    }

    /// Arms a timer when the run has been committed.
    pub(crate) fn timer(&self, timer: Rc<Timer>) -> Result<(), Refusal> {
        self.still_open()?;
        self.timers.borrow_mut().push(timer);
        Ok(())
    }

    /// Takes the timers that it made: it has been committed.
    pub(crate) fn take_timers(&self) -> Vec<Rc<Timer>> {
        self.timers.take()
    }

    /// Whether something must be done after it has ended: at a conflict, or when it has been committed.
    pub(crate) fn is_awaited(&self) -> bool {
        self.has_updates() || !self.timers.borrow().is_empty()
    }

    /// Its time.
    pub(crate) fn tally(&self) -> &Rc<Tally> {
        &self.tally
    }

    /// What stands behind it.
    pub(crate) fn world(&self) -> &Rc<dyn World> {
        &self.world
    }

    /// Takes what it wants kept; calls that come later are refused.
    pub(crate) fn finish(&self) -> Effects {
        self.ended.set(true);
        Effects {
            writes: self.keys.take(),
            posts: self.posts.take(),
            jobs: self.jobs.take(),
            queued: self.queued.take(),
            sent: self.sent.take(),
        }
    }

    /// The name of the branch that the handlers themselves are.
    pub(crate) fn first_branch(&self) -> String {
        match self.part {
            Part::Handlers | Part::Timer => "main".to_owned(),
            Part::Gate(place) => format!("gate{place}"),
        }
    }

    /// A new branch, begun by another one: `main.1`, `main.2`. The names follow from the order in which each branch begins its
    /// own, so that a run that is repeated has the same.
    pub(crate) fn next_branch(&self, parent: &str) -> Result<String, Refusal> {
        self.still_open()?;
        if self.branches_made.get() == MAX_BRANCHES {
            return misuse(format!("more than {MAX_BRANCHES} functions spawned in one run"));
        }
        self.branches_made.set(self.branches_made.get() + 1);
        let mut branches = self.branches.borrow_mut();
        let count = branches.entry(parent.to_owned()).or_default();
        *count += 1;
        Ok(format!("{parent}.{count}"))
    }

    /// `account:send` and `msg:reply`; `None` means that it is queued, as sends of a gate are.
    pub(crate) async fn send(
        &self,
        branch: &str,
        account: AccountId,
        to: String,
        content: Content,
    ) -> Result<Option<Sent>, Refusal> {
        self.still_open()?;
        self.count_send(&content)?;
        let n = {
            let mut sends = self.sends.borrow_mut();
            let count = sends
                .entry((branch.to_owned(), account.as_str().to_owned(), to.clone()))
                .or_default();
            *count += 1;
            *count
        };
        let order = SendOrder {
            key: format!("{}/{}/{branch}/send/{account}/{to}/{n}", self.script, self.id()),
            account,
            to,
            content,
            source: Source::Script,
            patience: self.limits.patience,
        };
        if let Part::Gate(_) = self.part {
            self.queued.borrow_mut().push(order);
            return Ok(None);
        }
        self.sent.borrow_mut().push(order.key.clone());
        let sent = self.aside(self.world.send(order)).await;
        Ok(Some(sent?))
    }

    /// Counts a message, before anything is done about it.
    fn count_send(&self, content: &Content) -> Result<(), Refusal> {
        if self.sends_made.get() == MAX_SENDS {
            return misuse(format!("more than {MAX_SENDS} messages sent in one run"));
        }
        if let Part::Gate(_) = self.part {
            let bytes = self.queued_bytes.get() + bytes_of(content);
            if bytes > MAX_QUEUED {
                return misuse(format!(
                    "a gate may queue messages of at most {MAX_QUEUED} bytes in all"
                ));
            }
            self.queued_bytes.set(bytes);
        }
        self.sends_made.set(self.sends_made.get() + 1);
        Ok(())
    }

    fn still_open(&self) -> Result<(), Refusal> {
        if self.ended.get() {
            return misuse("this run has ended");
        }
        Ok(())
    }
}

fn bytes_of(content: &Content) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match content {
        Content::Text { text, quote, mentions } => {
            text.len() + length(quote) + mentions.iter().map(String::len).sum::<usize>()
        }
        // The bytes of the file are kept elsewhere.
        Content::File {
            file, caption, quote, ..
        } => file.mimetype.len() + length(&file.filename) + length(caption) + length(quote),
    }
}

/// A number as JSON: whole if it is whole and exact.
pub(crate) fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        // In the range where every whole number is exact.
        return Value::from(value as i64);
    }
    serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
}
