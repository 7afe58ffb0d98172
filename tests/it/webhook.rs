//! Deliveries of the outbox: a real store, a real listener, the verification of the standard's own library.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::{Config, Secret, Sources};
use wharf::event::{Draft, Event, Kind, Origin};
use wharf::http::Client;
use wharf::store::{AccountRecord, Batch, DeadLetter, Desired, NewEvent, Post, Store, Webhook};
use wharf::webhook;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the receiver got it.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A listener on port 0 whose answers come from a closure.
struct Receiver {
    port: u16,
    got: mpsc::Receiver<Got>,
    most_at_once: Arc<AtomicUsize>,
    end: CancellationToken,
}

type Answer = (StatusCode, Duration);

impl Receiver {
    async fn start(answer: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let (sender, got) = mpsc::channel(1_000);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let most_at_once = Arc::clone(&most);
        let handler = move |uri: axum::http::Uri, headers: HeaderMap, body: Bytes| {
            let (sender, now, most, answer) = (sender.clone(), Arc::clone(&now), Arc::clone(&most), answer.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let body = String::from_utf8(body.to_vec()).unwrap();
                let got = Got {
                    path: uri.path().to_owned(),
                    headers,
                    body,
                };
                let (status, pause) = answer(&got);
                tokio::time::sleep(pause).await;
                now.fetch_sub(1, Ordering::SeqCst);
                sender.send(got).await.unwrap();
                status
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let end = CancellationToken::new();
        let (stopped, router) = (end.clone(), axum::Router::new().fallback(handler));
        TaskTracker::new().spawn(async move {
            stopped
                .run_until_cancelled(axum::serve(listener, router).into_future())
                .await
        });
        Self {
            port,
            got,
            most_at_once,
            end,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn next(&mut self) -> Got {
        tokio::time::timeout(PATIENCE, self.got.recv())
            .await
            .expect("a request arrives")
            .unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

fn at_once(status: StatusCode) -> Answer {
    (status, Duration::ZERO)
}

/// A store with the room at work on it.
struct Outbox {
    store: Store,
    config: watch::Sender<Arc<Config>>,
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Outbox {
    fn open(folder: &Path, config: &str) -> Self {
        let store = Store::open(&folder.join("store"), 1 << 20).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = watch::Sender::new(Arc::new(read(config)));
        let client = Client::new(&config.borrow().egress).unwrap();
        let deps = webhook::Deps {
            store: store.clone(),
            config: config.subscribe(),
            client,
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        webhook::run(deps);
        Self {
            store,
            config,
            tracker,
            stop,
        }
    }

    fn change_config(&self, text: &str) {
        self.config.send_replace(Arc::new(read(text)));
    }

    async fn post(&self, endpoint: &str, chat: &str, body: &str) -> String {
        self.post_about(endpoint, chat, body, None).await
    }

    async fn post_about(&self, endpoint: &str, chat: &str, body: &str, event_id: Option<String>) -> String {
        let post = Post {
            endpoint: endpoint.to_owned(),
            chat_key: chat.to_owned(),
            body: body.as_bytes().to_vec(),
            script: Some("test".to_owned()),
            event_id,
        };
        let committed = self
            .store
            .commit(Batch {
                posts: vec![post],
                ..Batch::default()
            })
            .await
            .unwrap();
        committed.deliveries.into_iter().next().unwrap()
    }

    /// The events from `from` on, once there are `count` of them.
    async fn events(&self, from: u64, count: u64) -> Vec<Arc<Event>> {
        let mut head = self.store.head();
        let waiting = head.wait_for(|head| *head >= from + count);
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("the events are journaled")
            .unwrap();
        self.store
            .events(from, 100)
            .await
            .unwrap()
            .into_iter()
            .map(|(_, event)| event)
            .collect()
    }

    async fn dead(&self) -> Vec<DeadLetter> {
        self.store.dead_letters(100).await.unwrap()
    }

    async fn until_empty(&self) {
        let empty = async {
            while !self.store.deliveries(10).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, empty).await.expect("the outbox empties");
    }

    async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.store.close().await.unwrap();
    }
}

fn read(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    }
    .load()
    .unwrap()
}

fn endpoint(name: &str, url: &str) -> String {
    format!("[endpoint.{name}]\nurl = \"{url}\"\n")
}

fn retries(waits: &str) -> String {
    format!("[webhooks]\nretries = [{waits}]\n")
}

#[tokio::test]
async fn a_delivery_is_signed_so_that_the_standards_own_library_accepts_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "{}secret = \"{SECRET}\"\nheaders = {{ authorization = \"Bearer crm\", webhook-id = \"forged\" }}\n",
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
async fn a_delivery_for_an_endpoint_that_is_not_there_waits_for_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("other", &receiver.url("/other")));
    let id = outbox.post("crm", "a/1", "early").await;
    outbox.post("other", "a/1", "not held up").await;
    assert_eq!(receiver.next().await.body, "not held up");
    let waiting = outbox.store.deliveries(10).await.unwrap();
    assert!(
        waiting.iter().any(|delivery| delivery.id == id && delivery.tries == 0),
        "it has not used up a try"
    );
    outbox.change_config(&endpoint("crm", &receiver.url("/crm")));
    assert_eq!(receiver.next().await.body, "early");
    outbox.close().await;
}

#[tokio::test]
async fn an_accounts_own_webhook_is_that_of_its_table_else_of_its_record() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), "");
    let id: wharf::event::AccountId = "sales".parse().unwrap();
    let record = AccountRecord {
        id: id.clone(),
        name: None,
        folder: "01JZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(),
        created_at: 0,
        linked_at: None,
        phone: None,
        desired: Desired::Stopped,
        webhook: Some(Webhook {
            url: receiver.url("/record"),
            secret: Secret::new(SECRET.to_owned()),
        }),
    };
    outbox
        .store
        .commit(Batch {
            accounts: vec![(id, Some(record))],
            ..Batch::default()
        })
        .await
        .unwrap();
    outbox.post("account:sales", "sales/1", "{}").await;
    let got = receiver.next().await;
    assert_eq!(got.path, "/record");
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(got.body.as_bytes(), &got.headers)
        .unwrap();
    outbox.change_config(&format!(
        "[account.sales]\nwebhook_url = \"{}\"\n",
        receiver.url("/table")
    ));
    outbox.post("account:sales", "sales/1", "{}").await;
    assert_eq!(receiver.next().await.path, "/table");
    outbox.close().await;
}

fn host_event(name: &str, endpoint: &str) -> NewEvent {
    let data = serde_json::Map::from_iter([("endpoint".to_owned(), endpoint.into())]);
    NewEvent::from(Draft {
        event: Kind::parse(name).unwrap(),
        account: None,
        timestamp: 0,
        origin: Origin::Live,
        data,
    })
}

#[tokio::test]
async fn what_concerns_an_endpoint_is_not_delivered_to_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = endpoint("crm", &receiver.url("/crm")) + &endpoint("ops", &receiver.url("/ops"));
    let outbox = Outbox::open(folder.path(), &config);
    let batch = Batch {
        events: vec![host_event("delivery.dead", "crm")],
        ..Batch::default()
    };
    let about = outbox.store.commit(batch).await.unwrap().events[0]
        .as_ref()
        .unwrap()
        .1
        .id
        .clone();
    outbox.post_about("crm", "a/1", "to itself", Some(about.clone())).await;
    outbox.post_about("ops", "a/1", "to another", Some(about)).await;
    outbox.until_empty().await;
    assert_eq!(receiver.next().await.body, "to another");
    assert!(receiver.got.try_recv().is_err());
    assert!(outbox.dead().await.is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn two_dead_endpoints_that_are_told_of_each_other_do_not_make_events_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[egress]\nallow = []\n".to_owned()
        + &endpoint("one", "http://127.0.0.1:9/")
        + &endpoint("two", "http://127.0.0.1:9/");
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("one", "a/1", "{}").await;
    let first = outbox.events(0, 1).await;
    outbox.post_about("two", "a/1", "{}", Some(first[0].id.clone())).await;
    outbox.until_empty().await;
    assert_eq!(outbox.dead().await.len(), 2);
    assert_eq!(*outbox.store.head().borrow(), 1, "the second death made no event");
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
