//! A store with the room at work on it, and a receiver that answers as a test says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::{Config, Sources};
use wharf::event::Event;
use wharf::http::Client;
use wharf::store::{Batch, DeadLetter, Delivery, Post, Store};
use wharf::webhook::{self, Clock, Deliveries};

pub(super) const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A request as the receiver got it.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A listener on port 0 whose answers come from a closure.
pub(super) struct Receiver {
    pub(super) port: u16,
    pub(super) got: mpsc::Receiver<Got>,
    pub(super) most_at_once: Arc<AtomicUsize>,
    pub(super) end: CancellationToken,
}

pub(super) type Answer = (StatusCode, Duration);

impl Receiver {
    pub(super) async fn start(answer: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static) -> Self {
        Self::start_asking(None, answer).await
    }

    /// The same with `Retry-After` in each answer.
    pub(super) async fn start_asking(
        retry_after: Option<&'static str>,
        answer: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        Self::listen(0, retry_after, answer).await
    }

    /// The same at a port that was free a moment ago.
    pub(super) async fn start_at(port: u16, answer: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static) -> Self {
        Self::listen(port, None, answer).await
    }

    async fn listen(
        port: u16,
        retry_after: Option<&'static str>,
        answer: impl Fn(&Got) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
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
                let asked = retry_after.map(|seconds| (axum::http::header::RETRY_AFTER, seconds.parse().unwrap()));
                (status, HeaderMap::from_iter(asked))
            }
        };
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
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

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) async fn next(&mut self) -> Got {
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

pub(super) fn at_once(status: StatusCode) -> Answer {
    (status, Duration::ZERO)
}

/// A store with the room at work on it.
pub(super) struct Outbox {
    pub(super) store: Store,
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) deliveries: Deliveries,
    pub(super) clock: Clock,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
}

impl Outbox {
    pub(super) fn open(folder: &Path, config: &str) -> Self {
        let store = Store::open(&folder.join("store"), 1 << 20).unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let config = watch::Sender::new(Arc::new(read(config)));
        let client = Client::new(&config.borrow().egress).unwrap();
        let clock = Clock::default();
        let deps = webhook::Deps {
            store: store.clone(),
            config: config.subscribe(),
            client,
            clock: clock.clone(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        Self {
            store,
            config,
            deliveries: webhook::run(deps),
            clock,
            tracker,
            stop,
        }
    }

    pub(super) fn change_config(&self, text: &str) {
        self.config.send_replace(Arc::new(read(text)));
    }

    pub(super) async fn post(&self, endpoint: &str, chat: &str, body: &str) -> String {
        self.post_about(endpoint, chat, body, None).await
    }

    pub(super) async fn post_about(&self, endpoint: &str, chat: &str, body: &str, event_id: Option<String>) -> String {
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
    pub(super) async fn events(&self, from: u64, count: u64) -> Vec<Arc<Event>> {
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

    /// The one that waits, once it was tried so often.
    pub(super) async fn tried(&self, tries: u32) -> Delivery {
        crate::support::until("the failed attempt", async || {
            let waiting = self.store.deliveries(10).await.unwrap();
            waiting.into_iter().find(|delivery| delivery.tries == tries)
        })
        .await
    }

    pub(super) async fn dead(&self) -> Vec<DeadLetter> {
        self.store.dead_letters(100).await.unwrap()
    }

    pub(super) async fn until_empty(&self) {
        let empty = async {
            while !self.store.deliveries(10).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, empty).await.expect("the outbox empties");
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.store.close().await.unwrap();
    }
}

pub(super) fn read(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    }
    .load()
    .unwrap()
}

pub(super) fn endpoint(name: &str, url: &str) -> String {
    format!("[endpoint.{name}]\nurl = \"{url}\"\n")
}

pub(super) fn retries(waits: &str) -> String {
    format!("[webhooks]\nretries = [{waits}]\n")
}
