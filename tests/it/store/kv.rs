//! Values: conflicts, counting, expiry, limits.

use wharf::store::{Batch, Error, KvWrite};

use super::{account, expect, incr, message, open, post, set, value};

#[tokio::test]
async fn nothing_of_a_batch_is_kept_when_something_that_it_read_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let read = store
        .commit(Batch {
            kv: vec![set("k", "1")],
            ..Batch::default()
        })
        .await
        .unwrap()
        .commit;
    store
        .commit(Batch {
            kv: vec![set("k", "2")],
            ..Batch::default()
        })
        .await
        .unwrap();
    let late = Batch {
        expect: vec![expect("k", Some(read))],
        events: vec![message("a", "M1", 5)],
        kv: vec![set("other", "1"), incr("n", 1.0)],
        posts: vec![post("e", b"body")],
        ..Batch::default()
    };
    let refused = store.commit(late).await.unwrap_err();
    assert!(
        matches!(&refused, Error::Conflict { key, .. } if key == "k"),
        "{refused}"
    );
    assert_eq!(value(&store, "other").await, None);
    assert_eq!(value(&store, "n").await, None);
    assert!(!store.is_seen(&account("a"), "100@c.us", "M1").await.unwrap());
    assert!(store.events(0, 10).await.unwrap().is_empty());
    assert!(store.deliveries(10).await.unwrap().is_empty());
    // What the refused batch would have taken is given to the next one.
    let next = Batch {
        events: vec![message("a", "M1", 5)],
        posts: vec![post("e", b"body")],
        ..Batch::default()
    };
    let made = store.commit(next).await.unwrap();
    let (offset, event) = made.events[0].clone().unwrap();
    assert_eq!((offset, event.seq), (0, 1));
    assert_eq!(store.deliveries(10).await.unwrap()[0].sequence, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_batches_that_read_the_same_value_one_wins_and_the_others_fail_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let together = (0..300).map(|n| {
        let store = store.clone();
        async move {
            let batch = Batch {
                expect: vec![expect("k", None)],
                kv: vec![set("k", &n.to_string()), incr("wins", 1.0)],
                ..Batch::default()
            };
            let alone = Batch {
                kv: vec![incr("n", 1.0), set(&format!("own-{n}"), "1")],
                ..Batch::default()
            };
            let (first, second) = tokio::join!(store.commit(batch), store.commit(alone));
            second.unwrap();
            first.is_ok()
        }
    });
    let won = futures::future::join_all(together)
        .await
        .into_iter()
        .filter(|won| *won)
        .count();
    assert_eq!(won, 1);
    assert_eq!(value(&store, "wins").await.as_deref(), Some("1"));
    assert_eq!(value(&store, "n").await.as_deref(), Some("300"));
    assert_eq!(store.kv_list("s", "own-", 1000).await.unwrap().len(), 300);
    assert_eq!(store.kv_list("s", "own-", 7).await.unwrap().len(), 7);
}

#[tokio::test]
async fn an_expired_value_is_absent_for_reads_and_for_what_a_batch_expects() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let past = KvWrite {
        expires_at: Some(1),
        ..set("k", "41")
    };
    let kept = KvWrite {
        expires_at: Some(i64::MAX),
        ..set("kept", "41")
    };
    store
        .commit(Batch {
            kv: vec![past, kept],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(value(&store, "k").await, None);
    assert_eq!(store.kv_list("s", "", 10).await.unwrap().len(), 1);
    let batch = Batch {
        expect: vec![expect("k", None)],
        kv: vec![incr("k", 0.5), incr("kept", 1.0), incr("kept", -2.0)],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    assert_eq!(value(&store, "k").await.as_deref(), Some("0.5"));
    assert_eq!(value(&store, "kept").await.as_deref(), Some("40"));
    assert_eq!(
        store.kv_get("s", "kept").await.unwrap().unwrap().expires_at,
        Some(i64::MAX)
    );
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store
        .commit(Batch {
            kv: vec![set("text", "\"x\"")],
            ..Batch::default()
        })
        .await
        .unwrap();
    let large = format!("\"{}\"", "x".repeat(48 * 1024));
    for (kv, word) in [
        (incr("text", 1.0), "not a finite number"),
        (incr("n", f64::INFINITY), "not a finite number"),
        (set("large", &large), "too large"),
        (set(&"k".repeat(2000), "1"), "too large"),
        (
            KvWrite {
                space: "a\0b".to_owned(),
                ..set("k", "1")
            },
            "zero byte",
        ),
    ] {
        let refused = store
            .commit(Batch {
                kv: vec![set("before", "1"), kv],
                ..Batch::default()
            })
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(word), "{refused}");
        assert!(!refused.is_transient());
        assert_eq!(value(&store, "before").await, None);
    }
    let many = (0..600).map(|n| set(&n.to_string(), "1")).collect();
    assert!(matches!(
        store
            .commit(Batch {
                kv: many,
                ..Batch::default()
            })
            .await,
        Err(Error::TooLarge { .. })
    ));
    let largest = format!("\"{}\"", "x".repeat(48 * 1024 - 2));
    store
        .commit(Batch {
            kv: vec![set("largest", &largest)],
            ..Batch::default()
        })
        .await
        .unwrap();
    assert_eq!(value(&store, "largest").await, Some(largest));
}
