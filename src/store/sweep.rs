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
//! | dead runs | 15 days after they were given up |
//! | verdicts | when every position, or the journal's first offset, has passed them |
//!
//! The journal itself: `retention`.

use serde::de::IgnoredAny;

use super::intents::Intent;
use super::layout::{self, Table};
use super::marks::{KEEP_MS, Mark};
use super::runs::DeadRun;
use super::stage::Layer;
use super::{Error, Position, kv, record};

/// Rows looked at in one step: about a millisecond.
const LOOK: usize = 256;

/// Rows deleted in one step; with the head, and with further parts of large ones, well below what a commit may hold.
const DELETE: usize = 60;

const ORDER: [Table; 6] = [
    Table::Seen,
    Table::PageMarks,
    Table::Kv,
    Table::Intents,
    Table::DeadRuns,
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
            lowest_mark(layer)?.max(layer.head.first)
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
        Table::DeadRuns => record::from_json::<DeadRun>(key, payload)?.at.saturating_add(KEEP_MS) < now,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Content, Sent, Status};
    use crate::event::Source;
    use crate::store::batch::{Batch, PageMark};
    use crate::store::disk::Disk;
    use crate::store::engine::Rows;
    use crate::store::kv::{KvOp, KvWrite};
    use crate::store::runs::Verdict;
    use crate::store::stage::{self, Head};

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn commit(disk: &Disk, batch: Batch, now: i64) {
        let head = Head::read(disk).unwrap();
        let staged = stage::stage(disk, &Rows::new(), head, batch, now).unwrap();
        disk.apply(staged.rows).unwrap();
    }

    /// Sweeps a whole round and says how many steps it took.
    fn round(disk: &Disk, now: i64) -> usize {
        let mut sweep = Sweep::default();
        for steps in 1.. {
            let nothing = Rows::new();
            let mut layer = Layer::over(disk, &nothing, Head::default());
            let over = sweep.step(&mut layer, now).unwrap();
            let rows = layer.into_rows();
            assert!(rows.len() <= 128);
            disk.apply(rows).unwrap();
            if over {
                return steps;
            }
        }
        unreachable!()
    }

    fn count(disk: &Disk, table: Table) -> usize {
        disk.scan(&table.prefix()).map(Result::unwrap).count()
    }

    fn seen(n: i64) -> Batch {
        let json = format!(r#"{{"id":"M{n}","chat":"c","timestamp":{n}}}"#);
        let draft = crate::event::Draft {
            event: crate::event::Kind::MESSAGE,
            account: Some("a".parse().unwrap()),
            timestamp: n,
            origin: crate::event::Origin::Live,
            data: serde_json::from_str(&json).unwrap(),
        };
        let once = crate::store::batch::Once {
            account: "a".parse().unwrap(),
            chat: "c".to_owned(),
            message_id: format!("M{n}"),
            kind: "message".to_owned(),
        };
        Batch {
            events: vec![crate::store::batch::NewEvent {
                draft,
                once: Some(once),
            }],
            page: Some(PageMark {
                account: "a".parse().unwrap(),
                page_id: format!("P{n}"),
                page_seq: 1,
            }),
            ..Batch::default()
        }
    }

    #[test]
    fn dead_runs_stay_as_long_as_their_intents_and_one_that_ended_well_goes_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1 << 24).unwrap();
        let run = |id: &str, at: i64| DeadRun {
            id: id.to_owned(),
            script: "bot".to_owned(),
            offset: 1,
            event_id: "evt_1".to_owned(),
            error: "no".to_owned(),
            at,
        };
        let dead_runs = vec![run("old", 0), run("young", 2 * DAY), run("well", 2 * DAY)];
        let batch = |dead_runs, revived: &[&str]| Batch {
            dead_runs,
            revived: revived.iter().map(|id| (*id).to_owned()).collect(),
            ..Batch::default()
        };
        commit(&disk, batch(dead_runs, &[]), 0);
        commit(&disk, batch(Vec::new(), &["well"]), 0);
        assert_eq!(count(&disk, Table::DeadRuns), 2);
        round(&disk, 16 * DAY);
        assert_eq!(count(&disk, Table::DeadRuns), 1);
    }

    fn intent(key: &str, keep_until: Option<i64>, answered: bool) -> (String, Option<Intent>) {
        let intent = Intent {
            key: key.to_owned(),
            account: "a".parse().unwrap(),
            chat: None,
            message_id: None,
            page_id: None,
            to: "1".to_owned(),
            content: Content::Text {
                text: String::new(),
                quote: None,
                mentions: Vec::new(),
            },
            source: Source::Api,
            made_at: 0,
            answer: answered.then(|| Sent {
                id: "M".to_owned(),
                status: Status::Sent,
            }),
            keep_until,
        };
        (key.to_owned(), Some(intent))
    }

    #[test]
    fn compared_ids_and_page_marks_go_after_fifteen_days_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1 << 24).unwrap();
        // 300 of the first day, more than a step looks at; 5 of the tenth.
        for n in 0..300 {
            commit(&disk, seen(n), 1);
        }
        for n in 300..305 {
            commit(&disk, seen(n), 10 * DAY);
        }
        round(&disk, 15 * DAY);
        assert_eq!((count(&disk, Table::Seen), count(&disk, Table::PageMarks)), (305, 305));
        assert!(round(&disk, 15 * DAY + 2) > 10);
        assert_eq!((count(&disk, Table::Seen), count(&disk, Table::PageMarks)), (5, 5));
        assert_eq!((count(&disk, Table::Journal), count(&disk, Table::ChatMarks)), (305, 1));
        // A message that was forgotten so is a new one.
        commit(&disk, seen(0), 16 * DAY);
        assert_eq!(count(&disk, Table::Journal), 306);
    }

    #[test]
    fn expired_values_go_with_all_their_parts() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1 << 24).unwrap();
        let set = |key: &str, expires_at| KvWrite {
            space: "s".to_owned(),
            key: key.to_owned(),
            op: KvOp::Set(vec![b'1'; kv::VALUE_MAX]),
            expires_at,
        };
        let kv = vec![set("gone", Some(10)), set("stays", Some(11)), set("ever", None)];
        commit(&disk, Batch { kv, ..Batch::default() }, 1);
        assert_eq!(count(&disk, Table::Parts), 3);
        round(&disk, 10);
        assert_eq!((count(&disk, Table::Kv), count(&disk, Table::Parts)), (2, 2));
    }

    #[test]
    fn intents_go_when_their_time_is_over_and_open_ones_later() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1 << 24).unwrap();
        let intents = vec![
            intent("answered", Some(10), true),
            intent("open", Some(10), false),
            intent("of a run", None, true),
        ];
        commit(
            &disk,
            Batch {
                intents,
                ..Batch::default()
            },
            1,
        );
        round(&disk, 10);
        assert_eq!(count(&disk, Table::Intents), 3);
        round(&disk, 11);
        assert_eq!(count(&disk, Table::Intents), 2);
        round(&disk, 16 * DAY);
        assert_eq!(count(&disk, Table::Intents), 1);
    }

    #[test]
    fn verdicts_go_when_every_script_has_passed_them() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path(), 1 << 24).unwrap();
        let verdicts = (0..10).map(|offset| (offset, Verdict::default())).collect();
        commit(
            &disk,
            Batch {
                verdicts,
                ..Batch::default()
            },
            1,
        );
        round(&disk, 1);
        assert_eq!(count(&disk, Table::Verdicts), 10);
        let positions = vec![
            ("fast".to_owned(), Position::start(9)),
            ("slow".to_owned(), Position::start(4)),
        ];
        commit(
            &disk,
            Batch {
                positions,
                ..Batch::default()
            },
            1,
        );
        round(&disk, 1);
        let left: Vec<u64> = disk
            .scan(&Table::Verdicts.prefix())
            .map(|row| layout::number_of(&row.unwrap().0).unwrap())
            .collect();
        assert_eq!(left, [4, 5, 6, 7, 8, 9]);
    }
}
