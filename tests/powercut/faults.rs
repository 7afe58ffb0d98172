//! A disk that is full, and one that fails a sync: the store says so, goes on by itself when the disk is well again, and has
//! all that it answered.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use wharf::store::{Error, Store};

use super::oracle::{self, Promised};
use super::recorder::Bench;
use super::workload::{OPEN, PRODUCERS, SPACE, account, batch, deliveries, open, stays};

const CHILD: &str = "faults::child_whose_disk_fails_again_and_again";
/// How often the disk fails.
const TIMES: usize = 6;
/// Answers before it fails again.
const BETWEEN: usize = 40;
/// Before a producer looks again at a store that is out of service.
const PAUSE: Duration = Duration::from_millis(20);
/// For anything that a machine under load may take long for.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_full_disk_stops_the_store_and_it_goes_on_by_itself_when_there_is_room_again() {
    fails_again_and_again("full");
}

#[test]
fn after_a_failed_sync_only_what_is_really_there_counts_and_nothing_answered_is_lost() {
    fails_again_and_again("drop");
}

fn fails_again_and_again(how: &str) {
    let bench = Bench::new();
    let (status, said) = bench.run(CHILD, how);
    assert!(
        status.success() && said.contains("all of it is there"),
        "{status}: {said}"
    );
    let log = super::log::Log::read(&bench.log());
    let promised = Promised::of(log.marks(log.records.len()));
    assert!(promised.acks() >= TIMES * BETWEEN, "{}", promised.acks());
    oracle::check(&bench.data(), &promised).unwrap();
}

#[test]
#[ignore = "the child of the tests above, which start it"]
fn child_whose_disk_fails_again_and_again() {
    let Some((bench, how)) = Bench::of_child() else { return };
    let slow = tracing_subscriber::registry().with(SlowToSay);
    tracing::subscriber::set_global_default(slow).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let work = work(&bench, &how);
        tokio::time::timeout(PATIENCE, work).await.expect("it comes to its end");
    });
}

/// Whoever was told of a failure has a moment before the store's thread goes on: what was written and not synced must not be
/// found in it.
struct SlowToSay;

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for SlowToSay {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let of = event.metadata();
        if of.target().starts_with("wharf::store::writer") && *of.level() == tracing::Level::ERROR {
            std::thread::park_timeout(Duration::from_millis(200));
        }
    }
}

/// Producers that never give up, and a disk that fails under them.
struct Work {
    store: Store,
    marks: Mutex<Vec<String>>,
    file: std::fs::File,
    answers: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

async fn work(bench: &Bench, how: &str) {
    let work = Work {
        store: open(&bench.data()).unwrap(),
        marks: Mutex::default(),
        file: std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(bench.marks())
            .unwrap(),
        answers: AtomicUsize::new(0),
        refused: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    let failing = async {
        for time in 0..TIMES {
            until_more(&work.answers, BETWEEN).await;
            let fault = match how {
                "full" => format!("full {}", time * 30_000),
                other => other.to_owned(),
            };
            let beside = bench.fault().with_extension("new");
            std::fs::write(&beside, fault).unwrap();
            std::fs::rename(&beside, bench.fault()).unwrap();
            until_more(&work.refused, 1).await;
            if how == "full" {
                // It has been looked at again and is still full, some of the times.
                until_more(&work.refused, 20 * time).await;
                std::fs::remove_file(bench.fault()).unwrap();
            }
            println!("the disk has failed {} times", time + 1);
        }
        until_more(&work.answers, BETWEEN).await;
        work.over.store(true, Ordering::SeqCst);
    };
    futures::future::join(
        failing,
        futures::future::join_all((0..PRODUCERS).map(|n| work.produce(n))),
    )
    .await;
    let marks = work.marks.lock().unwrap().clone();
    let promised = Promised::of(marks.iter().map(String::as_str));
    oracle::look(&work.store, &promised).await.unwrap();
    work.store.close().await.unwrap();
    println!("all of it is there");
}

/// Until something has happened so many more times.
async fn until_more(count: &AtomicUsize, more: usize) {
    let from = count.load(Ordering::SeqCst);
    let mut tick = tokio::time::interval(Duration::from_millis(5));
    while count.load(Ordering::SeqCst) < from + more {
        tick.tick().await;
    }
}

impl Work {
    /// Commits until the end. After each failure it looks how far it has come, since that can be seen.
    async fn produce(&self, producer: u64) {
        // What was found to be kept is not committed again.
        let mut least = 0;
        loop {
            let (next, mut open) = match self.stands(producer).await {
                Ok(stands) => stands,
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            for n in next.max(least).. {
                if self.over.load(Ordering::SeqCst) {
                    return;
                }
                let done = n
                    .checked_sub(OPEN)
                    .filter(|old| !stays(*old))
                    .and_then(|old| open.remove(&old));
                match self.store.commit(batch(producer, n, done)).await {
                    Ok(made) => {
                        let id = &made.events[0].as_ref().unwrap().1.id;
                        self.mark(format!("ack {producer} {n} {id} {}", made.deliveries[0]));
                        open.insert(n, made.deliveries[0].clone());
                        self.answers.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => {
                        self.failed(&error);
                        if self.is_kept(producer, n).await {
                            least = n + 1;
                        }
                        break;
                    }
                }
            }
        }
    }

    /// Whether a commit that failed was kept all the same. As for a session: if so, the page forgets the event.
    async fn is_kept(&self, producer: u64, n: u64) -> bool {
        let mark = loop {
            match self.store.page_mark(&account(producer), &format!("P{producer}")).await {
                Ok(mark) => break mark,
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        mark.is_some_and(|mark| mark > n)
    }

    async fn stands(&self, producer: u64) -> Result<(u64, HashMap<u64, String>), Error> {
        let before = self.store.kv_get(SPACE, &producer.to_string()).await?;
        let next = before.map_or(0, |entry| serde_json::from_slice::<u64>(&entry.value).unwrap() + 1);
        let open = deliveries(&self.store).await?;
        let of = |((of, n), made): ((u64, u64), wharf::store::Delivery)| (of == producer).then_some((n, made.id));
        Ok((next, open.into_iter().filter_map(of).collect()))
    }

    fn failed(&self, error: &Error) {
        assert!(
            error.is_transient() && error.to_string().contains("out of service"),
            "{error}"
        );
        self.refused.fetch_add(1, Ordering::SeqCst);
    }

    /// One write, so that it is one mark.
    fn mark(&self, text: String) {
        use std::io::Write as _;
        (&self.file).write_all(text.as_bytes()).unwrap();
        self.marks.lock().unwrap().push(text);
    }
}
