//! What becomes of a delivery that fails.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use tokio_util::task::TaskTracker;

use super::rig::{Got, Outbox, PATIENCE, Receiver, SECRET, at_once, endpoint, retries};

#[tokio::test]
async fn what_was_answered_500_comes_again_with_the_same_id_and_a_new_signature() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.header("wharf-attempt") == "3" {
            StatusCode::OK
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let crm = format!("{}secret = \"{SECRET}\"\n", endpoint("crm", &receiver.url("/")));
    let outbox = Outbox::open(folder.path(), &(retries("\"20ms\", \"20ms\", \"20ms\"") + &crm));
    let id = outbox.post("crm", "a/1", "{}").await;
    for attempt in ["1", "2", "3"] {
        let got = receiver.next().await;
        assert_eq!(
            (got.header("webhook-id"), got.header("wharf-attempt")),
            (id.as_str(), attempt)
        );
        standardwebhooks::Webhook::new(SECRET)
            .unwrap()
            .verify(got.body.as_bytes(), &got.headers)
            .unwrap();
    }
    outbox.until_empty().await;
    assert!(outbox.dead().await.is_empty());
    outbox.close().await;
}

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
async fn when_the_attempts_are_spent_it_becomes_a_dead_letter_and_an_event() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::NOT_FOUND)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"10ms\"") + &endpoint("crm", &receiver.url("/"))),
    );
    let id = outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    receiver.next().await;
    let events = outbox.events(0, 1).await;
    assert_eq!(events[0].event.to_string(), "delivery.dead");
    assert_eq!(
        (events[0].text("endpoint"), events[0].text("delivery")),
        (Some("crm"), Some(id.as_str()))
    );
    let dead = outbox.dead().await;
    assert_eq!(
        (dead[0].delivery.id.as_str(), dead[0].reason.as_str()),
        (id.as_str(), "failed 2 times, at last: answered 404")
    );
    assert!(outbox.store.deliveries(10).await.unwrap().is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn gone_disables_the_endpoint_until_its_settings_change() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.path == "/old" {
            StatusCode::GONE
        } else {
            StatusCode::OK
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/old")));
    outbox.post("crm", "a/1", "first").await;
    assert_eq!(receiver.next().await.body, "first");
    let events = outbox.events(0, 2).await;
    let names: Vec<String> = events.iter().map(|event| event.event.to_string()).collect();
    assert_eq!(names, ["endpoint.disabled", "delivery.dead"]);
    outbox.post("crm", "a/1", "second").await;
    outbox.until_empty().await;
    let reasons: Vec<String> = outbox.dead().await.into_iter().map(|dead| dead.reason).collect();
    assert_eq!(
        reasons,
        ["the endpoint is disabled", "answered 410: it wants nothing any more"]
    );
    outbox.change_config(&endpoint("crm", &receiver.url("/new")));
    outbox.post("crm", "a/1", "third").await;
    let got = receiver.next().await;
    assert_eq!(
        (got.path.as_str(), got.body.as_str()),
        ("/new", "third"),
        "the second was not tried"
    );
    outbox.close().await;
}

#[tokio::test]
async fn a_blocked_address_is_dead_at_once_and_the_event_says_no_more() {
    let receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[egress]\nallow = []\n{}", endpoint("crm", &receiver.url("/")));
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("crm", "a/1", "{}").await;
    let events = outbox.events(0, 1).await;
    assert_eq!(
        (events[0].event.to_string().as_str(), events[0].text("reason")),
        ("delivery.dead", Some("blocked"))
    );
    assert_eq!(outbox.dead().await.len(), 1);
    assert_eq!(receiver.most_at_once.load(Ordering::SeqCst), 0);
    outbox.close().await;
}

#[tokio::test]
async fn a_connection_that_is_cut_at_once_is_tried_again_in_the_same_attempt() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let listener = TaskTracker::new().spawn(async move {
        for turn in 0..2 {
            let (mut connection, _) = socket.accept().await.unwrap();
            let mut head = vec![0; 8192];
            let length = connection.read(&mut head).await.unwrap();
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&head[..length]).into_owned());
            if turn == 1 {
                connection
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                    .await
                    .unwrap();
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"1h\"") + &endpoint("crm", &format!("http://127.0.0.1:{port}/"))),
    );
    outbox.post("crm", "a/1", "{}").await;
    tokio::time::timeout(PATIENCE, listener)
        .await
        .expect("it comes twice")
        .unwrap();
    outbox.until_empty().await;
    let heads = heads.lock().unwrap();
    assert!(heads.iter().all(|head| head.contains("wharf-attempt: 1")), "{heads:?}");
    drop(heads);
    outbox.close().await;
}
