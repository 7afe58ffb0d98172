//! The store on a real disk: what a commit promises, through reopening, concurrency, damage and kill -9.

#![allow(clippy::unwrap_used, reason = "in a test that is how it fails")]

mod backup;
mod failing;
mod killed;
mod kv;
mod numbering;
mod outbox;
mod positions;

use std::path::Path;

use serde_json::json;
use wharf::action::Content;
use wharf::event::{AccountId, Draft, Kind, Origin, Source};
use wharf::store::{
    AccountRecord, Batch, Desired, Error, Expect, Intent, KvOp, KvWrite, LOCK_FILE, NewEvent, Once, PageMark, Post,
    Store,
};

const CACHE: u64 = 16 << 20;

fn open(dir: &Path) -> Store {
    Store::open(dir, CACHE).unwrap()
}

fn account(id: &str) -> AccountId {
    id.parse().unwrap()
}

/// A message event, journaled once only by its id.
fn message(of: &str, id: &str, timestamp: i64) -> NewEvent {
    let data = json!({"id": id, "chat": "100@c.us", "timestamp": timestamp});
    NewEvent {
        draft: Draft {
            event: Kind::MESSAGE,
            account: Some(account(of)),
            timestamp,
            origin: Origin::Live,
            data: data.as_object().unwrap().clone(),
        },
        once: Some(Once {
            account: account(of),
            chat: "100@c.us".to_owned(),
            message_id: id.to_owned(),
            kind: "message".to_owned(),
        }),
    }
}

fn set(key: &str, value: &str) -> KvWrite {
    KvWrite {
        space: "s".to_owned(),
        key: key.to_owned(),
        op: KvOp::Set(value.into()),
        expires_at: None,
    }
}

fn incr(key: &str, by: f64) -> KvWrite {
    KvWrite {
        space: "s".to_owned(),
        key: key.to_owned(),
        op: KvOp::Incr(by),
        expires_at: None,
    }
}

fn expect(key: &str, version: Option<u64>) -> Expect {
    Expect {
        space: "s".to_owned(),
        key: key.to_owned(),
        version,
    }
}

fn post(endpoint: &str, body: &[u8]) -> Post {
    Post {
        endpoint: endpoint.to_owned(),
        chat_key: "a/100@c.us".to_owned(),
        body: body.to_vec(),
        script: None,
        event_id: None,
    }
}

fn record(id: &str) -> AccountRecord {
    AccountRecord {
        id: account(id),
        name: None,
        folder: "01J0000000000000000000000".to_owned(),
        created_at: 1,
        linked_at: None,
        phone: None,
        desired: Desired::Running,
        webhook: None,
    }
}

fn intent(key: &str, of: &str) -> Intent {
    Intent {
        key: key.to_owned(),
        account: account(of),
        chat: None,
        message_id: None,
        page_id: None,
        to: "100".to_owned(),
        content: Content::Text {
            text: "hello".to_owned(),
            quote: None,
            mentions: Vec::new(),
        },
        source: Source::Script,
        made_at: 1,
        answer: None,
        keep_until: None,
    }
}

async fn value(store: &Store, key: &str) -> Option<String> {
    let entry = store.kv_get("s", key).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value).unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let batch = Batch {
        events: vec![message("a", "M1", 5)],
        page: Some(PageMark {
            account: account("a"),
            page_id: "P".to_owned(),
            page_seq: 7,
        }),
        kv: vec![set("k", "\"v\"")],
        posts: vec![post("e", b"body")],
        intents: vec![("s/evt/1".to_owned(), Some(intent("s/evt/1", "a")))],
        accounts: vec![(account("a"), Some(record("a")))],
        ..Batch::default()
    };
    let made = store.commit(batch).await.unwrap();
    let (offset, event) = made.events[0].clone().unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.commit(Batch::default()).await, Err(Error::Closed)));
    assert!(matches!(store.accounts().await, Err(Error::Closed)));

    let store = open(dir.path());
    assert_eq!(store.events(0, 10).await.unwrap(), vec![(offset, event.clone())]);
    assert_eq!(store.find_event(&event.id).await.unwrap(), Some((offset, event)));
    assert_eq!(*store.head().borrow(), offset + 1);
    assert_eq!(store.page_mark(&account("a"), "P").await.unwrap(), Some(7));
    assert!(store.is_seen(&account("a"), "100@c.us", "M1").await.unwrap());
    assert_eq!(store.chat_marks(&account("a")).await.unwrap().get("100@c.us"), Some(&5));
    assert_eq!(store.kv_get("s", "k").await.unwrap().unwrap().version, made.commit);
    assert_eq!(store.deliveries(10).await.unwrap()[0].id, made.deliveries[0]);
    assert_eq!(
        store.intents_with_prefix("s/evt/").await.unwrap(),
        vec![intent("s/evt/1", "a")]
    );
    assert_eq!(store.intents_of(&account("a")).await.unwrap().len(), 1);
    assert_eq!(store.accounts().await.unwrap(), vec![record("a")]);
}

#[tokio::test]
async fn with_an_account_goes_all_that_is_keyed_by_it_also_when_that_is_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for of in ["a", "ab"] {
        store
            .commit(Batch {
                accounts: vec![(account(of), Some(record(of)))],
                ..Batch::default()
            })
            .await
            .unwrap();
        for n in 0..10 {
            let batch = Batch {
                events: (0..30).map(|m| message(of, &format!("M{n}-{m}"), n)).collect(),
                page: Some(PageMark {
                    account: account(of),
                    page_id: format!("P{n}"),
                    page_seq: 1,
                }),
                intents: vec![(format!("{of}/{n}"), Some(intent(&format!("{of}/{n}"), of)))],
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
        }
    }
    store
        .commit(Batch {
            accounts: vec![(account("a"), None)],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(store.accounts().await.unwrap().len(), 1);
    store.close().await.unwrap();

    let store = open(dir.path());
    // Making it anew waits for the rest of the removal, however far that had come.
    store
        .commit(Batch {
            accounts: vec![(account("a"), Some(record("a")))],
            ..Batch::default()
        })
        .await
        .unwrap();
    let (old, other) = (account("a"), account("ab"));
    assert!(store.chat_marks(&old).await.unwrap().is_empty());
    assert!(store.intents_of(&old).await.unwrap().is_empty());
    for n in 0..10 {
        assert_eq!(store.page_mark(&old, &format!("P{n}")).await.unwrap(), None);
        assert_eq!(store.page_mark(&other, &format!("P{n}")).await.unwrap(), Some(1));
        for m in 0..30 {
            assert!(!store.is_seen(&old, "100@c.us", &format!("M{n}-{m}")).await.unwrap());
            assert!(store.is_seen(&other, "100@c.us", &format!("M{n}-{m}")).await.unwrap());
        }
    }
    assert_eq!(store.intents_of(&other).await.unwrap().len(), 10);
    // The journal goes on counting: its old events are still there.
    let made = store
        .commit(Batch {
            events: vec![message("a", "M0-0", 1)],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(made.events[0].as_ref().unwrap().1.seq, 301);
}

#[tokio::test]
async fn a_second_host_on_the_folder_is_refused_at_once_and_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = Store::open(dir.path(), CACHE).unwrap_err();
    assert!(
        matches!(&refused, Error::InUse { by: Some(pid), .. } if *pid == std::process::id()),
        "{refused}"
    );
    assert!(
        refused.to_string().contains(&dir.path().display().to_string()),
        "{refused}"
    );
    store.close().await.unwrap();
    assert!(dir.path().join(LOCK_FILE).exists());
    open(dir.path()).close().await.unwrap();
}

#[tokio::test]
async fn damaged_and_half_written_snapshots_do_not_stop_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for n in 0..50 {
        store
            .commit(Batch {
                events: vec![message("a", &format!("M{n}"), n)],
                ..Batch::default()
            })
            .await
            .unwrap();
    }
    store.close().await.unwrap();
    let folder = dir.path().join("store");
    std::fs::write(folder.join("snap.00000000000000AA.generating"), b"half").unwrap();
    let store = open(dir.path());
    assert_eq!(store.events(0, 100).await.unwrap().len(), 50);
    store.close().await.unwrap();

    std::fs::write(folder.join("snap.7FFFFFFFFFFFFFFF"), vec![0x5a; 300]).unwrap();
    let store = open(dir.path());
    assert_eq!(store.events(0, 100).await.unwrap().len(), 50);
    assert!(folder.join("aside").join("snap.7FFFFFFFFFFFFFFF").exists());
}
