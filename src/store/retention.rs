//! What the journal lets go of: events that are too old, or too many, and that no script at work still needs.
//!
//! In: the writer calls a step between commits. Out: the journal's first offset, moved; `script.skipped` for each script that was
//! left behind; then the rows below it, deleted a few at a time. A reader that is suspended or gone never stops the host: it is
//! passed. One that works is waited for, until the journal is four times what it may be. Must not delete above the first offset.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::event::{Draft, Kind, Origin};

use super::disk::Disk;
use super::layout::{self, Table};
use super::stage::{Head, Layer};
use super::{Error, Position, ids, journal};

/// How much of the journal is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long an event is kept.
    pub keep: Duration,
    /// Bytes of all events.
    pub bytes: u64,
}

impl Default for Limits {
    /// 7 days and 4 GiB.
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(7 * 24 * 60 * 60),
            bytes: 4 << 30,
        }
    }
}

/// Beyond so many times [`Limits::bytes`], readers at work are passed, too.
const HARD: u64 = 4;

/// Rows looked at in one step: about a millisecond.
const LOOK: usize = 256;

/// Rows deleted in one step, so that a commit stays small also with further parts of large ones.
const DELETE: usize = 60;

/// Scripts that are told of by one commit; more are told of by the next rounds.
const TOLD: usize = 40;

/// What may go, and who is asked.
pub(super) struct Rules<'a> {
    pub(super) limits: Limits,
    /// The scripts that there are, and whether each is at work; `None`: all that have a position are.
    pub(super) readers: Option<&'a HashMap<String, bool>>,
    pub(super) now: i64,
}

/// Where it stands.
#[derive(Debug, Default)]
pub(super) enum Retention {
    /// Nothing to do until the next round.
    #[default]
    Idle,
    /// Looks how far the first offset may move: this far at least, which frees so many bytes.
    Planning { to: u64, freed: u64 },
    /// Deletes what lies below the first offset.
    Deleting,
}

impl Retention {
    /// What is left to do in a database that was just opened.
    pub(super) fn after_opening() -> Self {
        Self::Deleting
    }

    /// Whether a step would do anything.
    pub(super) fn is_at_work(&self) -> bool {
        !matches!(self, Self::Idle)
    }

    /// Begins a round, unless one is under way.
    pub(super) fn begin(&mut self, head: &Head) {
        if !self.is_at_work() {
            *self = Self::Planning {
                to: head.first,
                freed: 0,
            };
        }
    }

    /// One step of a round.
    pub(super) fn step(&mut self, layer: &mut Layer<'_>, rules: &Rules<'_>) -> Result<(), Error> {
        *self = match std::mem::take(self) {
            Self::Idle => Self::Idle,
            Self::Planning { to, freed } => plan(layer, rules, to, freed)?,
            Self::Deleting => delete(layer)?,
        };
        Ok(())
    }
}

fn plan(layer: &mut Layer<'_>, rules: &Rules<'_>, mut to: u64, mut freed: u64) -> Result<Retention, Error> {
    let head = layer.head;
    let positions = positions(layer.disk())?;
    let at_work = |name: &String| rules.readers.is_none_or(|readers| readers.get(name) == Some(&true));
    let needed = positions
        .iter()
        .filter(|(name, _)| at_work(name))
        .map(|(_, position)| position.mark)
        .min();
    let mut looked = 0;
    for row in layer
        .disk()
        .scan_from(&Table::Journal.prefix(), &Table::Journal.numbered(to))
    {
        let (key, payload) = row?;
        let offset = layout::number_of(&key)?;
        let left = head.journal_bytes.saturating_sub(freed);
        // The newest event always stays: its id is what readers begin from.
        let end = offset.saturating_add(1) >= head.offset;
        let goes = !end
            && (left > rules.limits.bytes.saturating_mul(HARD)
                || (needed.is_none_or(|needed| offset < needed)
                    && (left > rules.limits.bytes || is_old(&key, &payload, rules)?)));
        if !goes {
            return pass(layer, &positions, rules, to, freed);
        }
        (to, freed) = (offset + 1, freed + payload.len() as u64);
        looked += 1;
        if looked >= LOOK {
            return Ok(Retention::Planning { to, freed });
        }
    }
    pass(layer, &positions, rules, to, freed)
}

/// Moves the first offset, and with it those that are left behind. A script that is gone keeps its position: it is told when it
/// comes back, and nobody is told of it every hour until then.
fn pass(
    layer: &mut Layer<'_>,
    positions: &[(String, Position)],
    rules: &Rules<'_>,
    to: u64,
    freed: u64,
) -> Result<Retention, Error> {
    if to <= layer.head.first {
        return Ok(Retention::Idle);
    }
    layer.head.first = to;
    layer.head.journal_bytes = layer.head.journal_bytes.saturating_sub(freed);
    let is_there = |name: &String| rules.readers.is_none_or(|readers| readers.contains_key(name));
    let behind = positions
        .iter()
        .filter(|(name, position)| position.mark < to && is_there(name));
    for (script, position) in behind.take(TOLD) {
        let mut lost = position.unfinished(to);
        if let Some(from) = lost.next() {
            let (last, count) = lost.fold((from, 1_u64), |(_, count), offset| (offset, count + 1));
            tracing::warn!(%script, from, to = last, count, "the journal is over its limit: events that this script has not seen are let go of");
            let data = json!({
                "script": script, "from": from, "to": last, "count": count,
                "reason": "the journal does not hold them any more",
            });
            tell(layer, &data, rules.now)?;
        }
        let mut moved = position.clone();
        moved.finish_range(0, to);
        layer.put(Table::Positions.named(script)?, &moved)?;
    }
    layer.write_head()?;
    Ok(Retention::Deleting)
}

fn tell(layer: &mut Layer<'_>, data: &Value, now: i64) -> Result<(), Error> {
    let data: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
    let draft = Draft {
        event: Kind::Named("script.skipped"),
        account: None,
        timestamp: now,
        origin: Origin::Live,
        data,
    };
    journal::stage(layer, draft.into(), now).map(|told| layer.told.extend(told))
}

fn delete(layer: &mut Layer<'_>) -> Result<Retention, Error> {
    let first = layer.head.first;
    let mut gone = Vec::new();
    for row in layer.disk().scan(&Table::Journal.prefix()) {
        let key = row?.0;
        if layout::number_of(&key)? >= first {
            break;
        }
        if gone.len() >= DELETE {
            for key in gone {
                layer.delete(key)?;
            }
            return Ok(Retention::Deleting);
        }
        gone.push(key);
    }
    for key in gone {
        layer.delete(key)?;
    }
    Ok(Retention::Idle)
}

fn is_old(key: &[u8], payload: &[u8], rules: &Rules<'_>) -> Result<bool, Error> {
    #[derive(serde::Deserialize)]
    struct Named {
        id: String,
    }
    let named: Named = super::record::from_json(key, payload)?;
    // The id says when it was journaled; the event's own time may be that of a message of last week.
    let made = ids::parse("evt_", &named.id).map_or(0, ids::time_of);
    let keep = i64::try_from(rules.limits.keep.as_millis()).unwrap_or(i64::MAX);
    Ok(made.saturating_add(keep) < rules.now)
}

fn positions(disk: &Disk) -> Result<Vec<(String, Position)>, Error> {
    disk.scan(&Table::Positions.prefix())
        .map(|row| {
            let (key, payload) = row?;
            let name = layout::text_of(&key, key.get(1..).unwrap_or_default())?;
            Ok((name, super::record::from_json(&key, &payload)?))
        })
        .collect()
}

/// The first offset and the bytes of a journal, counted: for a store that does not say.
pub(super) fn count(disk: &Disk, head: &Head) -> Result<(u64, u64), Error> {
    let (mut first, mut bytes) = (None, 0_u64);
    for row in disk.scan(&Table::Journal.prefix()) {
        let (key, payload) = row?;
        first.get_or_insert(layout::number_of(&key)?);
        bytes += payload.len() as u64;
    }
    Ok((first.unwrap_or(head.offset), bytes))
}

#[cfg(test)]
mod tests;
