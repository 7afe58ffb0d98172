//! A page of the test's own, which is not WhatsApp Web: it says what it is asked to say and notes who comes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Html;
use axum::routing::{get, post};
use tokio::net::{TcpListener, UdpSocket};
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
                    let said = "fetch('/say', { method: 'POST', body: 'service ' + navigator.userAgent })";
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

/// A listener for TCP and UDP on one port that nobody may reach, and who has.
pub(super) struct Forbidden {
    pub(super) addr: SocketAddr,
    visitors: Arc<Mutex<Vec<SocketAddr>>>,
    own: Mutex<Vec<SocketAddr>>,
    stop: CancellationToken,
}

impl Forbidden {
    pub(super) async fn start() -> Self {
        let (listener, packets) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            // The port may be taken by a socket of the other kind.
            if let Ok(packets) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, packets);
            }
        };
        let addr = listener.local_addr().unwrap();
        let visitors = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let (come, stopped) = (visitors.clone(), stop.clone());
        TaskTracker::new().spawn(async move {
            let mut packet = [0; 16];
            loop {
                let who = tokio::select! {
                    visit = listener.accept() => visit.unwrap().1,
                    visit = packets.recv_from(&mut packet) => visit.unwrap().1,
                    () = stopped.cancelled() => return,
                };
                come.lock().unwrap().push(who);
            }
        });
        Self {
            addr,
            visitors,
            own: Mutex::default(),
            stop,
        }
    }

    /// How many have come; two visits of the test's own show first that all before them were noted, because each kind is
    /// taken in the order of arrival.
    pub(super) async fn visits(&self) -> usize {
        let connection = tokio::net::TcpStream::connect(self.addr).await.unwrap();
        let packet = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        packet.send_to(b"own", self.addr).await.unwrap();
        let mine = [connection.local_addr().unwrap(), packet.local_addr().unwrap()];
        self.own.lock().unwrap().extend(mine);
        while !mine.iter().all(|who| self.visitors.lock().unwrap().contains(who)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.visitors.lock().unwrap().len() - self.own.lock().unwrap().len()
    }
}

impl Drop for Forbidden {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
