//! Endpoints that misbehave, one fault each: what the delivery makes of it, and what its log says.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wharf::store::{Attempt, Delivery};

use super::rig::{Got, Outbox, PATIENCE, Receiver, at_once, endpoint, retries};

/// A listener that does what a test says with each connection, once the request's head has come.
struct Raw {
    port: u16,
    connections: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Raw {
    async fn start(answer: impl Fn(usize, TcpStream) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, tracker) = (Arc::clone(&connections), TaskTracker::new());
        let task = TaskTracker::new().spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let nth = counted.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 8192];
                assert!(stream.read(&mut head).await.unwrap() > 0, "a request came");
                tracker.spawn(answer(nth, stream));
            }
        });
        Self {
            port,
            connections,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Posts one delivery to an endpoint with an hour between attempts, and gives it and its log after the first.
async fn first_attempt(url: &str, more: &str) -> (Delivery, Attempt) {
    let folder = tempfile::tempdir().unwrap();
    let config = retries("\"1h\"") + &endpoint("crm", url) + more;
    let outbox = Outbox::open(folder.path(), &config);
    let id = outbox.post("crm", "a/1", "{}").await;
    let waiting = outbox.tried(1).await;
    let log = outbox.store.attempts(vec![id]).await.unwrap().remove(0);
    assert_eq!(log.len(), 1);
    outbox.close().await;
    (waiting, log[0].clone())
}

fn wait_of(delivery: &Delivery) -> i64 {
    delivery.due - delivery.created_at
}

#[tokio::test]
async fn an_error_is_logged_with_the_beginning_of_its_body() {
    let answer = format!("{}tail", "x".repeat(3_000));
    let raw = Raw::start(move |_, mut stream| {
        let text = format!(
            "HTTP/1.1 500 Oops\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
            answer.len()
        );
        async move { stream.write_all(text.as_bytes()).await.unwrap() }.boxed()
    })
    .await;
    let (waiting, logged) = first_attempt(&raw.url(), "").await;
    assert!(
        (2_880_000..=4_330_000).contains(&wait_of(&waiting)),
        "an hour, more or less"
    );
    assert_eq!(logged.status, Some(500));
    assert_eq!(logged.body.as_deref(), Some("x".repeat(2_048).as_str()));
    assert!(logged.error.unwrap().starts_with("answered 500: xxx"));
    assert_eq!(raw.connections(), 1, "an answer is no reason for the fast retry");
}

#[tokio::test]
async fn a_busy_endpoint_is_left_alone_until_the_date_that_it_names() {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(600);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .unwrap();
    let raw = Raw::start(move |_, mut stream| {
        let text = format!("HTTP/1.1 503 Later\r\nretry-after: {date}\r\ncontent-length: 0\r\n\r\n");
        async move { stream.write_all(text.as_bytes()).await.unwrap() }.boxed()
    })
    .await;
    let (waiting, logged) = first_attempt(&raw.url(), "").await;
    let wait = wait_of(&waiting);
    assert!((540_000..=601_000).contains(&wait), "not its own hour but {wait} ms");
    assert_eq!((logged.status, logged.body), (Some(503), None));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_tried_again() {
    let mut target = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let to = target.url("/elsewhere");
    let raw = Raw::start(move |_, mut stream| {
        let text = format!("HTTP/1.1 301 Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
        async move { stream.write_all(text.as_bytes()).await.unwrap() }.boxed()
    })
    .await;
    let (waiting, logged) = first_attempt(&raw.url(), "").await;
    assert_eq!(
        (logged.status, waiting.last_error.as_deref()),
        (Some(301), Some("answered 301"))
    );
    assert!(target.got.try_recv().is_err(), "nothing came to where it pointed");
}

#[tokio::test]
async fn one_byte_a_second_runs_into_the_timeout() {
    let raw = Raw::start(|_, mut stream| {
        async move {
            for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        .boxed()
    })
    .await;
    let (waiting, logged) = first_attempt(&raw.url(), "timeout = \"1s\"\n").await;
    assert_eq!(waiting.last_error.as_deref(), Some("no answer in time"));
    assert_eq!(logged.status, None);
    assert_eq!(raw.connections(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_read_to_its_bound_and_counts() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let raw = Raw::start(move |_, mut stream| {
        let counted = Arc::clone(&counted);
        async move {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let chunk = format!("400\r\n{}\r\n", "y".repeat(1024));
            while stream.write_all(chunk.as_bytes()).await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
        .boxed()
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &(retries("\"1h\"") + &endpoint("crm", &raw.url())));
    outbox.post("crm", "a/1", "{}").await;
    outbox.until_empty().await;
    assert!(outbox.dead().await.is_empty());
    // What the two sockets hold is all that is sent: the connection is closed.
    crate::support::until("the connection is closed", async || {
        let before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        (sent.load(Ordering::SeqCst) == before).then_some(())
    })
    .await;
    assert!(sent.load(Ordering::SeqCst) < 64 * 1024, "it was not read for ever");
    outbox.close().await;
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_answer_is_tried_again_at_once_and_then_by_the_schedule() {
    let raw = Raw::start(|_, mut stream| {
        async move {
            let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
            stream.write_all(half).await.unwrap();
            // Dropped with unread data or not: the other side sees the answer end early.
            stream.set_zero_linger().unwrap();
        }
        .boxed()
    })
    .await;
    let (waiting, logged) = first_attempt(&raw.url(), "").await;
    let error = waiting.last_error.unwrap();
    assert!(error.starts_with("the connection was refused or cut: "), "{error}");
    assert_eq!((waiting.tries, logged.status), (1, None));
    assert_eq!(raw.connections(), 2, "once more in the same attempt");
}

#[tokio::test]
async fn a_refused_connection_is_one_attempt_and_says_so() {
    // Bound and not listening: nobody else can take the port meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (waiting, logged) = first_attempt(&format!("http://{}/", socket.local_addr().unwrap()), "").await;
    assert_eq!((waiting.tries, logged.status, logged.body), (1, None, None));
    let error = logged.error.unwrap();
    assert!(error.starts_with("the connection was refused or cut: "), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_comes_back_gets_all_in_order_and_nothing_is_dead() {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let folder = tempfile::tempdir().unwrap();
    let config =
        retries("\"20ms\", \"20ms\", \"40ms\", \"1h\"") + &endpoint("crm", &format!("http://127.0.0.1:{port}/"));
    let outbox = Outbox::open(folder.path(), &(config.clone() + "ordering = \"strict\"\n"));
    for n in 0..5 {
        outbox.post("crm", &format!("a/{}", n % 2), &n.to_string()).await;
    }
    // Both chats have failed four times and would now wait for an hour.
    crate::support::until("four failures of both chats", async || {
        let waiting = outbox.store.deliveries(10).await.unwrap();
        let tries: Vec<u32> = waiting
            .iter()
            .map(|delivery| delivery.tries)
            .filter(|tries| *tries > 0)
            .collect();
        (tries == [4, 4]).then_some(())
    })
    .await;
    let status = outbox.deliveries.status().await.unwrap();
    assert_eq!(status.attempts["no_answer"], 8);
    let mut receiver = Receiver::start_at(port, |_: &Got| at_once(StatusCode::OK)).await;
    outbox.clock.set_ahead(3 * 3_600_000);
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(receiver.next().await.body);
    }
    let of_chat = |chat: &str| {
        let bodies = seen
            .iter()
            .filter(move |body| (body.parse::<u32>().unwrap() % 2).to_string() == chat);
        bodies.cloned().collect::<Vec<String>>()
    };
    assert_eq!(
        (of_chat("0"), of_chat("1")),
        (vec!["0".into(), "2".into(), "4".into()], vec!["1".into(), "3".into()])
    );
    outbox.until_empty().await;
    assert!(outbox.dead().await.is_empty());
    tokio::time::timeout(PATIENCE, outbox.close()).await.unwrap();
}
