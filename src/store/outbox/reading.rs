//! What the outbox holds, for those who read it: by due time, by arrival, given up, and how much there is.
//!
//! In: from where on, and how many. Out: rows. New deliveries show only once they are durable. Must not change any.

use std::collections::BTreeMap;

use super::{Attempt, DeadLetter, Delivery, Held, PREFIX, Share, held};
use crate::store::layout::{self, Table};
use crate::store::stage::Head;
use crate::store::{Error, Store, ids, record};

impl Store {
    /// The deliveries that wait, by due time and then in the order in which they were posted, at most `limit`; also those
    /// whose time has not come.
    pub async fn deliveries(&self, limit: usize) -> Result<Vec<Delivery>, Error> {
        // A commit is visible to readers a moment before it is durable; what it made must not leave the machine until then.
        let durable = self.durable_id();
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan(&Table::Schedule.prefix()) {
                if found.len() >= limit {
                    break;
                }
                let ulid = layout::ulid_of(&row?.0)?;
                if ulid > durable {
                    continue;
                }
                // Between two rows of a scan the writer may have ended this one.
                found.extend(disk.get::<Delivery>(&Table::Deliveries.ulid(ulid))?);
            }
            Ok(found)
        })
        .await
    }

    /// The deliveries that wait, by due time from `due` on and then in the order in which they were posted; of those due just
    /// then, the ones posted after `after`. At most `limit`.
    pub async fn deliveries_due(&self, due: i64, after: Option<&str>, limit: usize) -> Result<Vec<Delivery>, Error> {
        let from = match after {
            None => 0,
            Some(id) => ids::parse(PREFIX, id).map_or(0, |ulid| ulid.saturating_add(1)),
        };
        let durable = self.durable_id();
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan_from(&Table::Schedule.prefix(), &layout::schedule(due, from)) {
                if found.len() >= limit {
                    break;
                }
                let ulid = layout::ulid_of(&row?.0)?;
                if ulid > durable {
                    continue;
                }
                // Between two rows of a scan the writer may have ended this one.
                found.extend(disk.get::<Delivery>(&Table::Deliveries.ulid(ulid))?);
            }
            Ok(found)
        })
        .await
    }

    /// The deliveries that wait, in the order in which they were posted, from the one after `after` on (from the first
    /// without it), at most `limit`; also those whose time has not come.
    pub async fn deliveries_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<Delivery>, Error> {
        let from = match after {
            None => 0,
            Some(id) => ids::parse(PREFIX, id).map_or(0, |ulid| ulid.saturating_add(1)),
        };
        let durable = self.durable_id();
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan_from(&Table::Deliveries.prefix(), &Table::Deliveries.ulid(from)) {
                let (key, payload) = row?;
                if found.len() >= limit || layout::ulid_of(&key)? > durable {
                    break;
                }
                found.push(record::from_json(&key, &payload)?);
            }
            Ok(found)
        })
        .await
    }

    /// A delivery's body, by its hash; `None` once no delivery or dead letter has it.
    pub async fn delivery_body(&self, hash: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let key = Table::Bodies.raw(hash)?;
        self.read(move |disk| disk.bytes(&key)).await
    }

    /// What the last attempts of deliveries and dead letters met, the oldest first; in the order of `ids`, empty where nothing
    /// is kept.
    pub async fn attempts(&self, ids: Vec<String>) -> Result<Vec<Vec<Attempt>>, Error> {
        self.read(move |disk| {
            let kept = |id: &String| match ids::parse(PREFIX, id) {
                Some(ulid) => Ok(disk.get(&Table::Attempts.ulid(ulid))?.unwrap_or_default()),
                None => Ok(Vec::new()),
            };
            ids.iter().map(kept).collect()
        })
        .await
    }

    /// The dead letters in the order in which they were posted, from the one after `after` on, at most `limit`.
    pub async fn dead_letters_after(&self, after: Option<&str>, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let from = match after {
            None => 0,
            Some(id) => ids::parse(PREFIX, id).map_or(0, |ulid| ulid.saturating_add(1)),
        };
        self.read(move |disk| {
            let rows = disk.scan_from(&Table::DeadLetters.prefix(), &Table::DeadLetters.ulid(from));
            rows.take(limit)
                .map(|row| row.and_then(|(key, payload)| record::from_json(&key, &payload)))
                .collect()
        })
        .await
    }

    /// How much the outbox holds: of every endpoint that ever got a post, and in all.
    pub async fn backlog(&self) -> Result<(Held, BTreeMap<String, Share>), Error> {
        self.read(|disk| Ok((Head::read(disk)?.held, held::shares(disk)?)))
            .await
    }

    /// The deliveries that were given up, the newest post first, at most `limit`.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.read(move |disk| disk.newest(&Table::DeadLetters.prefix(), limit))
            .await
    }
}
