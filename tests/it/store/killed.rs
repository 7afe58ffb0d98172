//! kill -9 of a process that commits with sixteen producers: what it was told to be kept is kept.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use wharf::event::{Draft, Kind, Origin};
use wharf::store::{Batch, KvOp, KvWrite, NewEvent, Once, OutboxChange, Store};

use super::{account, open, post};

const FOLDER: &str = "WHARF_TEST_KILLED_STORE";
const CHILD: &str = "store::killed::child_that_commits_until_it_is_killed";
const PRODUCERS: u64 = 16;
const ROUNDS: usize = 10;

/// What a producer was told: its number, and how far it has come.
#[derive(Debug)]
struct Ack {
    producer: u64,
    n: u64,
    event: String,
    delivery: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_was_acknowledged_before_kill_9_is_there_whole_and_numbered_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let mut acks: Vec<Ack> = Vec::new();
    for round in 0..ROUNDS {
        let mut chance = [0u8; 2];
        getrandom::fill(&mut chance).unwrap();
        // The first rounds die while they open or soon after, the others in full work.
        let lines = usize::from(u16::from_le_bytes(chance)) % if round < 3 { 4 } else { 500 };
        acks.extend(run_child_and_kill_it(dir.path(), lines));
        check(dir.path(), &acks).await;
    }
    assert!(acks.len() > 100, "the child has hardly worked: {}", acks.len());
}

fn run_child_and_kill_it(dir: &Path, lines: usize) -> Vec<Ack> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acks = Vec::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        let Some(rest) = line.split_once("acknowledged ").map(|(_, rest)| rest) else {
            continue;
        };
        if let [producer, n, event, delivery] = rest.split(' ').collect::<Vec<_>>()[..] {
            let (event, delivery) = (event.to_owned(), delivery.to_owned());
            acks.push(Ack {
                producer: producer.parse().unwrap(),
                n: n.parse().unwrap(),
                event,
                delivery,
            });
        }
        seen += 1;
        if seen == lines + 1 {
            // SIGKILL; what it has printed until it dies is read on.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen > 0, "the child ended by itself");
    acks
}

async fn check(dir: &Path, acks: &[Ack]) {
    let store = open(dir);
    let mut events = HashMap::new();
    let mut newest: HashMap<u64, u64> = HashMap::new();
    let mut seqs: HashMap<String, u64> = HashMap::new();
    let mut offset = 0;
    loop {
        let page = store.events(offset, 1000).await.unwrap();
        if page.is_empty() {
            break;
        }
        for (at, event) in page {
            assert_eq!(at, offset);
            offset += 1;
            let seq = seqs.entry(event.account.as_ref().unwrap().to_string()).or_default();
            *seq += 1;
            assert_eq!(event.seq, *seq);
            let (producer, n) = (
                event.data["producer"].as_u64().unwrap(),
                event.data["n"].as_u64().unwrap(),
            );
            let before = newest.insert(producer, n).map_or(0, |before| before + 1);
            assert_eq!(n, before, "producer {producer} skips or repeats");
            events.insert(event.id.clone(), (producer, n));
        }
    }
    assert_eq!(*store.head().borrow(), offset);
    for ack in acks {
        assert_eq!(
            events.get(&ack.event),
            Some(&(ack.producer, ack.n)),
            "acknowledged and lost"
        );
        let id = format!("M{}-{}", ack.producer, ack.n);
        assert!(store.is_seen(&account("a0"), "100@c.us", &id).await.unwrap());
    }
    // Each commit made one event, one delivery and one count: all of it or nothing.
    for (producer, n) in &newest {
        let entry = store.kv_get("producers", &producer.to_string()).await.unwrap().unwrap();
        assert_eq!(entry.value, n.to_string().into_bytes());
    }
    let deliveries = store.deliveries(1_000_000).await.unwrap();
    assert_eq!(deliveries.len(), events.len());
    let known: HashMap<&str, u64> = deliveries
        .iter()
        .map(|made| (made.id.as_str(), made.sequence))
        .collect();
    assert!(
        acks.iter().all(|ack| known.contains_key(ack.delivery.as_str())),
        "a delivery was lost"
    );
    let mut sequences: HashMap<&str, Vec<u64>> = HashMap::new();
    for delivery in &deliveries {
        sequences.entry(&delivery.endpoint).or_default().push(delivery.sequence);
        assert!(store.delivery_body(&delivery.body).await.unwrap().is_some());
    }
    for (endpoint, sequences) in sequences {
        assert!(
            sequences.iter().copied().eq(1..=sequences.len() as u64),
            "{endpoint}: {sequences:?}"
        );
    }
    store.close().await.unwrap();
}

#[test]
#[ignore = "the child of the test above, which starts it"]
fn child_that_commits_until_it_is_killed() {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
    let Ok(dir) = std::env::var(FOLDER) else { return };
    println!("acknowledged opening");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&dir));
        let producers = (0..PRODUCERS).map(|producer| produce(&store, producer));
        futures::future::join_all(producers).await;
    });
}

async fn produce(store: &Store, producer: u64) {
    let space = || "producers".to_owned();
    let before = store.kv_get(&space(), &producer.to_string()).await.unwrap();
    let next = before.map_or(0, |entry| serde_json::from_slice::<u64>(&entry.value).unwrap() + 1);
    for n in next.. {
        let id = format!("M{producer}-{n}");
        let data = serde_json::json!({"producer": producer, "n": n, "chat": "100@c.us", "timestamp": n});
        let draft = Draft {
            event: Kind::MESSAGE,
            account: Some(account(&format!("a{}", producer % 3))),
            timestamp: 1,
            origin: Origin::Live,
            data: data.as_object().unwrap().clone(),
        };
        let once = Once {
            account: account("a0"),
            chat: "100@c.us".to_owned(),
            message_id: id.clone(),
            kind: "message".to_owned(),
        };
        // One body in twenty is cut into parts.
        let body = format!("{id} {}", "x".repeat(if n % 20 == 7 { 100_000 } else { 200 }));
        let made = store
            .commit(Batch {
                events: vec![NewEvent {
                    draft,
                    once: Some(once),
                }],
                kv: vec![KvWrite {
                    space: space(),
                    key: producer.to_string(),
                    op: KvOp::Set(n.to_string().into_bytes()),
                    expires_at: None,
                }],
                posts: vec![post(&format!("e{}", producer % 2), body.as_bytes())],
                outbox: Vec::<OutboxChange>::new(),
                ..Batch::default()
            })
            .await
            .unwrap();
        let event = made.events[0].as_ref().unwrap().1.id.clone();
        println!("acknowledged {producer} {n} {event} {}", made.deliveries[0]);
    }
}
