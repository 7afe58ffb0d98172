//! The keys of a run: what it has read of them, and what it wants written.
//!
//! In: the calls of `wharf.kv`. Out: writes, each with the version that the run relied on. Values that were read are not
//! kept, only their versions: a run may read much more than the host should hold for it. Must not write anything itself.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::super::world::Kept;
use super::{Change, Refusal, Run, Write, misuse, number};

mod update;

use update::{Onward, Steps};

/// Keys that one run may write.
const MAX_KEYS: usize = 64;
/// Keys and prefixes that one run may read: each is remembered until it ends, in at most 600 bytes.
const MAX_READS: usize = 4000;
/// Bytes of one value, as JSON.
const MAX_VALUE: usize = 48 * 1024;
/// Bytes of a key.
pub(crate) const MAX_KEY: usize = 512;
/// Entries that `kv.list` answers.
const MAX_LIST: usize = 1000;

/// What a run knows and wants of its keys.
#[derive(Default)]
pub(super) struct Keys {
    /// The version of each key when it was read first; `None`: it was not there.
    reads: RefCell<HashMap<String, Option<u64>>>,
    /// Prefixes that were listed whole: what was not in the list was not there.
    lists: RefCell<BTreeSet<String>>,
    writes: RefCell<BTreeMap<String, Pending>>,
    /// How the updates among the writes came about; kept when the writes are taken.
    updates: RefCell<HashMap<String, Steps>>,
}

#[derive(Clone)]
struct Pending {
    change: Change,
    expires_at: Option<i64>,
    /// What the run had read when it wrote: what it reads later of the key is its own.
    expect: Option<Option<u64>>,
    /// Of an update, the version that its value was made of.
    base: Option<u64>,
}

impl Keys {
    /// Takes the writes, with what each relies on.
    pub(super) fn take(&self) -> Vec<Write> {
        let writes = self.writes.take().into_iter();
        let writes = writes.map(|(key, pending)| Write {
            key,
            expect: match pending.change {
                // Applied to the newest value, whatever it is by then.
                Change::Incr(_) => None,
                Change::Update(_) => Some(pending.base),
                Change::Set(_) | Change::Delete => pending.expect,
            },
            change: pending.change,
            expires_at: pending.expires_at,
        });
        writes.collect()
    }

    /// The version that the run has read of a key; `None` if it has not read it.
    fn read(&self, key: &str) -> Option<Option<u64>> {
        if let Some(version) = self.reads.borrow().get(key) {
            return Some(*version);
        }
        let lists = self.lists.borrow();
        lists.iter().any(|prefix| key.starts_with(prefix)).then_some(None)
    }

    fn pending(&self, key: &str) -> Option<Pending> {
        self.writes.borrow().get(key).cloned()
    }

    /// Remembers what was read; the first reading of a key is what the run relies on.
    fn note<'a>(&self, read: impl IntoIterator<Item = (&'a str, Option<u64>)>) -> Result<(), Refusal> {
        let (mut reads, lists) = (self.reads.borrow_mut(), self.lists.borrow().len());
        for (key, version) in read {
            if reads.contains_key(key) {
                continue;
            }
            if reads.len() + lists >= MAX_READS {
                return misuse(format!("kv: more than {MAX_READS} keys read in one run"));
            }
            reads.insert(key.to_owned(), version);
        }
        Ok(())
    }

    /// Remembers that all keys with this prefix are known.
    fn note_list(&self, prefix: &str) -> Result<(), Refusal> {
        let (reads, mut lists) = (self.reads.borrow().len(), self.lists.borrow_mut());
        if reads + lists.len() >= MAX_READS && !lists.contains(prefix) {
            return misuse(format!("kv: more than {MAX_READS} keys read in one run"));
        }
        lists.insert(prefix.to_owned());
        Ok(())
    }
}

impl Run {
    /// `kv.get`
    pub(crate) async fn kv_get(&self, key: String) -> Result<Option<Value>, Refusal> {
        check_key(&key)?;
        match self.keys.pending(&key).map(|pending| pending.change) {
            Some(Change::Set(value)) => return Ok(Some(value)),
            Some(Change::Update(value)) => return Ok(value),
            Some(Change::Delete) => return Ok(None),
            Some(Change::Incr(_)) | None => {}
        }
        let committed = self.committed(&key).await?;
        match self.keys.pending(&key).map(|pending| pending.change) {
            Some(Change::Incr(by)) => add(&key, committed.as_ref(), by).map(Some),
            _ => Ok(committed),
        }
    }

    /// `kv.set`; `ttl` in milliseconds, without one the entry stays.
    pub(crate) fn kv_set(&self, key: String, value: Value, ttl: Option<i64>) -> Result<(), Refusal> {
        fits("kv.set", &key, &value)?;
        self.write(key, Change::Set(value), self.expiry(ttl))
    }

    /// `kv.delete`
    pub(crate) fn kv_delete(&self, key: String) -> Result<(), Refusal> {
        self.write(key, Change::Delete, None)
    }

    /// `kv.incr`: answers the newest number that is known; the commit adds to the newest there is. Without a `ttl` the entry
    /// ends when it would have ended before.
    pub(crate) async fn kv_incr(&self, key: String, by: f64, ttl: Option<i64>) -> Result<Value, Refusal> {
        check_key(&key)?;
        let ends = |before: Option<i64>| self.expiry(ttl).or(before);
        let base = match self.keys.pending(&key) {
            Some(Pending {
                change: Change::Set(value),
                expires_at,
                ..
            }) => {
                let sum = add(&key, Some(&value), by)?;
                self.write(key, Change::Set(sum.clone()), ends(expires_at))?;
                return Ok(sum);
            }
            Some(Pending {
                change: Change::Delete, ..
            }) => {
                let sum = add(&key, None, by)?;
                self.write(key, Change::Set(sum.clone()), ends(None))?;
                return Ok(sum);
            }
            Some(Pending {
                change: Change::Update(_),
                ..
            }) => None,
            Some(_) | None => self.committed(&key).await?,
        };
        // Looked up again: another branch of the run may have added while this one awaited.
        if let Some(Pending {
            change: Change::Update(value),
            base,
            expires_at,
            ..
        }) = self.keys.pending(&key)
        {
            let sum = add(&key, value.as_ref(), by)?;
            self.step(
                key,
                Onward::Add(by),
                Some(sum.clone()),
                base,
                (self.expiry(ttl), expires_at),
            )?;
            return Ok(sum);
        }
        let (before, expires_at) = match self.keys.pending(&key) {
            Some(Pending {
                change: Change::Incr(before),
                expires_at,
                ..
            }) => (before, expires_at),
            _ => (0.0, None),
        };
        let sum = add(&key, base.as_ref(), before + by)?;
        self.write(key, Change::Incr(before + by), ends(expires_at))?;
        Ok(sum)
    }

    /// `kv.list`: keys that start with `prefix`, in order, with what this run wrote.
    pub(crate) async fn kv_list(&self, prefix: String) -> Result<Vec<(String, Value)>, Refusal> {
        let committed = self.world().kv_list(prefix.clone(), MAX_LIST).await?;
        let read = committed.iter().map(|(key, kept)| (key.as_str(), Some(kept.version)));
        self.keys.note(read)?;
        if committed.len() < MAX_LIST {
            self.keys.note_list(&prefix)?;
        }
        let mut entries: BTreeMap<String, Value> = committed.into_iter().map(|(key, kept)| (key, kept.value)).collect();
        let writes = self.keys.writes.borrow();
        for (key, pending) in writes.iter().filter(|(key, _)| key.starts_with(&prefix)) {
            match &pending.change {
                Change::Set(value) | Change::Update(Some(value)) => entries.insert(key.clone(), value.clone()),
                Change::Delete | Change::Update(None) => entries.remove(key),
                Change::Incr(by) => entries.insert(key.clone(), add(key, entries.get(key), *by)?),
            };
        }
        Ok(entries.into_iter().take(MAX_LIST).collect())
    }

    async fn committed(&self, key: &str) -> Result<Option<Value>, Refusal> {
        let kept: Option<Kept> = self.world().kv_get(key.to_owned()).await?;
        self.keys.note([(key, kept.as_ref().map(|kept| kept.version))])?;
        Ok(kept.map(|kept| kept.value))
    }

    fn expiry(&self, ttl: Option<i64>) -> Option<i64> {
        ttl.map(|ttl| self.world().now().saturating_add(ttl))
    }

    fn write(&self, key: String, change: Change, expires_at: Option<i64>) -> Result<(), Refusal> {
        self.still_open()?;
        check_key(&key)?;
        let mut writes = self.keys.writes.borrow_mut();
        if writes.len() == MAX_KEYS && !writes.contains_key(&key) {
            return misuse(format!("kv: more than {MAX_KEYS} keys written in one run"));
        }
        let expect = match writes.get(&key) {
            Some(Pending {
                change: Change::Set(_) | Change::Delete | Change::Update(_),
                expect,
                ..
            }) => *expect,
            _ => self.keys.read(&key),
        };
        self.keys.updates.borrow_mut().remove(&key);
        writes.insert(
            key,
            Pending {
                change,
                expires_at,
                expect,
                base: None,
            },
        );
        Ok(())
    }
}

/// Whether a value is small enough to be kept.
fn fits(name: &str, key: &str, value: &Value) -> Result<(), Refusal> {
    let size = value.to_string().len();
    if size > MAX_VALUE {
        return misuse(format!(
            "{name}: the value of '{key}' has {size} bytes as JSON; at most {MAX_VALUE} fit"
        ));
    }
    Ok(())
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
