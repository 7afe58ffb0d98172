//! How fast deliveries go to an endpoint on this machine, and how soon after their commit. The store lies in the temporary folder
//! (`TMPDIR`). Run with `cargo bench --bench deliveries`; each figure stands beside its aim.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::body::Bytes;
use futures::future::try_join_all;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::{Config, Sources};
use wharf::http::Client;
use wharf::store::{Batch, Post, Store};
use wharf::webhook::{self, Clock, Deliveries};

const CACHE: u64 = 16 << 20;
const CHATS: u64 = 500;
/// Posts in one commit where only the filling is meant.
const BATCH: usize = 20;

fn main() -> Result<()> {
    let (port, mut got) = receiver()?;
    let runtime = tokio::runtime::Runtime::new()?;
    for in_flight in [8, 64] {
        runtime.block_on(throughput(port, &mut got, in_flight, 20_000))?;
    }
    runtime.block_on(latency(port, &mut got, 500, Duration::from_secs(10)))?;
    runtime.block_on(start_with_backlog(port, &mut got, 100_000))
}

/// A receiver on threads of its own, which tells of each request when it came.
fn receiver() -> Result<(u16, mpsc::Receiver<(Bytes, Instant)>)> {
    let (sender, got) = mpsc::channel(1 << 16);
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let take = move |body: Bytes| {
                let (sender, at) = (sender.clone(), Instant::now());
                async move { drop(sender.send((body, at)).await) }
            };
            let listener = tokio::net::TcpListener::from_std(listener)?;
            axum::serve(listener, axum::Router::new().fallback(take)).await?;
            Ok(())
        })
    });
    Ok((port, got))
}

fn config(port: u16, in_flight: usize) -> Result<Config> {
    let file = tempfile::NamedTempFile::new()?;
    let secret = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let text = format!(
        "[endpoint.local]\nurl = \"http://127.0.0.1:{port}/\"\nsecret = \"{secret}\"\nin_flight = {in_flight}\n"
    );
    std::fs::write(file.path(), text)?;
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    Ok(sources.load()?)
}

/// The room at work on a store.
struct Room {
    _config: watch::Sender<Arc<Config>>,
    deliveries: Deliveries,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Room {
    fn start(store: &Store, config: Config) -> Result<Self> {
        let config = watch::Sender::new(Arc::new(config));
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let deps = webhook::Deps {
            store: store.clone(),
            config: config.subscribe(),
            client: Client::new(&config.borrow().egress)?,
            clock: Clock::default(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        Ok(Self {
            deliveries: webhook::run(deps),
            _config: config,
            tracker,
            stop,
        })
    }

    async fn until_empty(&self) -> Result<()> {
        while self.deliveries.status().await?.pending > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn end(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn post(endpoint: &str, n: u64) -> Post {
    Post {
        endpoint: endpoint.to_owned(),
        chat_key: format!("a/{}", n % CHATS),
        body: format!("{n} {}", "x".repeat(600)).into_bytes(),
        script: Some("bench".to_owned()),
        event_id: None,
    }
}

async fn fill(store: &Store, endpoint: &str, count: u64) -> Result<()> {
    let all: Vec<u64> = (0..count).collect();
    let commits = all.chunks(BATCH).map(|chunk| {
        store.commit(Batch {
            posts: chunk.iter().map(|n| post(endpoint, *n)).collect(),
            ..Batch::default()
        })
    });
    try_join_all(commits).await?;
    Ok(())
}

async fn throughput(port: u16, got: &mut mpsc::Receiver<(Bytes, Instant)>, in_flight: usize, count: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), CACHE)?;
    fill(&store, "local", count).await?;
    let begun = Instant::now();
    let room = Room::start(&store, config(port, in_flight)?)?;
    for _ in 0..count {
        got.recv().await.context("the receiver ended")?;
    }
    room.until_empty().await?;
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{count} deliveries to one local endpoint, {in_flight} requests at a time: {:.0}/s, aim over 3000/s",
        count as f64 / took
    );
    room.end().await;
    store.close().await?;
    Ok(())
}

async fn latency(port: u16, got: &mut mpsc::Receiver<(Bytes, Instant)>, rate: u64, time: Duration) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), CACHE)?;
    let room = Room::start(&store, config(port, 8)?)?;
    let count = rate * time.as_secs();
    let tracker = TaskTracker::new();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(rate)?);
    let mut commits = Vec::new();
    for n in 0..count {
        tick.tick().await;
        let store = store.clone();
        commits.push(tracker.spawn(async move {
            let (begun, posts) = (Instant::now(), vec![post("local", n)]);
            let batch = Batch {
                posts,
                ..Batch::default()
            };
            store.commit(batch).await.map(|_| (begun, Instant::now()))
        }));
    }
    let mut came = vec![None; usize::try_from(count)?];
    for _ in 0..count {
        let (body, at) = got.recv().await.context("the receiver ended")?;
        let text = String::from_utf8_lossy(&body);
        let n: usize = text.split(' ').next().unwrap_or_default().parse()?;
        came[n] = Some(at);
    }
    let (mut from_posting, mut from_commit) = (Vec::new(), Vec::new());
    for (commit, at) in commits.into_iter().zip(came) {
        let ((begun, committed), at) = (commit.await??, at.context("a delivery did not come")?);
        from_posting.push(at.saturating_duration_since(begun));
        from_commit.push(at.saturating_duration_since(committed));
    }
    for (what, waits) in [("posting", &mut from_posting), ("its commit", &mut from_commit)] {
        waits.sort_unstable();
        let at = |part: usize| waits[(waits.len() * part / 1000).min(waits.len() - 1)].as_secs_f64() * 1000.0;
        println!(
            "from {what} to the request at {rate}/s: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, aim p99 100 ms",
            at(500),
            at(990),
            at(1000)
        );
    }
    room.until_empty().await?;
    room.end().await;
    store.close().await?;
    Ok(())
}

async fn start_with_backlog(port: u16, got: &mut mpsc::Receiver<(Bytes, Instant)>, count: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path(), CACHE)?;
    // An endpoint that is not there: all of it waits, and lies before what is for the other one.
    fill(&store, "gone", count).await?;
    fill(&store, "local", 1).await?;
    store.close().await?;
    let begun = Instant::now();
    let store = Store::open(dir.path(), CACHE)?;
    let opened = begun.elapsed();
    let room = Room::start(&store, config(port, 8)?)?;
    got.recv().await.context("the receiver ended")?;
    println!(
        "start with {count} waiting deliveries: open after {:.2} s, the first delivery behind them after {:.2} s, aim under 5 s",
        opened.as_secs_f64(),
        begun.elapsed().as_secs_f64()
    );
    room.end().await;
    store.close().await?;
    Ok(())
}
