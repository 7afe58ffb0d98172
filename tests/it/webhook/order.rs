//! What waits: in which order it goes, how many at a time, and over a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;

use super::rig::{Got, Outbox, PATIENCE, Receiver, at_once, endpoint, retries};

#[tokio::test]
async fn what_waits_and_what_failed_survive_a_restart() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::BAD_GATEWAY)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"10ms\", \"1h\"") + &endpoint("crm", &receiver.url("/"))),
    );
    let failed = outbox.post("crm", "a/1", "failed").await;
    assert_eq!(receiver.next().await.header("wharf-attempt"), "1");
    assert_eq!(receiver.next().await.header("wharf-attempt"), "2");
    let waiting = outbox.post("later", "a/1", "waiting").await;
    let twice_tried = async {
        while !outbox
            .store
            .deliveries(10)
            .await
            .unwrap()
            .iter()
            .any(|delivery| delivery.tries == 2)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, twice_tried).await.unwrap();
    outbox.close().await;

    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let outbox = Outbox::open(folder.path(), &endpoint("later", &receiver.url("/later")));
    let got = receiver.next().await;
    assert_eq!(
        (got.header("webhook-id"), got.body.as_str()),
        (waiting.as_str(), "waiting")
    );
    let left = outbox.store.deliveries(10).await.unwrap();
    let failed = left.iter().find(|delivery| delivery.id == failed).unwrap();
    assert_eq!((failed.tries, failed.last_error.as_deref()), (2, Some("answered 502")));
    outbox.close().await;
}

#[tokio::test]
async fn a_chat_keeps_its_order_and_chats_do_not_wait_for_each_other() {
    let pauses = AtomicUsize::new(0);
    let pauses = Arc::new(pauses);
    let mut receiver = Receiver::start(move |_: &Got| {
        let step = pauses.fetch_add(7, Ordering::SeqCst) % 13;
        (StatusCode::OK, Duration::from_millis(step as u64))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/")));
    for n in 0..60 {
        outbox
            .post("crm", &format!("a/{}", n % 4), &format!("{} {n}", n % 4))
            .await;
    }
    let mut last: HashMap<String, i64> = HashMap::new();
    for _ in 0..60 {
        let got = receiver.next().await;
        let (chat, n) = got.body.split_once(' ').unwrap();
        let n: i64 = n.parse().unwrap();
        assert!(
            last.insert(chat.to_owned(), n).is_none_or(|before| before < n),
            "{n} came too late"
        );
    }
    assert!(receiver.most_at_once.load(Ordering::SeqCst) > 1, "chats go together");
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_never_gets_more_requests_at_a_time_than_it_takes() {
    let mut receiver = Receiver::start(|_| (StatusCode::OK, Duration::from_millis(10))).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &format!("{}in_flight = 2\n", endpoint("crm", &receiver.url("/"))),
    );
    for n in 0..20 {
        outbox.post("crm", &format!("a/{n}"), "{}").await;
    }
    for _ in 0..20 {
        receiver.next().await;
    }
    assert_eq!(receiver.most_at_once.load(Ordering::SeqCst), 2);
    outbox.close().await;
}
