//! What goes by itself, in small steps between commits: rows whose time is over, and the rows of removed accounts.
//!
//! In: the writer calls a step when it is idle, or once in a while when it is not. Out: rows to delete, fewer than a commit
//! may hold. Must not delete anything that a reader still counts on:
//!
//! | table | goes |
//! |---|---|
//! | compared ids, page marks | 15 days after their commit |
//! | kv | when expired |
//! | intents with `keep_until` | then if answered, 15 days later if not |
//! | verdicts | when every position has passed them |

use serde::de::IgnoredAny;

use super::intents::Intent;
use super::layout::{self, Table};
use super::marks::{KEEP_MS, Mark};
use super::stage::Layer;
use super::{Error, Position, kv, record};

/// Rows looked at in one step: about a millisecond.
const LOOK: usize = 256;

/// Rows deleted in one step; with the head, and with further parts of large ones, well below what a commit may hold.
const DELETE: usize = 60;

const ORDER: [Table; 5] = [
    Table::Seen,
    Table::PageMarks,
    Table::Kv,
    Table::Intents,
    Table::Verdicts,
];

/// Where a round of the sweep stands.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    table: usize,
    from: Option<Vec<u8>>,
}

impl Sweep {
    /// One step. Says whether the round is over; the next step begins a new one.
    pub(super) fn step(&mut self, layer: &mut Layer<'_>, now: i64) -> Result<bool, Error> {
        let Some(table) = ORDER.get(self.table).copied() else {
            *self = Sweep::default();
            return Ok(true);
        };
        let passed = if table == Table::Verdicts {
            lowest_mark(layer)?
        } else {
            0
        };
        let prefix = table.prefix();
        let from = self.from.take().unwrap_or_else(|| prefix.clone());
        let (mut looked, mut deleted) = (0, 0);
        for row in layer.disk().scan_from(&prefix, &from) {
            let (key, payload) = row?;
            if looked >= LOOK || deleted >= DELETE {
                self.from = Some(key);
                return Ok(false);
            }
            looked += 1;
            if is_over(table, &key, &payload, now, passed)? {
                layer.delete(key)?;
                deleted += 1;
            }
        }
        self.table += 1;
        Ok(false)
    }
}

fn is_over(table: Table, key: &[u8], payload: &[u8], now: i64, passed: u64) -> Result<bool, Error> {
    Ok(match table {
        Table::Seen => record::from_json::<i64>(key, payload)?.saturating_add(KEEP_MS) < now,
        Table::PageMarks => record::from_json::<Mark>(key, payload)?.at.saturating_add(KEEP_MS) < now,
        Table::Kv => kv::is_expired(key, payload, now)?,
        Table::Intents => {
            let intent: Intent = record::from_json(key, payload)?;
            let grace = if intent.answer.is_some() { 0 } else { KEEP_MS };
            intent.keep_until.is_some_and(|until| until.saturating_add(grace) < now)
        }
        Table::Verdicts => layout::number_of(key)? < passed,
        _ => false,
    })
}

/// The offset that every script has passed; 0 without scripts.
fn lowest_mark(layer: &Layer<'_>) -> Result<u64, Error> {
    let positions: Vec<Position> = layer.disk().all(&Table::Positions.prefix())?;
    Ok(positions.iter().map(|position| position.mark).min().unwrap_or(0))
}

/// One step of removing what is keyed by an account. Says whether nothing is left; the note of it then goes, too.
pub(super) fn remove_account(layer: &mut Layer<'_>, account: &str) -> Result<bool, Error> {
    let mut found = Vec::new();
    for table in [Table::PageMarks, Table::Seen, Table::ChatMarks] {
        for row in layer.disk().scan(&table.of(account)?) {
            if found.len() >= DELETE {
                break;
            }
            found.push(row?.0);
        }
    }
    for row in layer.disk().scan(&Table::Intents.prefix()) {
        if found.len() >= DELETE {
            break;
        }
        let (key, payload) = row?;
        if record::from_json::<Intent>(&key, &payload)?.account.as_str() == account {
            found.push(key);
        }
    }
    let finished = found.len() < DELETE;
    for key in found {
        layer.delete(key)?;
    }
    if finished {
        layer.delete(Table::Removed.named(account)?)?;
    }
    Ok(finished)
}

/// The accounts whose removal is not finished.
pub(super) fn removed_accounts(disk: &super::disk::Disk) -> Result<Vec<String>, Error> {
    disk.scan(&Table::Removed.prefix())
        .map(|row| {
            let (key, payload) = row?;
            let _: IgnoredAny = record::from_json(&key, &payload)?;
            layout::text_of(&key, key.get(1..).unwrap_or_default())
        })
        .collect()
}
