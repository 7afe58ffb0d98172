//! The admin with everything that it stands on, but for browsers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::header::HeaderMap;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::action::{Failure, SendOrder, Sent};
use wharf::admin::{self, control, keys};
use wharf::config::resolved::Egress;
use wharf::config::{Config, Sources};
use wharf::http::{Client, Request};
use wharf::script::{self, AccountState, Scripts};
use wharf::session::{self, Sessions};
use wharf::store::backup::Backups;
use wharf::store::{self, Store};
use wharf::webhook;

pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A host without browsers: its accounts end up `failed`, which is all that the admin needs of them here.
pub(super) struct Host {
    pub(super) addr: SocketAddr,
    pub(super) store: Store,
    pub(super) sessions: Sessions,
    pub(super) scripts: Scripts,
    pub(super) config: watch::Sender<Arc<Config>>,
    pub(super) client: Client,
    pub(super) key: String,
    pub(super) tracker: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) folder: TempDir,
}

pub(super) struct ScriptHost(Sessions);

impl script::Host for ScriptHost {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let sessions = self.0.clone();
        async move { sessions.send(order).await }.boxed()
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        let view = self.0.get(&id.parse().ok()?)?;
        Some(AccountState {
            state: view.state,
            reason: view.reason,
            since: view.since,
            proof_age: view.proof_age_ms,
            phone: view.phone,
        })
    }

    fn http(
        &self,
        _: hyper::Method,
        _: wharf::http::Request,
    ) -> BoxFuture<'static, Result<wharf::http::Response, wharf::http::Error>> {
        Box::pin(async { Err(wharf::http::Error::Timeout) })
    }

    fn has_endpoint(&self, _: &str) -> bool {
        false
    }
}

pub(super) fn read(folder: &Path, more: &str) -> Config {
    let file = folder.join("config.toml");
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js");
    let text = format!(
        "[data]\ndir = \"data\"\n[whatsapp]\nlibrary = {library:?}\n[browser]\nexecutable = \"/nowhere/chromium\"\nsandbox = false\n[plugins.webhook]\nenabled = false\n{more}"
    );
    std::fs::write(&file, text).unwrap();
    Sources {
        file: Some(file),
        ..Sources::default()
    }
    .load()
    .unwrap()
}

/// An answer, read whole.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(super) fn code(&self) -> String {
        self.json()["error_code"].as_str().unwrap_or_default().to_owned()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Host {
    pub(super) async fn start() -> Self {
        Self::start_with("[admin]\nlisten = \"127.0.0.1:0\"\n").await
    }

    pub(super) async fn start_with(more: &str) -> Self {
        Self::start_on(more, &store::Options::default()).await
    }

    /// With a store that is opened so.
    pub(super) async fn start_on(more: &str, options: &store::Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("scripts")).unwrap();
        let config = watch::Sender::new(Arc::new(read(folder.path(), more)));
        let data_dir = config.borrow().data.dir.clone();
        std::fs::create_dir(&data_dir).unwrap();
        let store = Store::open_with(&data_dir.join("store"), options).unwrap();
        let doors = admin::open(&config.borrow().clone()).await.unwrap();
        let addr = doors.addr().unwrap();
        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        let sessions = Sessions::open(session::Deps {
            store: store.clone(),
            config: config.subscribe(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        })
        .await
        .unwrap();
        let scripts = Scripts::open(script::Deps {
            store: store.clone(),
            config: config.subscribe(),
            host: Arc::new(ScriptHost(sessions.clone())),
            tracker: tracker.clone(),
            stop: stop.clone(),
        })
        .await
        .unwrap();
        let client = Client::new(&Egress {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
        })
        .unwrap();
        let deliveries = webhook::run(webhook::Deps {
            store: store.clone(),
            config: config.subscribe(),
            client: client.clone(),
            clock: webhook::Clock::default(),
            tracker: tracker.clone(),
            stop: stop.clone(),
        });
        let backups = Backups::start(&store, config.subscribe(), &tracker, stop.clone());
        let deps = admin::Deps {
            backups,
            sessions: sessions.clone(),
            scripts: scripts.clone(),
            deliveries,
            store: store.clone(),
            config: config.subscribe(),
            stop: stop.clone(),
            tracker: tracker.clone(),
            data_dir,
        };
        admin::serve(deps, doors);
        let key = keys::make(&store, None, vec!["admin".to_owned()]).await.unwrap();
        Self {
            addr,
            store,
            sessions,
            scripts,
            config,
            client,
            key,
            tracker,
            stop,
            folder,
        }
    }

    pub(super) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request = Request {
            url: format!("http://{}{path}", self.addr),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned().into(),
            timeout: PATIENCE,
            response_limit: 4 << 20,
        };
        let answer = self.client.send(method.parse().unwrap(), request).await.unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Answer {
            status: answer.status,
            headers: answer.headers,
            text,
        }
    }

    /// Asks with a key.
    pub(super) async fn with(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {key}");
        self.ask(
            method,
            path,
            &[("authorization", &bearer)],
            &body.map_or(String::new(), |body| body.to_string()),
        )
        .await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.with(&self.key, "GET", path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Answer {
        self.with(&self.key, "POST", path, Some(body)).await
    }

    pub(super) async fn key_for(&self, scopes: &[&str]) -> String {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        keys::make(&self.store, None, scopes).await.unwrap()
    }

    pub(super) async fn control(&self) -> control::Client {
        control::Client::connect(&self.socket())
            .await
            .expect("the control socket answers")
    }

    pub(super) fn socket(&self) -> std::path::PathBuf {
        self.config.borrow().data.dir.join(admin::SOCKET)
    }

    /// Waits for an account's state.
    pub(super) async fn until(&self, id: &str, state: &str) -> Value {
        let reached = async {
            loop {
                let view = self.get(&format!("/api/accounts/{id}")).await.json();
                if view["state"] == state {
                    return view;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the state is reached")
    }

    pub(super) fn change_config(&self, more: &str) {
        self.config.send_replace(Arc::new(read(self.folder.path(), more)));
    }

    pub(super) async fn close(self) {
        self.scripts.close().await;
        self.stop.cancel();
        self.sessions.close().await;
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait())
            .await
            .expect("everything ends");
        self.store.close().await.unwrap();
    }
}
