//! What the child does with the real store: commits whose whole effect follows from how far each producer has come.
//!
//! In: how often it may be answered before it ends, and how it ends. Out: a mark for each answer. After its `n`-th commit a
//! producer has exactly what `oracle` says; so a commit that is kept half is found, and one that was not promised may be
//! there or not.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use wharf::action::Content;
use wharf::event::{AccountId, Draft, Kind, Origin, Source};
use wharf::store::{
    AccountRecord, BODY_MAX, Batch, Committed, Delivery, Desired, EVENTS_PER_BATCH, Error, Intent, KvOp, KvWrite,
    NewEvent, Once, OutboxChange, PageMark, Position, Post, Store, VALUE_MAX,
};

use super::recorder::Bench;

pub(crate) const CHILD: &str = "workload::child_that_works";
pub(crate) const PRODUCERS: u64 = 6;
pub(crate) const SPACE: &str = "producers";
/// A delivery is done so many commits after it was posted.
pub(crate) const OPEN: u64 = 4;
/// Keys and intents of so many commits are there at a time.
pub(crate) const KEPT: u64 = 3;
/// Batches of the account that is made and removed again.
const GONE_BATCHES: usize = 3;
const CACHE: u64 = 16 << 20;

pub(crate) fn open(dir: &Path) -> Result<Store, Error> {
    Store::open(dir, CACHE)
}

/// The account of a producer.
pub(crate) fn account(producer: u64) -> AccountId {
    format!("a{}", producer % 3).parse().unwrap()
}

/// Whether a delivery stays in the outbox for good.
pub(crate) fn stays(n: u64) -> bool {
    n % 6 == 5
}

/// The last commit up to `n` that wrote the large value, if one has.
pub(crate) fn large_at(n: u64) -> Option<u64> {
    (n >= 3).then(|| n - (n - 3) % 10)
}

/// As large as a value may be.
pub(crate) fn large(producer: u64, n: u64) -> Vec<u8> {
    let start = format!("\"{producer}/{n} ");
    let mut value = start.into_bytes();
    value.resize(VALUE_MAX - 1, b'a' + u8::try_from(n % 26).unwrap());
    value.push(b'"');
    value
}

/// One in 25 as large as a body may be.
pub(crate) fn body(producer: u64, n: u64) -> Vec<u8> {
    let mut body = format!("body of {producer}/{n} ").into_bytes();
    let size = if n % 25 == 7 { BODY_MAX } else { 200 };
    body.extend(
        (0..)
            .map(|at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0])
            .take(size - body.len()),
    );
    body
}

/// The `n`-th batch of a producer. `done` is the delivery that it finishes.
pub(crate) fn batch(producer: u64, n: u64, done: Option<String>) -> Batch {
    let id = format!("M{producer}-{n}");
    let data = json!({"producer": producer, "n": n, "id": id, "chat": chat(producer), "timestamp": n});
    let set = |key: String, value: Vec<u8>| KvWrite {
        space: SPACE.to_owned(),
        key,
        op: KvOp::Set(value),
        expires_at: None,
    };
    let mut kv = vec![
        set(producer.to_string(), n.to_string().into_bytes()),
        set(format!("t{producer}/{n:08}"), b"true".to_vec()),
    ];
    if let Some(old) = n.checked_sub(KEPT) {
        let key = format!("t{producer}/{old:08}");
        kv.push(KvWrite {
            op: KvOp::Delete,
            ..set(key, Vec::new())
        });
    }
    if large_at(n) == Some(n) {
        kv.push(set(format!("large{producer}"), large(producer, n)));
    }
    let mut intents = vec![(format!("i{producer}/{n:08}"), Some(intent(producer, n)))];
    if let Some(old) = n.checked_sub(KEPT) {
        intents.push((format!("i{producer}/{old:08}"), None));
    }
    Batch {
        events: vec![event(account(producer), chat(producer), &id, &data)],
        page: Some(PageMark {
            account: account(producer),
            page_id: format!("P{producer}"),
            page_seq: n + 1,
        }),
        kv,
        intents,
        positions: vec![(format!("script{producer}"), Position::start(n + 1))],
        posts: vec![Post {
            endpoint: format!("e{}", producer % 2),
            chat_key: chat(producer),
            body: body(producer, n),
            script: Some(format!("{producer}/{n}")),
            event_id: None,
        }],
        outbox: done.map(OutboxChange::Done).into_iter().collect(),
        ..Batch::default()
    }
}

pub(crate) fn chat(producer: u64) -> String {
    format!("10{producer}@c.us")
}

fn event(account: AccountId, chat: String, id: &str, data: &serde_json::Value) -> NewEvent {
    NewEvent {
        draft: Draft {
            event: Kind::MESSAGE,
            account: Some(account.clone()),
            timestamp: 1,
            origin: Origin::Live,
            data: data.as_object().unwrap().clone(),
        },
        once: Some(Once {
            account,
            chat,
            message_id: id.to_owned(),
            kind: "message".to_owned(),
        }),
    }
}

fn intent(producer: u64, n: u64) -> Intent {
    Intent {
        key: format!("i{producer}/{n:08}"),
        account: account(producer),
        chat: None,
        message_id: None,
        page_id: None,
        to: chat(producer),
        content: Content::Text {
            text: n.to_string(),
            quote: None,
            mentions: Vec::new(),
        },
        source: Source::Script,
        made_at: 1,
        answer: None,
        keep_until: None,
    }
}

/// The waiting deliveries by producer and number.
pub(crate) async fn deliveries(store: &Store) -> Result<HashMap<(u64, u64), Delivery>, Error> {
    let nobody = |made: &Delivery| Error::Invalid {
        what: format!("a delivery of nobody: {made:?}"),
    };
    let of = |made: Delivery| {
        let named = made.script.as_deref().and_then(|name| name.split_once('/'));
        let of = named.and_then(|(producer, n)| Some((producer.parse().ok()?, n.parse().ok()?)));
        Ok((of.ok_or_else(|| nobody(&made))?, made))
    };
    store.deliveries(1_000_000).await?.into_iter().map(of).collect()
}

#[test]
#[ignore = "the child of other tests, which start it"]
fn child_that_works() {
    let Some((bench, told)) = Bench::of_child() else { return };
    let (life, answers) = told.split_once(' ').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work(&bench, life, answers));
}

/// Works until it was answered so often, then dies by SIGKILL; or, for so many answers to each producer followed by
/// ` each`, closes the store in order.
async fn work(bench: &Bench, life: &str, answers: &str) {
    let store = open(&bench.data()).unwrap();
    let marks = OpenOptions::new()
        .append(true)
        .create(true)
        .open(bench.marks())
        .unwrap();
    // One write, so that it is one mark.
    let mark = |text: String| (&marks).write_all(text.as_bytes()).unwrap();
    let each: Option<u64> = answers.strip_suffix(" each").map(|each| each.parse().unwrap());
    let most = each.map_or_else(|| answers.parse().unwrap(), |_| usize::MAX);
    let (count, open) = (AtomicUsize::new(0), deliveries(&store).await.unwrap());
    let produce = async |producer: u64| {
        let mut open: HashMap<u64, String> = open
            .iter()
            .filter(|((of, _), _)| *of == producer)
            .map(|((_, n), made)| (*n, made.id.clone()))
            .collect();
        let before = store.kv_get(SPACE, &producer.to_string()).await.unwrap();
        let next = before.map_or(0, |entry| serde_json::from_slice::<u64>(&entry.value).unwrap() + 1);
        for n in next..each.map_or(u64::MAX, |each| next + each) {
            let old = n.checked_sub(OPEN).filter(|old| !stays(*old));
            let done = old.and_then(|old| open.remove(&old));
            let made: Committed = store.commit(batch(producer, n, done)).await.unwrap();
            let id = made.events[0].as_ref().unwrap().1.id.clone();
            mark(format!("ack {producer} {n} {id} {}", made.deliveries[0]));
            open.insert(n, made.deliveries[0].clone());
            if count.fetch_add(1, Ordering::SeqCst) + 1 >= most {
                rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
            }
        }
    };
    let come_and_go = async {
        let name: AccountId = format!("gone{life}").parse().unwrap();
        store.commit(of_account(&name, Some(record(&name)))).await.unwrap();
        for at in 0..GONE_BATCHES {
            let events = (0..EVENTS_PER_BATCH).map(|n| {
                let id = format!("G{life}-{at}-{n}");
                event(
                    name.clone(),
                    "1@c.us".to_owned(),
                    &id,
                    &json!({"id": id, "chat": "1@c.us", "timestamp": n}),
                )
            });
            store
                .commit(Batch {
                    events: events.collect(),
                    ..Batch::default()
                })
                .await
                .unwrap();
        }
        // Its rows go step by step behind this.
        store.commit(of_account(&name, None)).await.unwrap();
        mark(format!("gone {name}"));
    };
    futures::future::join(futures::future::join_all((0..PRODUCERS).map(produce)), come_and_go).await;
    store.close().await.unwrap();
    mark("closed".to_owned());
}

fn of_account(name: &AccountId, record: Option<AccountRecord>) -> Batch {
    Batch {
        accounts: vec![(name.clone(), record)],
        ..Batch::default()
    }
}

fn record(name: &AccountId) -> AccountRecord {
    AccountRecord {
        id: name.clone(),
        name: None,
        folder: "01J0000000000000000000000".to_owned(),
        created_at: 1,
        linked_at: None,
        phone: None,
        desired: Desired::Stopped,
        webhook: None,
    }
}
