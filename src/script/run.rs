//! One run, while it is under way: what it has read, what it wants written, which messages it has ordered.
//!
//! In: the calls of the API. Out: [`Effects`], for one commit; nothing is kept of a run that fails. A run reads back what it
//! wrote. Must not write anything itself, and must not know Lua.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::action::{Content, Failure, SendOrder, Sent};
use crate::event::{AccountId, Event, Source};

use super::meter::Tally;
use super::vm::Limits;
use super::world::{Kept, World};

/// Keys that one run may write.
pub(crate) const MAX_KEYS: usize = 64;
/// Deliveries that one run may post.
pub(crate) const MAX_POSTS: usize = 16;
/// Bytes of one value, as JSON.
pub(crate) const MAX_VALUE: usize = 48 * 1024;
/// Bytes of one delivery's body.
pub(crate) const MAX_BODY: usize = 256 * 1024;
/// Bytes of a key.
pub(crate) const MAX_KEY: usize = 512;
/// Entries that `kv.list` answers.
pub(crate) const MAX_LIST: usize = 1000;

/// Which part of a script's work a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All handlers that match the event.
    Handlers,
    /// One gate, by its place among the script's gates.
    Gate(usize),
}

/// A call that the API refuses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Refusal {
    /// The script calls it wrongly, or too often: raised with the line of the call.
    Misuse(String),
    /// The world did not do it: raised as `{kind, message, account}`.
    Failed(Failure),
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
    /// This value, of at most [`MAX_VALUE`] bytes.
    Set(Value),
    /// Nothing remains.
    Delete,
    /// The newest number and this one.
    Incr(f64),
}

/// A delivery that a run posts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    /// `[endpoint.NAME]` or `account:ID`.
    pub(crate) endpoint: String,
    /// What is delivered, as JSON or text.
    pub(crate) body: Vec<u8>,
}

/// All that a run that ended well wants kept, in one commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Effects {
    /// Writes, by key.
    pub(crate) writes: Vec<Write>,
    /// Deliveries, in order.
    pub(crate) posts: Vec<Posted>,
    /// Sends of a gate, to be carried out after the commit.
    pub(crate) queued: Vec<SendOrder>,
    /// Keys of the sends that were made: a repeat of this run will not come, so their answers need not be kept.
    pub(crate) sent: Vec<String>,
}

/// What one run has done so far.
pub(crate) struct Run {
    script: Rc<str>,
    event: Arc<Event>,
    part: Part,
    limits: Rc<Limits>,
    world: Rc<dyn World>,
    tally: Rc<Tally>,
    place: Place,
    reads: RefCell<HashMap<String, Option<Kept>>>,
    writes: RefCell<BTreeMap<String, Pending>>,
    posts: RefCell<Vec<Posted>>,
    queued: RefCell<Vec<SendOrder>>,
    sends: RefCell<HashMap<(String, String), u64>>,
    sent: RefCell<Vec<String>>,
    ended: Cell<bool>,
}

struct Pending {
    change: Change,
    expires_at: Option<i64>,
}

/// A place among the runs of a script that are at work; given up while a run waits.
#[derive(Default)]
pub(crate) struct Place {
    all: Option<Arc<Semaphore>>,
    mine: RefCell<Option<OwnedSemaphorePermit>>,
}

impl Place {
    /// A place that is not counted.
    pub(crate) fn free() -> Self {
        Self::default()
    }

    /// One of the places of `all`.
    pub(crate) fn taken(all: Arc<Semaphore>, mine: OwnedSemaphorePermit) -> Self {
        Self {
            all: Some(all),
            mine: RefCell::new(Some(mine)),
        }
    }
}

impl Run {
    /// A run of `part` of `script` for `event`.
    pub(crate) fn new(
        script: &Rc<str>,
        event: Arc<Event>,
        part: Part,
        limits: &Rc<Limits>,
        world: &Rc<dyn World>,
        place: Place,
    ) -> Rc<Self> {
        Rc::new(Self {
            script: Rc::clone(script),
            event,
            part,
            limits: Rc::clone(limits),
            world: Rc::clone(world),
            tally: Tally::new(limits.cpu),
            place,
            reads: RefCell::default(),
            writes: RefCell::default(),
            posts: RefCell::default(),
            queued: RefCell::default(),
            sends: RefCell::default(),
            sent: RefCell::default(),
            ended: Cell::new(false),
        })
    }

    /// The event at work.
    pub(crate) fn event(&self) -> &Arc<Event> {
        &self.event
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
        let reads = self.reads.take();
        let writes = self.writes.take().into_iter().map(|(key, pending)| {
            let expect = match pending.change {
                // Applied to the newest value, whatever it is by then.
                Change::Incr(_) => None,
                Change::Set(_) | Change::Delete => reads.get(&key).map(|kept| kept.as_ref().map(|kept| kept.version)),
            };
            Write {
                key,
                change: pending.change,
                expires_at: pending.expires_at,
                expect,
            }
        });
        Effects {
            writes: writes.collect(),
            posts: self.posts.take(),
            queued: self.queued.take(),
            sent: self.sent.take(),
        }
    }

    /// `kv.get`
    pub(crate) async fn kv_get(&self, key: String) -> Result<Option<Value>, Refusal> {
        check_key(&key)?;
        match self.pending(&key) {
            Some(Change::Set(value)) => return Ok(Some(value)),
            Some(Change::Delete) => return Ok(None),
            Some(Change::Incr(_)) | None => {}
        }
        let committed = self.committed(&key).await?;
        match self.pending(&key) {
            Some(Change::Incr(by)) => add(&key, committed.map(|kept| kept.value).as_ref(), by).map(Some),
            _ => Ok(committed.map(|kept| kept.value)),
        }
    }

    /// `kv.set`
    pub(crate) fn kv_set(&self, key: String, value: Value, ttl: Option<i64>) -> Result<(), Refusal> {
        let size = value.to_string().len();
        if size > MAX_VALUE {
            return misuse(format!(
                "kv.set: the value of '{key}' has {size} bytes as JSON; at most {MAX_VALUE} fit"
            ));
        }
        self.write(key, Change::Set(value), ttl)
    }

    /// `kv.delete`
    pub(crate) fn kv_delete(&self, key: String) -> Result<(), Refusal> {
        self.write(key, Change::Delete, None)
    }

    /// `kv.incr`: answers the newest number that is known; the commit adds to the newest there is.
    pub(crate) async fn kv_incr(&self, key: String, by: f64, ttl: Option<i64>) -> Result<Value, Refusal> {
        check_key(&key)?;
        let base = match self.pending(&key) {
            Some(Change::Set(value)) => {
                let sum = add(&key, Some(&value), by)?;
                self.write(key, Change::Set(sum.clone()), ttl)?;
                return Ok(sum);
            }
            Some(Change::Delete) => {
                let sum = add(&key, None, by)?;
                self.write(key, Change::Set(sum.clone()), ttl)?;
                return Ok(sum);
            }
            Some(Change::Incr(_)) | None => self.committed(&key).await?.map(|kept| kept.value),
        };
        // Looked up again: another branch of the run may have added while this one awaited.
        let before = match self.pending(&key) {
            Some(Change::Incr(before)) => before,
            _ => 0.0,
        };
        let sum = add(&key, base.as_ref(), before + by)?;
        self.write(key, Change::Incr(before + by), ttl)?;
        Ok(sum)
    }

    /// `kv.list`: keys that start with `prefix`, in order, with what this run wrote.
    pub(crate) async fn kv_list(&self, prefix: String) -> Result<Vec<(String, Value)>, Refusal> {
        let committed = self.world.kv_list(prefix.clone(), MAX_LIST).await?;
        let mut entries: BTreeMap<String, Value> = committed.into_iter().map(|(key, kept)| (key, kept.value)).collect();
        for (key, pending) in self.writes.borrow().iter().filter(|(key, _)| key.starts_with(&prefix)) {
            match &pending.change {
                Change::Set(value) => entries.insert(key.clone(), value.clone()),
                Change::Delete => entries.remove(key),
                Change::Incr(by) => entries.insert(key.clone(), add(key, entries.get(key), *by)?),
            };
        }
        Ok(entries.into_iter().take(MAX_LIST).collect())
    }

    /// `webhook.post`
    pub(crate) fn post(&self, endpoint: String, body: Vec<u8>) -> Result<(), Refusal> {
        self.still_open()?;
        if body.len() > MAX_BODY {
            return misuse(format!(
                "webhook.post: the body has {} bytes; at most {MAX_BODY} fit",
                body.len()
            ));
        }
        if !self.world.has_endpoint(&endpoint) {
            return misuse(match endpoint.strip_prefix("account:") {
                Some(account) => format!("webhook.post: account '{account}' has no webhook"),
                None => format!("webhook.post: there is no [endpoint.{endpoint}] in config.toml"),
            });
        }
        let mut posts = self.posts.borrow_mut();
        if posts.len() == MAX_POSTS {
            return misuse(format!("webhook.post: more than {MAX_POSTS} deliveries in one run"));
        }
        posts.push(Posted { endpoint, body });
        Ok(())
    }

    /// `account:send` and `msg:reply`; `None` means that it is queued, as sends of a gate are.
    pub(crate) async fn send(&self, account: AccountId, to: String, content: Content) -> Result<Option<Sent>, Refusal> {
        self.still_open()?;
        let n = {
            let mut sends = self.sends.borrow_mut();
            let count = sends.entry((account.as_str().to_owned(), to.clone())).or_default();
            *count += 1;
            *count
        };
        let branch = match self.part {
            Part::Handlers => "main".to_owned(),
            Part::Gate(place) => format!("gate{place}"),
        };
        let order = SendOrder {
            key: format!("{}/{}/{branch}/send/{account}/{to}/{n}", self.script, self.event.id),
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
        let still = self.tally.wait();
        // Let go before the wait, so that others can work meanwhile.
        let had_place = self.place.mine.take().is_some();
        let sent = self.world.send(order).await;
        if let Some(all) = self.place.all.as_ref().filter(|_| had_place) {
            *self.place.mine.borrow_mut() = Arc::clone(all).acquire_owned().await.ok();
        }
        drop(still);
        Ok(Some(sent?))
    }

    fn still_open(&self) -> Result<(), Refusal> {
        if self.ended.get() {
            return misuse("this run has ended");
        }
        Ok(())
    }

    fn pending(&self, key: &str) -> Option<Change> {
        self.writes.borrow().get(key).map(|pending| pending.change.clone())
    }

    async fn committed(&self, key: &str) -> Result<Option<Kept>, Refusal> {
        if let Some(kept) = self.reads.borrow().get(key) {
            return Ok(kept.clone());
        }
        let kept = self.world.kv_get(key.to_owned()).await?;
        self.reads.borrow_mut().insert(key.to_owned(), kept.clone());
        Ok(kept)
    }

    fn write(&self, key: String, change: Change, ttl: Option<i64>) -> Result<(), Refusal> {
        self.still_open()?;
        check_key(&key)?;
        let mut writes = self.writes.borrow_mut();
        if writes.len() == MAX_KEYS && !writes.contains_key(&key) {
            return misuse(format!("kv: more than {MAX_KEYS} keys written in one run"));
        }
        let expires_at = ttl.map(|ttl| self.world.now().saturating_add(ttl));
        writes.insert(key, Pending { change, expires_at });
        Ok(())
    }
}

fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() || key.len() > MAX_KEY {
        return misuse(format!(
            "kv: a key has 1 to {MAX_KEY} bytes, this one has {}",
            key.len()
        ));
    }
    Ok(())
}

/// A sum as JSON, whole where it is whole.
fn add(key: &str, base: Option<&Value>, by: f64) -> Result<Value, Refusal> {
    let base = match base {
        None => 0.0,
        Some(Value::Number(number)) => number.as_f64().unwrap_or(0.0),
        Some(other) => return misuse(format!("kv.incr: '{key}' is not a number but {other}")),
    };
    Ok(number(base + by))
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
