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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::stage::Head;
    use crate::store::{Batch, OutboxChange, Post, Store};

    fn post(endpoint: &str, bytes: usize) -> Post {
        Post {
            endpoint: endpoint.to_owned(),
            chat_key: "a/1".to_owned(),
            body: vec![b'x'; bytes],
            script: None,
            event_id: None,
        }
    }

    async fn make(store: &Store, posts: Vec<Post>) -> Vec<String> {
        let batch = Batch {
            posts,
            ..Batch::default()
        };
        store.commit(batch).await.unwrap().deliveries
    }

    async fn change(store: &Store, outbox: Vec<OutboxChange>) {
        let batch = Batch {
            outbox,
            ..Batch::default()
        };
        store.commit(batch).await.unwrap();
    }

    fn dead(id: &str) -> OutboxChange {
        OutboxChange::Dead {
            id: id.to_owned(),
            reason: "no".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_waits_and_what_is_dead_is_counted_by_endpoint_and_in_all_also_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        let ids = make(&store, vec![post("a", 10), post("a", 20), post("b", 300)]).await;
        change(&store, vec![OutboxChange::Done(ids[0].clone()), dead(&ids[2])]).await;
        // The same again changes no count.
        change(&store, vec![OutboxChange::Done(ids[0].clone()), dead(&ids[2])]).await;
        store.close().await.unwrap();
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        let (held, shares) = store.backlog().await.unwrap();
        let expected = Held {
            waiting: 1,
            bytes: 20,
            dead: 1,
            dead_bytes: 300,
            dropped: 0,
        };
        assert_eq!(held, expected);
        assert_eq!(shares["a"], Share { waiting: 1, bytes: 20 });
        assert_eq!(shares["b"], Share::default());
        change(&store, vec![OutboxChange::Forget(ids[2].clone())]).await;
        change(&store, vec![OutboxChange::Forget(ids[2].clone())]).await;
        let (held, _) = store.backlog().await.unwrap();
        assert_eq!((held.dead, held.dead_bytes, held.dropped), (0, 0, 1));
        assert!(store.dead_letters(1).await.unwrap().is_empty());
        store.close().await.unwrap();
    }

    /// Changes the head of a closed store.
    fn rewrite(dir: &std::path::Path, change: impl FnOnce(&Disk, &mut Layer<'_>)) {
        let disk = Disk::open(&dir.join("store"), 1 << 24).unwrap();
        let nothing = crate::store::engine::Rows::new();
        let mut layer = Layer::over(&disk, &nothing, Head::read(&disk).unwrap());
        change(&disk, &mut layer);
        disk.apply(layer.into_rows()).unwrap();
        disk.sync().unwrap();
        disk.close();
    }

    #[tokio::test]
    async fn a_store_without_counts_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        let ids = make(&store, vec![post("a", 10), post("a", 20), post("b", 30)]).await;
        change(&store, vec![dead(&ids[0])]).await;
        store.close().await.unwrap();
        rewrite(dir.path(), |disk, layer| {
            for name in ["a", "b"] {
                let key = Table::Endpoints.named(name).unwrap();
                let kept: serde_json::Value = disk.get(&key).unwrap().unwrap();
                let old = serde_json::json!({"sequence": kept["sequence"], "due": kept["due"]});
                layer.put(key, &old).unwrap();
            }
            let key = Table::Head.prefix();
            let mut head: serde_json::Value = disk.get(&key).unwrap().unwrap();
            head.as_object_mut().unwrap().remove("held");
            layer.put(key, &head).unwrap();
        });
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        make(&store, vec![post("a", 5)]).await;
        change(&store, vec![OutboxChange::Done(ids[1].clone())]).await;
        let (held, shares) = store.backlog().await.unwrap();
        assert_eq!((held.waiting, held.bytes, held.dead, held.dead_bytes), (2, 35, 1, 10));
        assert_eq!(shares["a"], Share { waiting: 1, bytes: 5 });
        assert_eq!(shares["b"], Share { waiting: 1, bytes: 30 });
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn who_posts_waits_while_the_outbox_is_full_and_nobody_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        let ids = make(&store, vec![post("a", 10)]).await;
        store.close().await.unwrap();
        rewrite(dir.path(), |_, layer| {
            layer.head.held.waiting = BACKLOG_COUNT;
            layer.write_head().unwrap();
        });
        let store = Store::open(dir.path(), 1 << 24).unwrap();
        let posting = make(&store, vec![post("a", 10)]);
        tokio::pin!(posting);
        let waits = futures::poll!(&mut posting).is_pending();
        // A commit that goes in after it and is answered before it: it is not in the queue.
        store.commit(Batch::default()).await.unwrap();
        assert!(waits && futures::poll!(&mut posting).is_pending());
        change(&store, vec![OutboxChange::Done(ids[0].clone())]).await;
        assert_eq!(posting.await.len(), 1);
        // A store that is closed lets nobody wait for ever.
        store.close().await.unwrap();
        let batch = Batch {
            posts: vec![post("a", 10)],
            ..Batch::default()
        };
        assert!(matches!(store.commit(batch).await, Err(Error::Closed)));
    }
}
