//! The outbox: deliveries that wait, their bodies, and those that were given up.
//!
//! In: posts of runs; what became of a delivery. Out: what is due, in order. Must not know endpoints' addresses or schedules:
//! `webhook` says when the next try is due.
//!
//! A delivery is two rows, itself and its place in the schedule, which lies by due time and then by id. Ids rise with the
//! posts, so deliveries due at once come in the order of their `sequence`. The body lies once under its SHA-256 for all
//! deliveries that share it, and goes with the last of them. What its last attempts met lies beside it (`Attempt`), so that who
//! reads what waits does not carry it along.
//!
//! Counting: `held`. Reading: `reading`.

mod held;
pub(super) use held::revived;
mod reading;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, ids};

pub use held::{BACKLOG_BYTES, BACKLOG_COUNT, Held, Share};

/// The largest body, in bytes.
pub const BODY_MAX: usize = 256 * 1024;

/// Attempts of a delivery of which is kept what they met; older ones are dropped.
pub const ATTEMPTS_KEPT: usize = 10;

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
    /// Bytes of the body; 0 for a delivery that was posted before they were counted.
    #[serde(default)]
    pub size: u32,
}

/// What one attempt met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it was begun, in milliseconds since 1970.
    pub at: i64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The status that was answered; `None` if there was no answer.
    pub status: Option<u16>,
    /// Why it failed.
    pub error: Option<String>,
    /// The beginning of the answer's body, as text.
    pub body: Option<String>,
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
        /// What it met; `None` adds nothing to what is kept.
        attempt: Option<Attempt>,
    },
    /// It is given up and becomes a dead letter.
    Dead {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// It is due at another time, because the clock was set; passed over if it has been moved meanwhile.
    Move {
        /// Its id.
        id: String,
        /// When it was due.
        from: i64,
        /// When it is due now.
        to: i64,
    },
    /// A dead letter is dropped for good, with its body.
    Forget(
        /// Its id.
        String,
    ),
}

impl OutboxChange {
    fn id(&self) -> &str {
        match self {
            OutboxChange::Done(id)
            | OutboxChange::Retry { id, .. }
            | OutboxChange::Dead { id, .. }
            | OutboxChange::Move { id, .. }
            | OutboxChange::Forget(id) => id,
        }
    }
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
        let size = u32::try_from(post.body.len()).unwrap_or(u32::MAX);
        let (sequence, due) = held::next(layer, &post.endpoint, size, now)?;
        let body: [u8; 32] = Sha256::digest(&post.body).into();
        share_body(layer, &body, &post.body)?;
        let ulid = layer.head.ids.next(now)?;
        let delivery = Delivery {
            id: ids::text(PREFIX, ulid),
            endpoint: post.endpoint,
            sequence,
            chat_key: post.chat_key,
            body,
            due,
            tries: 0,
            created_at: now,
            last_error: None,
            script: post.script,
            event_id: post.event_id,
            replayed: false,
            size,
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
        let id = change.id();
        let ulid =
            ids::parse(PREFIX, id).ok_or_else(|| Error::invalid(format!("`{id}` is not the id of a delivery")))?;
        if matches!(change, OutboxChange::Forget(_)) {
            forget(layer, ulid)?;
            continue;
        }
        let key = Table::Deliveries.ulid(ulid);
        let Some(delivery) = layer.get::<Delivery>(&key)? else {
            continue;
        };
        if matches!(change, OutboxChange::Move { from, .. } if from != delivery.due) {
            continue;
        }
        layer.delete(layout::schedule(delivery.due, ulid))?;
        match change {
            OutboxChange::Move { to: due, .. } => {
                layer.put_bytes(layout::schedule(due, ulid), &[])?;
                layer.put(key, &Delivery { due, ..delivery })?;
            }
            OutboxChange::Done(_) => {
                layer.delete(key)?;
                if delivery.tries > 0 {
                    layer.delete(Table::Attempts.ulid(ulid))?;
                }
                release_body(layer, &delivery.body)?;
                held::ended(layer, &delivery)?;
            }
            OutboxChange::Retry {
                due,
                tries,
                last_error,
                attempt,
                ..
            } => {
                layer.put_bytes(layout::schedule(due, ulid), &[])?;
                if let Some(attempt) = attempt {
                    log_attempt(layer, ulid, attempt)?;
                }
                let later = Delivery {
                    due,
                    tries,
                    last_error,
                    ..delivery
                };
                layer.put(key, &later)?;
            }
            OutboxChange::Dead { reason, .. } => {
                layer.delete(key)?;
                held::ended(layer, &delivery)?;
                held::buried(layer, &delivery);
                let letter = DeadLetter {
                    delivery,
                    reason,
                    at: now,
                };
                layer.put(Table::DeadLetters.ulid(ulid), &letter)?;
            }
            OutboxChange::Forget(_) => {}
        }
    }
    Ok(())
}

fn log_attempt(layer: &mut Layer<'_>, ulid: u128, attempt: Attempt) -> Result<(), Error> {
    let key = Table::Attempts.ulid(ulid);
    let mut kept: Vec<Attempt> = layer.get(&key)?.unwrap_or_default();
    kept.push(attempt);
    let over = kept.len().saturating_sub(ATTEMPTS_KEPT);
    kept.drain(..over);
    layer.put(key, &kept)
}

fn forget(layer: &mut Layer<'_>, ulid: u128) -> Result<(), Error> {
    let key = Table::DeadLetters.ulid(ulid);
    let Some(letter) = layer.get::<DeadLetter>(&key)? else {
        return Ok(());
    };
    layer.delete(key)?;
    layer.delete(Table::Attempts.ulid(ulid))?;
    release_body(layer, &letter.delivery.body)?;
    held::forgotten(layer, &letter.delivery);
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
