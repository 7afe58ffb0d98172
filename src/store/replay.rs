//! Deliveries that are made once more: dead letters put back, and events that go out again.
//!
//! In: a [`Replay`]. Out: rows of the outbox that say so. Must not choose what is replayed, nor make a body: a dead letter
//! keeps the bytes that it has, and with them its id and its sequence.

use std::sync::{Arc, Mutex};

use super::layout::{self, Table};
use super::outbox::{self, DeadLetter, Delivery, PREFIX, Post};
use super::stage::Layer;
use super::{Batch, Error, Moment, Store, ids, record, unpoisoned};

/// Replays that fit into one commit without passing [`super::ROWS_PER_COMMIT`].
pub const REPLAYS_PER_BATCH: usize = 16;

/// Time for a full outbox to get room; somebody waits for the answer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Something to deliver once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The dead letter of this delivery's id waits again, with its tries and its age anew. One that is no dead letter any more
    /// is passed over: the same replay twice is the same as once.
    Letter(String),
    /// A delivery of its own, with an id and a sequence of its own.
    Event(Post),
}

/// The lowest id that was put back and that nobody was told of yet.
pub(super) type PutBack = Arc<Mutex<Option<u128>>>;

/// Does the replays of a batch; the ids of what waits now.
pub(super) fn stage(layer: &mut Layer<'_>, replays: Vec<Replay>, now: i64) -> Result<Vec<String>, Error> {
    let mut made = Vec::with_capacity(replays.len());
    for replay in replays {
        match replay {
            Replay::Letter(id) => made.extend(put_back(layer, id, now)?),
            Replay::Event(post) => {
                for id in outbox::stage_posts(layer, vec![post], now)? {
                    let key = Table::Deliveries.ulid(ulid(&id)?);
                    if let Some(delivery) = layer.get::<Delivery>(&key)? {
                        let replayed = true;
                        layer.put(key, &Delivery { replayed, ..delivery })?;
                    }
                    made.push(id);
                }
            }
        }
    }
    Ok(made)
}

fn ulid(id: &str) -> Result<u128, Error> {
    ids::parse(PREFIX, id).ok_or_else(|| Error::invalid(format!("`{id}` is not the id of a delivery")))
}

fn put_back(layer: &mut Layer<'_>, id: String, now: i64) -> Result<Option<String>, Error> {
    let ulid = ulid(&id)?;
    let dead = Table::DeadLetters.ulid(ulid);
    let Some(DeadLetter { delivery, .. }) = layer.get::<DeadLetter>(&dead)? else {
        return Ok(None);
    };
    outbox::revived(layer, &delivery)?;
    layer.delete(dead)?;
    // Its tries begin anew, and what they meet with them.
    layer.delete(Table::Attempts.ulid(ulid))?;
    layer.put_bytes(layout::schedule(now, ulid), &[])?;
    let delivery = Delivery {
        due: now,
        tries: 0,
        created_at: now,
        last_error: None,
        replayed: true,
        ..delivery
    };
    layer.put(Table::Deliveries.ulid(ulid), &delivery)?;
    Ok(Some(id))
}

impl Store {
    /// Delivers once more, all of these or none, at most [`REPLAYS_PER_BATCH`]. Answers the ids of what waits now.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`Error::Busy`] if the outbox is full and has no room within 30 s: nothing was kept then.
    pub async fn replay(&self, replays: Vec<Replay>) -> Result<Vec<String>, Error> {
        tokio::time::timeout(PATIENCE, self.room()).await.unwrap_or_else(|_| {
            Err(Error::Busy {
                what: "the outbox is full: replay again when deliveries have gone out".to_owned(),
            })
        })?;
        let batch = Batch {
            replays,
            ..Batch::default()
        };
        let made = self.commit(batch).await?.deliveries;
        if let Some(lowest) = made.iter().filter_map(|id| ids::parse(PREFIX, id)).min() {
            let mut put_back = unpoisoned(self.put_back.lock());
            *put_back = Some(put_back.map_or(lowest, |other| other.min(lowest)));
            drop(put_back);
            self.shared.outbox.send_modify(|changes| *changes += 1);
        }
        Ok(made)
    }

    /// The id after which the outbox must be read again, because deliveries were put back that lie behind what was read; told
    /// once.
    #[must_use]
    pub fn put_back_after(&self) -> Option<String> {
        let lowest = unpoisoned(self.put_back.lock()).take()?;
        Some(ids::text(PREFIX, lowest.saturating_sub(1)))
    }

    /// Dead letters that were posted between two moments, both included, in the order of their posts, from the one after
    /// `after` on; at most `limit`.
    pub async fn dead_letters_between(
        &self,
        (from, to): (Moment, Moment),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        let after = after.and_then(|id| ids::parse(PREFIX, id));
        let from = after.map_or(from.0, |id| from.0.max(id.saturating_add(1)));
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan_from(&Table::DeadLetters.prefix(), &Table::DeadLetters.ulid(from)) {
                let (key, payload) = row?;
                if found.len() >= limit || layout::ulid_of(&key)? > to.0 {
                    break;
                }
                found.push(record::from_json(&key, &payload)?);
            }
            Ok(found)
        })
        .await
    }
}
