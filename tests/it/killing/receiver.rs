//! The endpoints of a host that is killed: they keep every request, in the order in which they came, and refuse a few.
//!
//! In: requests. Out: what came. Must not forget a request whose answer nobody heard.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use serde_json::Value;

use super::page::Page;
use super::{Place, Trap};

/// One first try in so many is answered with 500.
const REFUSED: u64 = 50;
/// When nothing new comes for so long, nothing more will: longer than the second wait of the schedule.
const STILL: Duration = Duration::from_secs(60);

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) path: String,
    /// `webhook-id`
    pub(super) id: String,
    /// `wharf-attempt`
    pub(super) attempt: u64,
    /// `wharf-sequence`
    pub(super) sequence: u64,
    pub(super) body: Vec<u8>,
    pub(super) event: String,
    pub(super) chat: String,
    pub(super) text: String,
    /// Answered 200.
    pub(super) taken: bool,
}

#[derive(Clone)]
pub(super) struct Receiver {
    kept: Arc<Mutex<Vec<Received>>>,
    trap: Trap,
    page: Page,
}

impl Receiver {
    pub(super) async fn start(trap: Trap, page: Page) -> (Self, SocketAddr) {
        let receiver = Self {
            kept: Arc::default(),
            trap,
            page,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(keep).with_state(receiver.clone());
        #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, address)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().clone()
    }

    /// Until each endpoint has taken so many different events.
    pub(super) async fn until_all_have_arrived(&self, paths: &[&str], count: usize) {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let taken: Vec<usize> = paths.iter().map(|path| self.taken(path)).collect();
            if taken.iter().all(|taken| *taken >= count) {
                return;
            }
            let now = taken.iter().sum();
            if now > before {
                (before, since) = (now, Instant::now());
            }
            assert!(
                since.elapsed() < STILL,
                "{taken:?} of {count} have come, and nothing more"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn taken(&self, path: &str) -> usize {
        let kept = self.kept.lock().unwrap();
        let taken = kept.iter().filter(|one| one.taken && one.path == path);
        taken.map(|one| one.event.as_str()).collect::<HashSet<_>>().len()
    }
}

async fn keep(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let json: Value = serde_json::from_slice(&body).unwrap();
    let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (attempt, sequence) = (
        header("wharf-attempt").parse().unwrap(),
        header("wharf-sequence").parse().unwrap(),
    );
    let taken = attempt > 1 || sequence % REFUSED != 0;
    let killed = receiver.trap.come(Place::Requested);
    receiver.kept.lock().unwrap().push(Received {
        path: uri.path().to_owned(),
        id: header("webhook-id"),
        attempt,
        sequence,
        body: body.to_vec(),
        event: text(&json["id"]),
        chat: text(&json["data"]["chat"]),
        text: text(&json["data"]["body"]),
        taken: taken && !killed,
    });
    if !taken {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
    tokio::spawn(async move {
        // The answer goes first.
        tokio::time::sleep(Duration::from_millis(1)).await;
        if receiver.trap.come(Place::Answered) {
            receiver.page.tell_answered();
        }
    });
    StatusCode::OK
}
