//! What an attempt carries, and what comes of its answer.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use tokio_util::task::TaskTracker;

use super::rig::{Got, Outbox, PATIENCE, Receiver, SECRET, at_once, endpoint, retries};

#[tokio::test]
async fn a_delivery_is_signed_so_that_the_standards_own_library_accepts_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "{}secret = \"{SECRET}\"\nheaders = {{ authorization = \"Bearer crm\" }}\n",
        endpoint("crm", &receiver.url("/hook"))
    );
    let outbox = Outbox::open(folder.path(), &config);
    let id = outbox.post("crm", "a/1", r#"{"text":"Grüße"}"#).await;
    let got = receiver.next().await;
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(got.body.as_bytes(), &got.headers).unwrap();
    assert!(library.verify(b"{}", &got.headers).is_err());
    assert_eq!((got.path.as_str(), got.body.as_str()), ("/hook", r#"{"text":"Grüße"}"#));
    assert_eq!(got.header("webhook-id"), id);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("user-agent"), concat!("wharf/", env!("CARGO_PKG_VERSION")));
    assert_eq!((got.header("wharf-attempt"), got.header("wharf-sequence")), ("1", "1"));
    assert_eq!(got.header("authorization"), "Bearer crm");
    outbox.until_empty().await;
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_without_a_secret_gets_no_signature() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::NO_CONTENT)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/")));
    outbox.post("crm", "a/1", "{}").await;
    let got = receiver.next().await;
    assert!(got.headers.get("webhook-signature").is_none());
    assert!(!got.header("webhook-id").is_empty());
    outbox.close().await;
}

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
    let heads = heads.lock().unwrap().clone();
    assert!(heads.iter().all(|head| head.contains("wharf-attempt: 1")), "{heads:?}");
    outbox.close().await;
}

#[tokio::test]
async fn a_receiver_that_is_busy_is_left_alone_as_long_as_it_asks() {
    let mut receiver = Receiver::start_asking(Some("300"), |_| at_once(StatusCode::TOO_MANY_REQUESTS)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"10ms\"") + &endpoint("crm", &receiver.url("/"))),
    );
    outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    let waiting = outbox.tried(1).await;
    assert_eq!(waiting.last_error.as_deref(), Some("answered 429"));
    let wait = waiting.due - waiting.created_at;
    assert!((300_000..360_000).contains(&wait), "not its own 10 ms but {wait} ms");
    outbox.close().await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_in_time_is_given_a_minute() {
    let receiver = Receiver::start(|_| (StatusCode::OK, Duration::from_secs(3600))).await;
    let folder = tempfile::tempdir().unwrap();
    let crm = format!("{}timeout = \"1s\"\n", endpoint("crm", &receiver.url("/")));
    let outbox = Outbox::open(folder.path(), &(retries("\"10ms\"") + &crm));
    outbox.post("crm", "a/1", "{}").await;
    let waiting = outbox.tried(1).await;
    assert_eq!(waiting.last_error.as_deref(), Some("no answer in time"));
    assert!(waiting.due - waiting.created_at >= 60_000);
    outbox.close().await;
}
