//! How fast the store journals, on the disk of the temporary folder (`TMPDIR`): commits of one message each, as a session
//! makes them, and commits of runs. Run with `cargo bench --bench store`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::try_join_all;
use serde_json::json;
use wharf::event::{AccountId, Draft, Kind, Origin};
use wharf::store::{Batch, Expect, KvOp, KvWrite, NewEvent, Once, PageMark, Position, Post, Store};

const CACHE: u64 = 16 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    for (producers, each) in [(1, 400), (8, 250), (64, 100), (256, 50)] {
        let (store, _dir) = open()?;
        let (events, took, waits) = producers_at_full_speed(&store, producers, each).await?;
        report(&format!("journal, {producers} producers"), events, took, waits);
        store.close().await?;
    }
    for rate in [100, 500] {
        let (store, _dir) = open()?;
        let (events, took, waits) = paced(&store, rate, Duration::from_secs(5)).await?;
        report(&format!("journal, paced at {rate}/s"), events, took, waits);
        store.close().await?;
    }
    let (store, dir) = open()?;
    let (runs, took, waits) = runs(&store, 64, 60).await?;
    report("runs (2 kv, 1 post, mark), 64 at work", runs, took, waits);
    store.close().await?;
    let rows = store_size(&dir)?;
    let start = Instant::now();
    let store = Store::open(dir.path(), CACHE)?;
    println!(
        "open with {runs} runs in the store, {rows} KiB on disk: {:.0} ms",
        start.elapsed().as_secs_f64() * 1000.0
    );
    store.close().await?;
    Ok(())
}

fn open() -> Result<(Store, tempfile::TempDir)> {
    let dir = tempfile::tempdir()?;
    Ok((Store::open(dir.path(), CACHE)?, dir))
}

fn report(what: &str, count: usize, took: Duration, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |part: usize| {
        waits
            .get(waits.len() * part / 1000)
            .or(waits.last())
            .copied()
            .unwrap_or_default()
    };
    println!(
        "{what}: {:.0}/s, commit p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        count as f64 / took.as_secs_f64(),
        at(500).as_secs_f64() * 1000.0,
        at(990).as_secs_f64() * 1000.0,
        at(1000).as_secs_f64() * 1000.0,
    );
}

/// A message of 512 bytes with its mark, as the session commits it.
fn message(account: &AccountId, n: u64) -> Batch {
    let id = format!("{n:032X}");
    let chat = format!("{}@c.us", 49_151_000_000 + n % 50);
    let data = json!({
        "id": id, "chat": chat, "from": chat, "to": "4915200000000@c.us", "from_me": false, "type": "chat",
        "body": "x".repeat(256), "timestamp": n, "ack": 0, "mentions": [],
    });
    let data = data.as_object().cloned().unwrap_or_default();
    let once = Once {
        account: account.clone(),
        chat,
        message_id: id,
        kind: "message".to_owned(),
    };
    let draft = Draft {
        event: Kind::MESSAGE,
        account: Some(account.clone()),
        timestamp: 1,
        origin: Origin::Live,
        data,
    };
    Batch {
        events: vec![NewEvent {
            draft,
            once: Some(once),
        }],
        page: Some(PageMark {
            account: account.clone(),
            page_id: "P".to_owned(),
            page_seq: n,
        }),
        ..Batch::default()
    }
}

async fn producers_at_full_speed(store: &Store, producers: u64, each: u64) -> Result<(usize, Duration, Vec<Duration>)> {
    let start = Instant::now();
    let all = (0..producers).map(|producer| async move {
        let account: AccountId = format!("a{}", producer % 5).parse()?;
        let mut waits = Vec::new();
        for n in 0..each {
            let begun = Instant::now();
            store.commit(message(&account, n * producers + producer)).await?;
            waits.push(begun.elapsed());
        }
        anyhow::Ok(waits)
    });
    let waits: Vec<Duration> = try_join_all(all).await?.into_iter().flatten().collect();
    Ok((waits.len(), start.elapsed(), waits))
}

async fn paced(store: &Store, rate: u64, time: Duration) -> Result<(usize, Duration, Vec<Duration>)> {
    let account: AccountId = "a".parse()?;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    let start = Instant::now();
    let tracker = tokio_util::task::TaskTracker::new();
    let mut tasks = Vec::new();
    for n in 0..rate * time.as_secs() {
        tick.tick().await;
        let (store, batch) = (store.clone(), message(&account, n));
        tasks.push(tracker.spawn(async move {
            let begun = Instant::now();
            store.commit(batch).await.map(|_| begun.elapsed())
        }));
    }
    let mut waits = Vec::new();
    for task in tasks {
        waits.push(task.await.context("a commit panicked")??);
    }
    Ok((waits.len(), start.elapsed(), waits))
}

async fn runs(store: &Store, at_work: u64, each: u64) -> Result<(usize, Duration, Vec<Duration>)> {
    let start = Instant::now();
    let all = (0..at_work).map(|worker| async move {
        let mut waits = Vec::new();
        let mut version = None;
        for n in 0..each {
            let (space, key) = ("script".to_owned(), format!("w{worker}"));
            let value = KvOp::Set(format!("{{\"n\":{n}}}").into_bytes());
            let mut position = Position::start(n);
            position.finish(n + 2);
            let batch = Batch {
                expect: vec![Expect {
                    space: space.clone(),
                    key: key.clone(),
                    version,
                }],
                kv: vec![
                    KvWrite {
                        space: space.clone(),
                        key,
                        op: value,
                        expires_at: None,
                    },
                    KvWrite {
                        space,
                        key: "count".to_owned(),
                        op: KvOp::Incr(1.0),
                        expires_at: None,
                    },
                ],
                posts: vec![Post {
                    endpoint: "e".to_owned(),
                    chat_key: format!("a/{worker}"),
                    body: format!("{worker} {n} {}", "x".repeat(600)).into_bytes(),
                    script: Some("script".to_owned()),
                    event_id: None,
                }],
                positions: vec![("script".to_owned(), position)],
                ..Batch::default()
            };
            let begun = Instant::now();
            version = Some(store.commit(batch).await?.commit);
            waits.push(begun.elapsed());
        }
        anyhow::Ok(waits)
    });
    let waits: Vec<Duration> = try_join_all(all).await?.into_iter().flatten().collect();
    Ok((waits.len(), start.elapsed(), waits))
}

fn store_size(dir: &tempfile::TempDir) -> Result<u64> {
    Ok(std::fs::metadata(dir.path().join("store").join("db"))?.len() / 1024)
}
