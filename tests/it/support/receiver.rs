//! An endpoint that keeps what is delivered to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) json: Value,
}

#[derive(Clone, Default)]
pub(crate) struct Receiver {
    kept: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Listens on a free port; ends with the test's runtime.
    pub(crate) async fn start() -> (Self, SocketAddr) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(keep).with_state(receiver.clone());
        #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move { axum::serve(listener, app).await });
        (receiver, address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.lock().unwrap().clone()
    }
}

/// Its answer is the same to everybody: deliveries do not read it, a script may.
async fn keep(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Json<Value> {
    let json = serde_json::from_slice(&body).unwrap_or_default();
    receiver.kept.lock().unwrap().push(Received {
        path: uri.path().to_owned(),
        headers,
        body: body.to_vec(),
        json,
    });
    Json(json!({ "answer": "from outside" }))
}
