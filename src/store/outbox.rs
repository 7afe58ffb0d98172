//! The outbox: deliveries that wait, their bodies, and those that were given up.
//!
//! In: posts of runs; what became of a delivery. Out: what is due, in order. Must not know endpoints' addresses or schedules:
//! `webhook` says when the next try is due.
//!
//! A delivery is two rows, itself and its place in the schedule, which lies by due time and then by id. Ids rise with the
//! posts, so deliveries due at once come in the order of their `sequence`. The body lies once under its SHA-256 for all
//! deliveries that share it, and goes with the last of them.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store, ids, record};

/// The largest body, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// What the ids of deliveries begin with.
pub(super) const PREFIX: &str = "dlv_";

/// Something to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The endpoint: `[endpoint.NAME]`, or `account:ID`.
    pub endpoint: String,
    /// Deliveries with the same key are tried in order.
    pub chat_key: String,
    /// The exact bytes, at most [`BODY_MAX`].
    pub body: Vec<u8>,
    /// The script that posted it.
    pub script: Option<String>,
    /// The event in whose run it was posted.
    pub event_id: Option<String>,
}

/// A delivery that waits for its next try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// `dlv_` and a ULID, the same over all tries: the `webhook-id`.
    pub id: String,
    /// Where to.
    pub endpoint: String,
    /// Counts the endpoint's posts from 1, without gaps.
    pub sequence: u64,
    /// What orders it among others.
    pub chat_key: String,
    /// SHA-256 of the body.
    pub body: [u8; 32],
    /// When the next try is due, in milliseconds since 1970.
    pub due: i64,
    /// Tries so far.
    pub tries: u32,
    /// When it was posted, or put back when it was dead, in milliseconds since 1970.
    pub created_at: i64,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// The script that posted it.
    pub script: Option<String>,
    /// The event in whose run it was posted.
    pub event_id: Option<String>,
    /// Whether it is made once more, because somebody asked for it.
    #[serde(default)]
    pub replayed: bool,
}

/// A delivery that was given up; its body is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The delivery as it was last.
    pub delivery: Delivery,
    /// Why.
    pub reason: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
}

/// What became of a delivery. One that is not there any more is passed over: the same change twice is the same as once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxChange {
    /// The endpoint took it.
    Done(
        /// Its id.
        String,
    ),
    /// It is tried again.
    Retry {
        /// Its id.
        id: String,
        /// When, in milliseconds since 1970.
        due: i64,
        /// Tries so far.
        tries: u32,
        /// Why the last one failed.
        last_error: Option<String>,
    },
    /// It is given up and becomes a dead letter.
    Dead {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
}

/// What is known of an endpoint: its last sequence, and when its last post was first due.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Endpoint {
    sequence: u64,
    due: i64,
}

/// Makes the deliveries of a batch and gives their ids.
pub(super) fn stage_posts(layer: &mut Layer<'_>, posts: Vec<Post>, now: i64) -> Result<Vec<String>, Error> {
    let mut made = Vec::with_capacity(posts.len());
    for post in posts {
        if post.body.len() > BODY_MAX {
            let what = format!("a body for `{}`, in bytes,", post.endpoint);
            return Err(Error::TooLarge {
                what,
                size: post.body.len(),
                limit: BODY_MAX,
            });
        }
        let counter = Table::Endpoints.named(&post.endpoint)?;
        let mut endpoint: Endpoint = layer.get(&counter)?.unwrap_or_default();
        endpoint.sequence += 1;
        // A clock that went back must not put a first try before those of earlier posts.
        endpoint.due = endpoint.due.max(now);
        layer.put(counter, &endpoint)?;
        let body: [u8; 32] = Sha256::digest(&post.body).into();
        share_body(layer, &body, &post.body)?;
        let ulid = layer.head.ids.next(now)?;
        let delivery = Delivery {
            id: ids::text(PREFIX, ulid),
            endpoint: post.endpoint,
            sequence: endpoint.sequence,
            chat_key: post.chat_key,
            body,
            due: endpoint.due,
            tries: 0,
            created_at: now,
            last_error: None,
            script: post.script,
            event_id: post.event_id,
            replayed: false,
        };
        layer.put(Table::Deliveries.ulid(ulid), &delivery)?;
        layer.put_bytes(layout::schedule(delivery.due, ulid), &[])?;
        made.push(delivery.id);
    }
    Ok(made)
}

/// Does the changes of a batch, in their order.
pub(super) fn stage_changes(layer: &mut Layer<'_>, changes: Vec<OutboxChange>, now: i64) -> Result<(), Error> {
    for change in changes {
        let (OutboxChange::Done(id) | OutboxChange::Retry { id, .. } | OutboxChange::Dead { id, .. }) = &change;
        let ulid =
            ids::parse(PREFIX, id).ok_or_else(|| Error::invalid(format!("`{id}` is not the id of a delivery")))?;
        let key = Table::Deliveries.ulid(ulid);
        let Some(delivery) = layer.get::<Delivery>(&key)? else {
            continue;
        };
        layer.delete(layout::schedule(delivery.due, ulid))?;
        match change {
            OutboxChange::Done(_) => {
                layer.delete(key)?;
                release_body(layer, &delivery.body)?;
            }
            OutboxChange::Retry {
                due, tries, last_error, ..
            } => {
                layer.put_bytes(layout::schedule(due, ulid), &[])?;
                layer.put(
                    key,
                    &Delivery {
                        due,
                        tries,
                        last_error,
                        ..delivery
                    },
                )?;
            }
            OutboxChange::Dead { reason, .. } => {
                layer.delete(key)?;
                layer.put(
                    Table::DeadLetters.ulid(ulid),
                    &DeadLetter {
                        delivery,
                        reason,
                        at: now,
                    },
                )?;
            }
        }
    }
    Ok(())
}

fn share_body(layer: &mut Layer<'_>, hash: &[u8; 32], body: &[u8]) -> Result<(), Error> {
    let key = Table::Bodies.raw(hash)?;
    if !layer.has(&key)? {
        return layer.put_bytes(key, body);
    }
    let shares = Table::Shares.raw(hash)?;
    let count: u64 = layer.get(&shares)?.unwrap_or(1);
    layer.put(shares, &(count + 1))
}

fn release_body(layer: &mut Layer<'_>, hash: &[u8; 32]) -> Result<(), Error> {
    let shares = Table::Shares.raw(hash)?;
    match layer.get::<u64>(&shares)? {
        Some(count) if count > 2 => layer.put(shares, &(count - 1)),
        Some(_) => layer.delete(shares),
        None => layer.delete(Table::Bodies.raw(hash)?),
    }
}

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

    /// The deliveries that were given up, the newest post first, at most `limit`.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        self.read(move |disk| disk.newest(&Table::DeadLetters.prefix(), limit))
            .await
    }
}
