//! What scripts remember: small JSON values in spaces, with versions and expiry.
//!
//! In: a run's writes, with what it has read (`expect`). Out: entries. Must not know whose space it is.
//!
//! A row's payload is `[version, 8 bytes][expiry in ms, 8 bytes, 0 for none]` big-endian, then the JSON as it was given.
//! An expired entry is absent for every reader and for `expect` from that millisecond on; the sweep removes the row later.

use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store};

/// The largest value, in bytes of JSON.
pub const VALUE_MAX: usize = 48 * 1024;

const HEADER: usize = 16;

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    /// JSON, as it was written.
    pub value: Vec<u8>,
    /// The number of the commit that wrote it.
    pub version: u64,
    /// From when on it is absent, in milliseconds since 1970.
    pub expires_at: Option<i64>,
}

/// An entry that must still be as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The space.
    pub space: String,
    /// The key in it.
    pub key: String,
    /// The version that was read; `None`: there was none.
    pub version: Option<u64>,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub struct KvWrite {
    /// The space; without zero bytes.
    pub space: String,
    /// The key in it; space and key together at most 1,000 bytes.
    pub key: String,
    /// What to do.
    pub op: KvOp,
    /// From when on it is absent, in milliseconds since 1970. `None`: never for a `Set`, as before for an `Incr`.
    pub expires_at: Option<i64>,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq)]
pub enum KvOp {
    /// Stores JSON, at most [`VALUE_MAX`] bytes.
    Set(Vec<u8>),
    /// Removes the entry, if there is one.
    Delete,
    /// Adds to the newest value there is at commit; an absent one counts as 0. Never conflicts.
    Incr(f64),
}

/// Refuses the batch if what it relies on has changed.
pub(super) fn check(layer: &Layer<'_>, expect: &[Expect], now: i64) -> Result<(), Error> {
    for Expect { space, key, version } in expect {
        let row = Table::Kv.owned(space, key.as_bytes())?;
        if newest(layer, &row, now)?.map(|entry| entry.version) != *version {
            return Err(Error::Conflict {
                space: space.clone(),
                key: key.clone(),
            });
        }
    }
    Ok(())
}

/// Does the writes of a batch, in their order.
pub(super) fn stage(layer: &mut Layer<'_>, writes: Vec<KvWrite>, now: i64) -> Result<(), Error> {
    for KvWrite {
        space,
        key,
        op,
        expires_at,
    } in writes
    {
        let row = Table::Kv.owned(&space, key.as_bytes())?;
        let (value, expires_at) = match op {
            KvOp::Delete => {
                layer.delete(row)?;
                continue;
            }
            KvOp::Set(value) => (value, expires_at),
            KvOp::Incr(by) => {
                let before = newest(layer, &row, now)?;
                let expires_at = expires_at.or(before.as_ref().and_then(|entry| entry.expires_at));
                let sum = sum(before.as_ref(), by).ok_or(Error::NotANumber {
                    space,
                    key: key.clone(),
                })?;
                (sum.to_string().into_bytes(), expires_at)
            }
        };
        if value.len() > VALUE_MAX {
            let what = format!("the value of `{}`, in bytes,", key.escape_debug());
            return Err(Error::TooLarge {
                what,
                size: value.len(),
                limit: VALUE_MAX,
            });
        }
        let entry = KvEntry {
            value,
            version: layer.head.commit,
            expires_at,
        };
        layer.put_bytes(row, &encode(&entry))?;
    }
    Ok(())
}

fn newest(layer: &Layer<'_>, row: &[u8], now: i64) -> Result<Option<KvEntry>, Error> {
    let Some(payload) = layer.bytes(row)? else {
        return Ok(None);
    };
    decode(row, &payload).map(|entry| alive(entry, now))
}

/// The sum as JSON: a whole number without a fraction where it is one, as scripts write them.
fn sum(before: Option<&KvEntry>, by: f64) -> Option<serde_json::Number> {
    let before = match before {
        Some(entry) => serde_json::from_slice::<serde_json::Number>(&entry.value)
            .ok()?
            .as_f64()?,
        None => 0.0,
    };
    let sum = before + by;
    // Up to 2^53 a double holds every whole number exactly.
    if sum.fract() == 0.0 && sum.abs() <= 9_007_199_254_740_992.0 {
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Some((sum as i64).into());
    }
    serde_json::Number::from_f64(sum)
}

fn encode(entry: &KvEntry) -> Vec<u8> {
    let mut payload = Vec::with_capacity(HEADER + entry.value.len());
    payload.extend(entry.version.to_be_bytes());
    payload.extend(entry.expires_at.unwrap_or(0).to_be_bytes());
    payload.extend_from_slice(&entry.value);
    payload
}

fn decode(row: &[u8], payload: &[u8]) -> Result<KvEntry, Error> {
    let parts = payload.split_first_chunk::<8>().and_then(|(version, rest)| {
        rest.split_first_chunk::<8>()
            .map(|(expires, value)| (*version, *expires, value))
    });
    let Some((version, expires, value)) = parts else {
        return Err(Error::corrupt(format!("row {}: too short", row.escape_ascii())));
    };
    let expires_at = Some(i64::from_be_bytes(expires)).filter(|at| *at != 0);
    Ok(KvEntry {
        value: value.to_vec(),
        version: u64::from_be_bytes(version),
        expires_at,
    })
}

fn alive(entry: KvEntry, now: i64) -> Option<KvEntry> {
    entry.expires_at.is_none_or(|at| now < at).then_some(entry)
}

/// Whether the sweep may remove this row.
pub(super) fn is_expired(row: &[u8], payload: &[u8], now: i64) -> Result<bool, Error> {
    decode(row, payload).map(|entry| alive(entry, now).is_none())
}

impl Store {
    /// An entry; an expired one is absent.
    pub async fn kv_get(&self, space: &str, key: &str) -> Result<Option<KvEntry>, Error> {
        let row = Table::Kv.owned(space, key.as_bytes())?;
        let now = super::now();
        self.read(move |disk| {
            let Some(payload) = disk.bytes(&row)? else {
                return Ok(None);
            };
            decode(&row, &payload).map(|entry| alive(entry, now))
        })
        .await
    }

    /// The entries of a space whose keys begin so, by key, at most `limit`; without the expired ones.
    pub async fn kv_list(&self, space: &str, prefix: &str, limit: usize) -> Result<Vec<(String, KvEntry)>, Error> {
        let prefix = Table::Kv.owned(space, prefix.as_bytes())?;
        let now = super::now();
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan(&prefix) {
                if found.len() >= limit {
                    break;
                }
                let (row, payload) = row?;
                if let Some(entry) = alive(decode(&row, &payload)?, now) {
                    found.push((layout::text_of(&row, layout::name_of(&row))?, entry));
                }
            }
            Ok(found)
        })
        .await
    }
}
