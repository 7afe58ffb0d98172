//! A page of the test's own, which is not WhatsApp Web: it says what it is asked to say and notes who comes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Html;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The served page.
pub(super) struct Stranger {
    pub(super) addr: SocketAddr,
    seen: Arc<Seen>,
    stop: CancellationToken,
}

struct Seen {
    html: String,
    worker: String,
    /// The headers of each request.
    headers: watch::Sender<Vec<HeaderMap>>,
    /// What the page has posted.
    posts: watch::Sender<Vec<String>>,
}

impl Stranger {
    /// Serves `html` at `/`, `worker` at `/worker.js`, and a service worker that says who it is.
    pub(super) async fn start(html: &str, worker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            html: html.to_owned(),
            worker: worker.to_owned(),
            headers: watch::Sender::new(Vec::new()),
            posts: watch::Sender::new(Vec::new()),
        });
        let router = Router::new()
            .route(
                "/",
                get(async |State(seen): State<Arc<Seen>>, headers: HeaderMap| {
                    seen.headers.send_modify(|all| all.push(headers));
                    Html(seen.html.clone())
                }),
            )
            .route(
                "/worker.js",
                get(async |State(seen): State<Arc<Seen>>, headers: HeaderMap| {
                    seen.headers.send_modify(|all| all.push(headers));
                    ([("content-type", "text/javascript")], seen.worker.clone())
                }),
            )
            .route(
                "/service.js",
                get(async |State(seen): State<Arc<Seen>>, headers: HeaderMap| {
                    seen.headers.send_modify(|all| all.push(headers));
                    let said = "fetch('/say', { method: 'POST', body: 'service ' + navigator.userAgent + \
                                JSON.stringify(navigator.userAgentData) })";
                    ([("content-type", "text/javascript")], said)
                }),
            )
            .route(
                "/say",
                post(
                    async |State(seen): State<Arc<Seen>>, headers: HeaderMap, body: String| {
                        seen.headers.send_modify(|all| all.push(headers));
                        seen.posts.send_modify(|all| all.push(body));
                    },
                ),
            )
            .with_state(seen.clone());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        TaskTracker::new().spawn(async move { axum::serve(listener, router).with_graceful_shutdown(stopped).await });
        Self { addr, seen, stop }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    pub(super) fn headers(&self) -> Vec<HeaderMap> {
        self.seen.headers.borrow().clone()
    }

    /// Waits until the page has posted so often, and gives what it did.
    pub(super) async fn posts(&self, many: usize) -> Vec<String> {
        let mut posts = self.seen.posts.subscribe();
        let enough = posts.wait_for(|posts| posts.len() >= many);
        let posts = tokio::time::timeout(super::rig::PATIENCE, enough)
            .await
            .expect("the page posts in time")
            .unwrap();
        posts.clone()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A listener that nobody may reach, and how many have.
pub(super) struct Forbidden {
    pub(super) addr: SocketAddr,
    visits: Arc<AtomicUsize>,
    own: AtomicUsize,
    stop: CancellationToken,
}

impl Forbidden {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let visits = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let (counted, stopped) = (visits.clone(), stop.clone());
        TaskTracker::new().spawn(async move {
            while let Some(Ok(_)) = stopped.run_until_cancelled(listener.accept()).await {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            addr,
            visits,
            own: AtomicUsize::new(0),
            stop,
        }
    }

    /// How many have come; a visit of the test's own shows first that all before it were counted.
    pub(super) async fn visits(&self) -> usize {
        let own = tokio::net::TcpStream::connect(self.addr).await.unwrap();
        let mine = self.own.fetch_add(1, Ordering::SeqCst) + 1;
        // Accepted in the order of arrival: when the last of the test's own is counted, all before it are.
        while self.visits.load(Ordering::SeqCst) < mine {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(own);
        self.visits.load(Ordering::SeqCst) - mine
    }
}

impl Drop for Forbidden {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
