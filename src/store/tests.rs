//! The store on media that fail: what a caller is told is what is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::engine::Space;
use super::faulty::{Fault, Faults, Faulty};
use super::memory::Memory;
use super::*;
use crate::event::{Draft, Kind, Origin};

fn open() -> (Store, Faults, Memory) {
    let (faults, medium) = (Faults::default(), Memory::default());
    let faulty = Faulty {
        medium: medium.clone(),
        faults: faults.clone(),
    };
    let store = Store::open_on(Box::new(faulty), &Options::default()).unwrap();
    (store, faults, medium)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn event(n: u32) -> NewEvent {
    Draft {
        event: Kind::MESSAGE,
        account: Some("a".parse().unwrap()),
        timestamp: i64::from(n),
        origin: Origin::Live,
        data: serde_json::Map::from_iter([("n".to_owned(), n.into())]),
    }
    .into()
}

fn set(key: u8, value: u32) -> KvWrite {
    KvWrite {
        space: "s".to_owned(),
        key: key.to_string(),
        op: KvOp::Set(value.to_string().into_bytes()),
        expires_at: None,
    }
}

fn post(n: u32) -> Post {
    Post {
        endpoint: "e".to_owned(),
        chat_key: "c".to_owned(),
        body: n.to_string().into_bytes(),
        script: None,
        event_id: None,
    }
}

async fn until_open(store: &Store) {
    while store.health().down.is_some() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// An event, a kv entry and a post in one batch.
    Commit(u8),
    /// A batch that must be refused.
    Conflict(u8),
    FailApply(Fault),
    FailSync(Fault),
    FailOpen,
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let fault = prop_oneof![Just(Fault::Slow), Just(Fault::Refuse), Just(Fault::DoAndFail)];
    let op = prop_oneof![
        8 => (0..6u8).prop_map(Op::Commit),
        2 => (0..6u8).prop_map(Op::Conflict),
        1 => fault.clone().prop_map(Op::FailApply),
        1 => fault.prop_map(Op::FailSync),
        1 => Just(Op::FailOpen),
        1 => Just(Op::Close),
    ];
    proptest::collection::vec(op, 1..16)
}

/// What is kept: how many batches, and the newest value of each key.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    values: Vec<u32>,
    kv: BTreeMap<String, u32>,
}

async fn kept(store: &Store) -> Kept {
    let events = store.events(0, 1000).await.unwrap();
    let numbers = events.iter().map(|(_, event)| event.data["n"].as_u64().unwrap());
    let values: Vec<u32> = numbers.map(|n| u32::try_from(n).unwrap()).collect();
    // Whole or not at all: each event with its post, numbered without gaps.
    let posts = store.deliveries(1000).await.unwrap();
    assert_eq!(posts.len(), values.len());
    for (at, (post, (offset, event))) in posts.iter().zip(&events).enumerate() {
        let at = at as u64;
        assert_eq!((post.sequence, *offset, event.seq), (at + 1, at, at + 1));
    }
    let entries = store.kv_list("s", "", 100).await.unwrap();
    let kv = entries.into_iter().map(|(key, entry)| {
        let text = String::from_utf8(entry.value).unwrap();
        (key, text.parse().unwrap())
    });
    Kept {
        values,
        kv: kv.collect(),
    }
}

async fn run(ops: &[Op]) -> Result<(), TestCaseError> {
    let (mut store, faults, medium) = open();
    let mut model = Kept::default();
    for (n, op) in (0..).zip(ops) {
        match op {
            Op::Commit(key) => {
                let batch = Batch {
                    events: vec![event(n)],
                    kv: vec![set(*key, n)],
                    posts: vec![post(n)],
                    ..Batch::default()
                };
                let before = model.clone();
                model.values.push(n);
                model.kv.insert(key.to_string(), n);
                match store.commit(batch).await {
                    Ok(_) => {}
                    Err(Error::Down { .. }) => {
                        until_open(&store).await;
                        let found = kept(&store).await;
                        prop_assert!(found == model || found == before, "{:?} of {:?}", found, model);
                        model = found;
                    }
                    Err(other) => prop_assert!(false, "{other}"),
                }
            }
            Op::Conflict(key) => {
                let expect = vec![Expect {
                    space: "s".to_owned(),
                    key: key.to_string(),
                    version: Some(u64::MAX),
                }];
                let batch = Batch {
                    expect,
                    events: vec![event(n)],
                    ..Batch::default()
                };
                let refused = store.commit(batch).await;
                prop_assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
            }
            Op::FailApply(fault) => faults.on_apply(*fault),
            Op::FailSync(fault) => faults.on_sync(*fault),
            Op::FailOpen => faults.on_open(Fault::Refuse),
            Op::Close => {
                // The last sync may fail as well; nothing that was acknowledged hangs on it.
                drop(store.close().await);
                store = loop {
                    let medium = Faulty {
                        medium: medium.clone(),
                        faults: faults.clone(),
                    };
                    if let Ok(store) = Store::open_on(Box::new(medium), &Options::default()) {
                        break store;
                    }
                };
            }
        }
        prop_assert_eq!(&kept(&store).await, &model);
    }
    drop(store.close().await);
    Ok(())
}

#[test]
fn a_batch_is_kept_whole_or_not_at_all_however_the_disk_fails() {
    let runtime = runtime();
    let mut runner = TestRunner::new(Config {
        cases: 1_000,
        failure_persistence: None,
        ..Config::default()
    });
    let done = runner.run(&ops(), |ops| runtime.block_on(run(&ops)));
    if let Err(error) = done {
        panic!("{error}");
    }
}

#[test]
fn a_disk_that_is_almost_full_refuses_new_work_takes_outcomes_and_goes_on_when_there_is_room() {
    runtime().block_on(async {
        let (store, faults, _medium) = open();
        let posts = |n| Batch {
            posts: vec![post(n)],
            ..Batch::default()
        };
        let made = store.commit(posts(1)).await.unwrap().deliveries;
        let total = 10 << 30;
        faults.set_space(Space { total, free: 100 << 20 });
        let refused = until(&store, posts, false).await;
        assert!(
            refused.is_err_and(
                |error| matches!(error, Error::Full { free, .. } if free == 100 << 20) && error.is_transient()
            )
        );
        assert_eq!(store.health().level, Level::Full);
        let done = Batch {
            outbox: made.into_iter().map(OutboxChange::Done).collect(),
            ..Batch::default()
        };
        store.commit(done).await.unwrap();
        faults.set_space(Space { total, free: total });
        until(&store, posts, true).await.unwrap();
        assert_eq!(store.health().level, Level::Enough);
        store.close().await.unwrap();
    });
}

/// Commits until it is taken, or until it is not.
async fn until(store: &Store, batch: impl Fn(u32) -> Batch, taken: bool) -> Result<Committed, Error> {
    loop {
        let done = store.commit(batch(2)).await;
        if done.is_ok() == taken {
            return done;
        }
        // The disk is looked at once a second.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_store_of_the_first_schema_is_brought_up_and_has_its_journal() {
    runtime().block_on(async {
        let (store, _faults, medium) = open();
        let events = Batch {
            events: (0..5).map(event).collect(),
            ..Batch::default()
        };
        store.commit(events).await.unwrap();
        store.close().await.unwrap();

        // As the first schema was: the head knew nothing of the journal's size.
        let disk = disk::Disk::on(engine::Medium::open(&medium).unwrap());
        let head = stage::Head::read(&disk).unwrap();
        let bytes = head.journal_bytes;
        let nothing = engine::Rows::new();
        let mut layer = stage::Layer::over(
            &disk,
            &nothing,
            stage::Head {
                first: 0,
                journal_bytes: 0,
                ..head
            },
        );
        layer.write_head().unwrap();
        layer.put(layout::Table::Schema.prefix(), &1_u32).unwrap();
        disk.apply(layer.into_rows()).unwrap();
        disk.sync().unwrap();

        let store = Store::open_on(Box::new(medium), &Options::default()).unwrap();
        let health = store.health();
        assert_eq!((health.journal_first, health.journal_next), (0, 5));
        assert!(health.journal_bytes > 0 && health.journal_bytes == bytes);
        store.close().await.unwrap();
    });
}
