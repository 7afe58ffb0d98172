//! `kv.update`: changes of a key that are made again if another value is there at the commit.
//!
//! In: functions of the script. Out: the value that they make of the newest one. Must not commit.

use std::rc::Rc;

use serde_json::Value;

use super::super::{Change, Refusal, Run, Write, misuse};
use super::{Pending, add, check_key, fits};

/// Changes of one key by `kv.update` that one run may make: all of them are made again when another run was faster.
const MAX_STEPS: usize = 100;
/// A function of the script that makes a new value of one that is there.
pub(super) type Step = Rc<dyn Fn(Option<Value>) -> Result<Option<Value>, Refusal>>;

/// What leads from a committed value to the one that the run wants.
#[derive(Clone)]
pub(super) enum Onward {
    Add(f64),
    Apply(Step),
}

/// All changes of a key that are made again if another value is there at the commit.
#[derive(Clone, Default)]
pub(super) struct Steps {
    steps: Vec<Onward>,
    /// When the entry ends; `None`: as before.
    expires_at: Option<i64>,
}

impl Run {
    /// `kv.update`: answers the new value, made of the newest that is known; if another one is there at the commit, the steps
    /// are made again from that one, see [`Run::kv_again`].
    pub(crate) async fn kv_update(&self, key: String, step: Step, ttl: Option<i64>) -> Result<Option<Value>, Refusal> {
        check_key(&key)?;
        let known = |change: &Change| !matches!(change, Change::Incr(_));
        let kept = match self.keys.pending(&key) {
            Some(pending) if known(&pending.change) => None,
            // Not noted as read: the run does not rely on it, the function is asked again.
            _ => self.world().kv_get(key.clone()).await?,
        };
        let base = kept.as_ref().map(|kept| kept.version);
        let ended = kept.as_ref().and_then(|kept| kept.expires_at);
        let before = kept.map(|kept| kept.value);
        let ends = self.expiry(ttl);
        // Looked up again: another branch of the run may have written while this one awaited.
        let (value, base, ended) = match self.keys.pending(&key) {
            Some(Pending {
                change: change @ (Change::Set(_) | Change::Delete),
                expires_at,
                ..
            }) => {
                let before = match change {
                    Change::Set(value) => Some(value),
                    _ => None,
                };
                let value = step(before)?;
                match &value {
                    Some(value) => {
                        fits("kv.update", &key, value)?;
                        self.write(key, Change::Set(value.clone()), ends.or(expires_at))?;
                    }
                    None => self.write(key, Change::Delete, None)?,
                }
                return Ok(value);
            }
            Some(Pending {
                change: Change::Update(value),
                base,
                expires_at,
                ..
            }) => (value, base, expires_at),
            Some(Pending {
                change: Change::Incr(by),
                expires_at,
                ..
            }) => {
                let sum = add(&key, before.as_ref(), by)?;
                self.step(
                    key.clone(),
                    Onward::Add(by),
                    Some(sum.clone()),
                    base,
                    (expires_at, ended),
                )?;
                (Some(sum), base, expires_at.or(ended))
            }
            None => (before, base, ended),
        };
        let value = step(value)?;
        self.step(key, Onward::Apply(step), value.clone(), base, (ends, ended))?;
        Ok(value)
    }

    /// Notes one change of a key that is made again at a conflict, and what it comes to now. It ends as the call said, or
    /// else as before.
    pub(super) fn step(
        &self,
        key: String,
        change: Onward,
        value: Option<Value>,
        base: Option<u64>,
        (said, ended): (Option<i64>, Option<i64>),
    ) -> Result<(), Refusal> {
        if let Some(value) = &value {
            fits("kv.update", &key, value)?;
        }
        let mut steps = self.keys.updates.borrow().get(&key).cloned().unwrap_or_default();
        if steps.steps.len() == MAX_STEPS {
            return misuse(format!(
                "kv.update: more than {MAX_STEPS} updates of '{key}' in one run"
            ));
        }
        steps.steps.push(change);
        steps.expires_at = said.or(steps.expires_at);
        self.write(key.clone(), Change::Update(value), steps.expires_at.or(ended))?;
        if let Some(pending) = self.keys.writes.borrow_mut().get_mut(&key) {
            pending.base = base;
            // Whoever sets it after this has seen what this made of it.
            pending.expect.get_or_insert(base);
        }
        self.keys.updates.borrow_mut().insert(key, steps);
        Ok(())
    }

    /// Whether there is anything that [`Run::kv_again`] can make again.
    pub(crate) fn has_updates(&self) -> bool {
        !self.keys.updates.borrow().is_empty()
    }

    /// After a commit that found another value than the one that `kv.update` was made of: the write, made of the newest.
    pub(crate) async fn kv_again(&self, key: &str) -> Result<Write, Refusal> {
        let Some(Steps { steps, expires_at }) = self.keys.updates.borrow().get(key).cloned() else {
            return misuse(format!("kv.update: '{key}' was not updated"));
        };
        let kept = self.world().kv_get(key.to_owned()).await?;
        let version = kept.as_ref().map(|kept| kept.version);
        let ended = kept.as_ref().and_then(|kept| kept.expires_at);
        let mut value = kept.map(|kept| kept.value);
        for step in steps {
            value = match step {
                Onward::Add(by) => Some(add(key, value.as_ref(), by)?),
                Onward::Apply(step) => step(value)?,
            };
        }
        if let Some(value) = &value {
            fits("kv.update", key, value)?;
        }
        Ok(Write {
            key: key.to_owned(),
            change: Change::Update(value),
            expires_at: expires_at.or(ended),
            expect: Some(version),
        })
    }
}
