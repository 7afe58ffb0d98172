//! A simulator of the test's own, and a client for its control API over real HTTP.
//!
//! In: what a person would do with a phone. Out: what the phone shows. Must not look inside the simulator.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wharf::simulator::{Options, Running, serve};

use super::until;

/// A simulator on a port of its own; it ends when this is dropped.
pub(crate) struct Simulator {
    addr: SocketAddr,
    client: Client<HttpConnector, Body>,
    running: Running,
    stop: CancellationToken,
}

/// A message, as a phone shows it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct PhoneMessage {
    pub(crate) id: String,
    pub(crate) chat: String,
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) author: Option<String>,
    pub(crate) from_me: bool,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) timestamp: i64,
    pub(crate) ack: i64,
    pub(crate) quoted: Option<Value>,
    pub(crate) mentions: Vec<String>,
    pub(crate) media: Option<Value>,
    pub(crate) reactions: Value,
    pub(crate) edited: bool,
}

impl Simulator {
    /// Codes that last a minute: longer than any step of a test.
    pub(crate) async fn start() -> Self {
        Self::with_codes_of(Duration::from_secs(60)).await
    }

    /// Codes that last as long as given.
    pub(crate) async fn with_codes_of(qr_ttl: Duration) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let stop = CancellationToken::new();
        let options = Options {
            qr_ttl,
            ..Options::new(listen)
        };
        let running = serve(options, stop.clone()).await.expect("the simulator starts");
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            addr: running.addr,
            client,
            running,
            stop,
        }
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The WhatsApp Web page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Ends it and waits for its end.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        let closed = tokio::time::timeout(Duration::from_secs(20), self.running.closed()).await;
        closed.expect("the simulator ends when it is told to");
    }

    /// A request as it is, with headers and body; answers status, headers and text.
    pub(crate) async fn raw(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (StatusCode, hyper::HeaderMap, String) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let request = self.client.request(request.body(body).unwrap());
        let response = tokio::time::timeout(Duration::from_secs(20), request).await;
        let response = response
            .expect("the simulator answers in time")
            .expect("the simulator answers");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(Body::new(body), 64 << 20).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// A request to the control API; answers its status and JSON.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let (status, _, text) = self.raw(method, &format!("/control{path}"), &[], body).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, body.clone()).await;
        assert!(status.is_success(), "{path} {body:?}: {status} {answer}");
        answer
    }

    /// Puts a phone into the world.
    pub(crate) async fn add_phone(&self, number: &str, name: &str) {
        self.must(Method::POST, "/phones", Some(json!({"number": number, "name": name})))
            .await;
    }

    /// Gives a phone its network or takes it.
    pub(crate) async fn set_online(&self, number: &str, online: bool) {
        self.must(
            Method::PATCH,
            &format!("/phones/{number}"),
            Some(json!({"online": online})),
        )
        .await;
    }

    /// Scans the text of a code; answers the new device's id.
    pub(crate) async fn scan(&self, number: &str, qr: &str) -> String {
        let answer = self
            .must(Method::POST, &format!("/phones/{number}/scan"), Some(json!({"qr": qr})))
            .await;
        answer["device"].as_str().unwrap().to_owned()
    }

    /// Writes a text on a phone.
    pub(crate) async fn write(&self, number: &str, to: &str, text: &str) -> PhoneMessage {
        self.write_with(number, json!({"to": to, "text": text})).await
    }

    /// The same with all that the control API takes: `quote`, `timestamp`, `id`, `mentions`.
    pub(crate) async fn write_with(&self, number: &str, message: Value) -> PhoneMessage {
        let answer = self
            .must(Method::POST, &format!("/phones/{number}/messages"), Some(message))
            .await;
        serde_json::from_value(answer).unwrap()
    }

    /// What a phone shows, oldest first.
    pub(crate) async fn messages(&self, number: &str) -> Vec<PhoneMessage> {
        let answer = self
            .must(Method::GET, &format!("/phones/{number}/messages"), None)
            .await;
        serde_json::from_value(answer).unwrap()
    }

    /// Waits until a phone shows a message of which `wanted` is true, and answers it.
    pub(crate) async fn message(&self, number: &str, wanted: impl Fn(&PhoneMessage) -> bool) -> PhoneMessage {
        until(&format!("a message on the phone {number}"), async || {
            self.messages(number).await.into_iter().find(|message| wanted(message))
        })
        .await
    }

    /// Looks at a chat on a phone.
    pub(crate) async fn read(&self, number: &str, chat: &str) {
        self.must(
            Method::POST,
            &format!("/phones/{number}/read"),
            Some(json!({"chat": chat})),
        )
        .await;
    }

    /// Removes all linked devices of a phone, on the phone.
    pub(crate) async fn unlink(&self, number: &str) {
        self.must(Method::DELETE, &format!("/phones/{number}/devices"), None)
            .await;
    }

    /// Makes a group; answers its id.
    pub(crate) async fn add_group(&self, name: &str, members: &[&str]) -> String {
        let answer = self
            .must(Method::POST, "/groups", Some(json!({"name": name, "members": members})))
            .await;
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Sets what goes wrong; `{}` clears.
    pub(crate) async fn faults(&self, faults: Value) {
        self.must(Method::POST, "/faults", Some(faults)).await;
    }

    /// Everything.
    pub(crate) async fn state(&self) -> Value {
        self.must(Method::GET, "/state", None).await
    }

    /// A phone with its devices and chats.
    pub(crate) async fn phone(&self, number: &str) -> Value {
        self.must(Method::GET, &format!("/phones/{number}"), None).await
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
