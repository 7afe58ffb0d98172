//! What durability costs, and what a large store does: commits against a bare loop of `fdatasync` on the same disk in the same
//! run, the space that a million events leave behind, the start with all of it. Run with `cargo bench --bench durability`; the
//! disk is that of the temporary folder (`TMPDIR`).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use wharf::event::{AccountId, Draft, Kind, Origin};
use wharf::store::{self, Batch, NewEvent, OutboxChange, Post, Store};

const CACHE: u64 = 16 << 20;
const SYNCS: u32 = 1_000;
const EVENTS: u64 = 1_000_000;
const WAITING: u64 = 100_000;
/// Events of one commit on the way to a million.
const EACH: u64 = 16;

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bare = bare_syncs(&dir.path().join("bare"))?;
    println!("a bare loop of write and fdatasync: {bare:.0}/s");
    for (writers, each) in [(1, 1_000), (64, 800)] {
        let store = Store::open(&dir.path().join(writers.to_string()), CACHE)?;
        let (events, groups) = journal(&store, writers, each).await?;
        println!(
            "journal, {writers} writers: {events:.0} events/s in {groups:.0} commits/s, {:.2} of the bare loop (aim 0.60{})",
            groups / bare,
            if writers > 1 { "; 20,000 events/s" } else { "" },
        );
        store.close().await?;
    }
    large(&dir.path().join("large")).await
}

/// So many times a kilobyte is appended and synced in a second.
fn bare_syncs(path: &Path) -> Result<f64> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let start = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
    }
    Ok(f64::from(SYNCS) / start.elapsed().as_secs_f64())
}

fn event(account: &AccountId, n: u64) -> NewEvent {
    let data = json!({
        "id": format!("{n:032X}"), "chat": format!("{}@c.us", 49_151_000_000 + n % 50), "from_me": false, "type": "chat",
        "body": "x".repeat(256), "timestamp": n, "ack": 0, "mentions": [],
    });
    Draft {
        event: Kind::MESSAGE,
        account: Some(account.clone()),
        timestamp: 1,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap_or_default(),
    }
    .into()
}

/// Events and commits in a second.
async fn journal(store: &Store, writers: u64, each: u64) -> Result<(f64, f64)> {
    let (groups, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let counting = {
        // The journal's head moves once with each commit.
        let (mut head, groups, stop) = (store.head(), Arc::clone(&groups), stop.clone());
        tokio_util::task::TaskTracker::new().spawn(async move {
            while let Some(Ok(())) = stop.run_until_cancelled(head.changed()).await {
                head.borrow_and_update();
                groups.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let start = Instant::now();
    try_join_all((0..writers).map(|writer| async move {
        let account: AccountId = format!("a{}", writer % 5).parse()?;
        for n in 0..each {
            let events = vec![event(&account, n * writers + writer)];
            let batch = Batch {
                events,
                ..Batch::default()
            };
            store.commit(batch).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    let took = start.elapsed().as_secs_f64();
    stop.cancel();
    counting.await?;
    Ok((
        (writers * each) as f64 / took,
        groups.load(Ordering::Relaxed) as f64 / took,
    ))
}

fn post(n: u64) -> Post {
    Post {
        endpoint: "e".to_owned(),
        chat_key: format!("a/{}", n % 50),
        body: format!("{n} {}", "x".repeat(600)).into_bytes(),
        script: None,
        event_id: None,
    }
}

/// A million events, each with a delivery that comes and goes; then deliveries that stay.
async fn large(dir: &Path) -> Result<()> {
    let store = Store::open(dir, CACHE)?;
    let start = Instant::now();
    try_join_all((0..8).map(|writer| {
        let store = &store;
        async move {
            let account: AccountId = format!("a{writer}").parse()?;
            for round in 0..EVENTS / 8 / EACH {
                let from = (round * 8 + writer) * EACH;
                let batch = Batch {
                    events: (from..from + EACH).map(|n| event(&account, n)).collect(),
                    posts: (from..from + EACH).map(post).collect(),
                    ..Batch::default()
                };
                let made = store.commit(batch).await?.deliveries;
                let outbox = made.into_iter().map(OutboxChange::Done).collect();
                let batch = Batch {
                    outbox,
                    ..Batch::default()
                };
                store.commit(batch).await?;
            }
            anyhow::Ok(())
        }
    }))
    .await?;
    let took = start.elapsed();
    store.close().await?;
    space(dir, took)?;

    let store = Store::open(dir, CACHE)?;
    for from in (0..WAITING).step_by(20) {
        let posts = (from..from + 20).map(|n| post(EVENTS + n)).collect();
        let batch = Batch {
            posts,
            ..Batch::default()
        };
        store.commit(batch).await?;
    }
    store.close().await?;
    let start = Instant::now();
    let store = Store::open(dir, CACHE)?;
    let first = store.deliveries_after(None, 500).await?.len();
    println!(
        "start with {EVENTS} events and {WAITING} deliveries: {:.2} s to the first {first} deliveries (aim < 5 s)",
        start.elapsed().as_secs_f64()
    );
    store.close().await?;
    Ok(())
}

fn space(dir: &Path, took: Duration) -> Result<()> {
    let live = store::check(dir, CACHE)?.bytes;
    let mut disk = 0;
    for entry in std::fs::read_dir(dir.join("store"))? {
        disk += entry?.metadata()?.len();
    }
    println!(
        "{EVENTS} events passed through in {:.0} s: {} MiB on disk for {} MiB of rows, {:.2} times (aim < 3)",
        took.as_secs_f64(),
        disk >> 20,
        live >> 20,
        disk as f64 / live as f64
    );
    Ok(())
}
