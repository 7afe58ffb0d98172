//! Deliveries: order, retries, dead letters, shared bodies.

use wharf::store::{BODY_MAX, Batch, Error, OutboxChange, Post, Store};

use super::{open, post};

async fn make(store: &Store, posts: Vec<Post>) -> Vec<String> {
    store
        .commit(Batch {
            posts,
            ..Batch::default()
        })
        .await
        .unwrap()
        .deliveries
}

async fn change(store: &Store, outbox: Vec<OutboxChange>) {
    store
        .commit(Batch {
            outbox,
            ..Batch::default()
        })
        .await
        .unwrap();
}

async fn waiting(store: &Store) -> Vec<String> {
    store
        .deliveries(1000)
        .await
        .unwrap()
        .into_iter()
        .map(|delivery| delivery.id)
        .collect()
}

#[tokio::test]
async fn deliveries_come_by_due_time_and_then_in_the_order_of_their_posts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut changed = store.outbox_changed();
    let ids = make(&store, vec![post("e", b"1"), post("f", b"2"), post("e", b"3")]).await;
    changed.changed().await.unwrap();
    let more = make(&store, vec![post("e", b"4")]).await;
    assert_eq!(waiting(&store).await, [&ids[..], &more].concat());
    let all = store.deliveries(1000).await.unwrap();
    let sequences: Vec<(&str, u64)> = all.iter().map(|made| (made.endpoint.as_str(), made.sequence)).collect();
    assert_eq!(sequences, [("e", 1), ("f", 1), ("e", 2), ("e", 3)]);
    assert_eq!(
        store.delivery_body(&all[2].body).await.unwrap().as_deref(),
        Some(&b"3"[..])
    );

    let due = all[0].due + 1_000_000;
    let retry = OutboxChange::Retry {
        id: ids[0].clone(),
        due,
        tries: 1,
        last_error: Some("refused".to_owned()),
        attempt: None,
    };
    change(&store, vec![retry, OutboxChange::Done(ids[1].clone())]).await;
    store.close().await.unwrap();
    let store = open(dir.path());
    assert_eq!(waiting(&store).await, [ids[2].clone(), more[0].clone(), ids[0].clone()]);
    assert_eq!(store.deliveries(1).await.unwrap().len(), 1);
    let last = store.deliveries(10).await.unwrap().pop().unwrap();
    assert_eq!(
        (last.due, last.tries, last.last_error.as_deref()),
        (due, 1, Some("refused"))
    );

    change(
        &store,
        vec![OutboxChange::Dead {
            id: ids[0].clone(),
            reason: "gone".to_owned(),
        }],
    )
    .await;
    let dead = store.dead_letters(10).await.unwrap();
    assert_eq!(
        (dead.len(), dead[0].reason.as_str(), &dead[0].delivery.id),
        (1, "gone", &ids[0])
    );
    assert!(store.delivery_body(&dead[0].delivery.body).await.unwrap().is_some());
    // The same again, after a crash between the commit and its answer, changes nothing.
    change(
        &store,
        vec![OutboxChange::Done(ids[0].clone()), OutboxChange::Done(ids[1].clone())],
    )
    .await;
    assert_eq!(waiting(&store).await, [ids[2].clone(), more[0].clone()]);
    assert_eq!(store.dead_letters(10).await.unwrap().len(), 1);
    assert_eq!(make(&store, vec![post("e", b"5")]).await.len(), 1);
    assert_eq!(store.deliveries(10).await.unwrap().last().unwrap().sequence, 4);
}

#[tokio::test]
async fn a_body_is_kept_once_and_goes_with_its_last_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let body: Vec<u8> = (0..BODY_MAX).map(|n| (n * 7 % 251) as u8).collect();
    let ids = make(&store, vec![post("e", &body), post("f", &body)]).await;
    let third = make(&store, vec![post("e", &body)]).await;
    let hash = store.deliveries(1).await.unwrap()[0].body;
    store.close().await.unwrap();
    let store = open(dir.path());
    for id in [&ids[0], &third[0], &ids[1]] {
        assert!(
            store
                .delivery_body(&hash)
                .await
                .unwrap()
                .is_some_and(|kept| kept == body)
        );
        change(&store, vec![OutboxChange::Done(id.clone())]).await;
    }
    assert_eq!(store.delivery_body(&hash).await.unwrap(), None);
    assert!(waiting(&store).await.is_empty());
    // It can come back.
    make(&store, vec![post("e", &body)]).await;
    assert!(
        store
            .delivery_body(&hash)
            .await
            .unwrap()
            .is_some_and(|kept| kept == body)
    );
    assert!(no_blob_files(dir.path()), "sled never syncs these");
}

#[tokio::test]
async fn the_largest_run_that_the_limits_allow_is_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let large = |n: u8| vec![n; BODY_MAX];
    let batch = Batch {
        posts: (0..16).map(|n| post(&format!("e{n}"), &large(n))).collect(),
        kv: (0..64)
            .map(|n| super::set(&n.to_string(), &format!("\"{}\"", "v".repeat(48 * 1024 - 2))))
            .collect(),
        ..Batch::default()
    };
    assert_eq!(store.commit(batch).await.unwrap().deliveries.len(), 16);
    store.close().await.unwrap();
    let store = open(dir.path());
    for (delivery, n) in store.deliveries(100).await.unwrap().iter().zip(0..) {
        assert!(
            store
                .delivery_body(&delivery.body)
                .await
                .unwrap()
                .is_some_and(|body| body == large(n))
        );
    }
    assert_eq!(store.kv_list("s", "", 100).await.unwrap().len(), 64);
    assert!(no_blob_files(dir.path()), "sled never syncs these");
    let over = make_one(&store, vec![0; BODY_MAX + 1]).await;
    assert!(matches!(over, Err(Error::TooLarge { .. })));
    let unknown = Batch {
        outbox: vec![OutboxChange::Done("nonsense".to_owned())],
        ..Batch::default()
    };
    assert!(matches!(store.commit(unknown).await, Err(Error::Invalid { .. })));
}

async fn make_one(store: &Store, body: Vec<u8>) -> Result<Vec<String>, Error> {
    store
        .commit(Batch {
            posts: vec![post("e", &body)],
            ..Batch::default()
        })
        .await
        .map(|made| made.deliveries)
}

fn no_blob_files(dir: &std::path::Path) -> bool {
    std::fs::read_dir(dir.join("store").join("blobs"))
        .unwrap()
        .next()
        .is_none()
}
