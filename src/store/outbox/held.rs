//! How much the outbox holds, counted with every change in its own commit.
//!
//! In: what is taken in and let go. Out: [`Held`] over all, which lies in the head row, and a [`Share`] for each endpoint, beside
//! its sequence. Must not decide what is too much for an endpoint: `webhook` does. A store that was written before there were
//! counts is counted once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeadLetter, Delivery};
use crate::store::disk::Disk;
use crate::store::layout::{self, Table};
use crate::store::stage::Layer;
use crate::store::{Error, record};

/// Deliveries that may wait over all endpoints; while there are more, who posts waits.
pub const BACKLOG_COUNT: u64 = 1_000_000;

/// Bytes of bodies that may wait over all endpoints; a body that several share counts for each.
pub const BACKLOG_BYTES: u64 = 2 << 30;

/// How much the outbox holds in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Dead letters.
    pub dead: u64,
    /// Bytes of their bodies.
    pub dead_bytes: u64,
    /// Dead letters that were dropped since the store was made.
    pub dropped: u64,
}

impl Held {
    /// Whether who posts has to wait.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting >= BACKLOG_COUNT || self.bytes >= BACKLOG_BYTES
    }

    /// Counts what lies on disk, for a head that was written without.
    pub(in crate::store) fn count(disk: &Disk) -> Result<Held, Error> {
        let mut held = Held::default();
        for row in disk.scan(&Table::Deliveries.prefix()) {
            let (key, payload) = row?;
            let delivery: Delivery = record::from_json(&key, &payload)?;
            held.waiting += 1;
            held.bytes += u64::from(delivery.size);
        }
        for row in disk.scan(&Table::DeadLetters.prefix()) {
            let (key, payload) = row?;
            let letter: DeadLetter = record::from_json(&key, &payload)?;
            held.dead += 1;
            held.dead_bytes += u64::from(letter.delivery.size);
        }
        Ok(held)
    }
}

/// What waits for one endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// What is known of an endpoint: its last sequence, when its last post was first due, and what waits for it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Endpoint {
    sequence: u64,
    due: i64,
    #[serde(default)]
    held: Option<Share>,
}

/// Counts a post of `size` bytes; gives its sequence, and when it is due.
pub(super) fn next(layer: &mut Layer<'_>, endpoint: &str, size: u32, now: i64) -> Result<(u64, i64), Error> {
    let mut given = (0, 0);
    change(layer, endpoint, |kept, share| {
        kept.sequence += 1;
        // A clock that went back must not put a first try before those of earlier posts.
        kept.due = kept.due.max(now);
        share.waiting += 1;
        share.bytes += u64::from(size);
        given = (kept.sequence, kept.due);
    })?;
    layer.head.held.waiting += 1;
    layer.head.held.bytes += u64::from(size);
    Ok(given)
}

/// A delivery does not wait any more.
pub(super) fn ended(layer: &mut Layer<'_>, delivery: &Delivery) -> Result<(), Error> {
    let size = u64::from(delivery.size);
    change(layer, &delivery.endpoint, |_, share| {
        share.waiting = share.waiting.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(size);
    })?;
    let held = &mut layer.head.held;
    held.waiting = held.waiting.saturating_sub(1);
    held.bytes = held.bytes.saturating_sub(size);
    Ok(())
}

/// There is one dead letter more.
pub(super) fn buried(layer: &mut Layer<'_>, delivery: &Delivery) {
    layer.head.held.dead += 1;
    layer.head.held.dead_bytes += u64::from(delivery.size);
}

/// A dead letter waits again.
pub(in crate::store) fn revived(layer: &mut Layer<'_>, delivery: &Delivery) -> Result<(), Error> {
    let size = u64::from(delivery.size);
    change(layer, &delivery.endpoint, |_, share| {
        share.waiting += 1;
        share.bytes += size;
    })?;
    let held = &mut layer.head.held;
    held.waiting += 1;
    held.bytes += size;
    held.dead = held.dead.saturating_sub(1);
    held.dead_bytes = held.dead_bytes.saturating_sub(size);
    Ok(())
}

/// A dead letter was dropped.
pub(super) fn forgotten(layer: &mut Layer<'_>, delivery: &Delivery) {
    let held = &mut layer.head.held;
    held.dead = held.dead.saturating_sub(1);
    held.dead_bytes = held.dead_bytes.saturating_sub(u64::from(delivery.size));
    held.dropped += 1;
}

fn change(layer: &mut Layer<'_>, endpoint: &str, work: impl FnOnce(&mut Endpoint, &mut Share)) -> Result<(), Error> {
    let key = Table::Endpoints.named(endpoint)?;
    let mut kept: Endpoint = layer.get(&key)?.unwrap_or_default();
    let mut share = match kept.held {
        Some(share) => share,
        // Nothing of it has changed since there are counts, so what lies on disk is all there is.
        None if kept.sequence > 0 => count(layer.disk(), endpoint)?,
        None => Share::default(),
    };
    work(&mut kept, &mut share);
    kept.held = Some(share);
    layer.put(key, &kept)
}

fn count(disk: &Disk, endpoint: &str) -> Result<Share, Error> {
    let mut share = Share::default();
    for row in disk.scan(&Table::Deliveries.prefix()) {
        let (key, payload) = row?;
        let delivery: Delivery = record::from_json(&key, &payload)?;
        if delivery.endpoint == endpoint {
            share.waiting += 1;
            share.bytes += u64::from(delivery.size);
        }
    }
    Ok(share)
}

/// The shares of all endpoints.
pub(super) fn shares(disk: &Disk) -> Result<BTreeMap<String, Share>, Error> {
    let rows = disk.scan(&Table::Endpoints.prefix()).map(|row| {
        let (key, payload) = row?;
        let name = layout::text_of(&key, key.get(1..).unwrap_or_default())?;
        let kept: Endpoint = record::from_json(&key, &payload)?;
        let share = match kept.held {
            Some(share) => share,
            None => count(disk, &name)?,
        };
        Ok((name, share))
    });
    rows.collect()
}
