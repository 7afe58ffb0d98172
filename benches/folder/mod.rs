//! A host with scripts on a folder of its own, for the benches: its accounts answer at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::action::{Content, Failure, SendOrder, Sent, State, Status};
use wharf::config::{Config, Sources};
use wharf::event::{Draft, Event, Kind, Origin};
use wharf::script::{AccountState, Deps, Host, Scripts, Times};
use wharf::store::{Batch, NewEvent, Store};

/// A failed run is not tried again within a bench.
const NEVER: Duration = Duration::from_secs(3600);

pub(crate) struct Folder {
    dir: TempDir,
    store: Store,
    config: watch::Sender<Arc<Config>>,
    accounts: Arc<Accounts>,
    scripts: Option<Scripts>,
}

/// When each text was ordered.
#[derive(Default)]
struct Accounts(watch::Sender<HashMap<String, Instant>>);

impl Folder {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("scripts")).unwrap();
        let file = dir.path().join("config.toml");
        std::fs::write(&file, "[plugins.webhook]\nenabled = false\n").unwrap();
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        Self {
            store: Store::open(&dir.path().join("data"), 16 << 20).unwrap(),
            config: watch::Sender::new(Arc::new(sources.load().unwrap())),
            accounts: Arc::default(),
            scripts: None,
            dir,
        }
    }

    pub(crate) fn deps(&self) -> Deps {
        Deps {
            store: self.store.clone(),
            config: self.config.subscribe(),
            host: Arc::clone(&self.accounts) as Arc<dyn Host>,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) async fn start(&mut self) {
        let times = Times {
            retries: [NEVER; 4],
            ..Times::default()
        };
        self.scripts = Some(Scripts::open_with(self.deps(), times).await.unwrap());
    }

    pub(crate) async fn stop(mut self) {
        if let Some(scripts) = self.scripts.take() {
            scripts.close().await;
        }
        self.store.close().await.unwrap();
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.dir.path().join("scripts").join(format!("{name}.lua"));
        std::fs::write(path, text).unwrap();
    }

    pub(crate) async fn journal(&self, drafts: Vec<Draft>) -> Vec<Arc<Event>> {
        let batch = Batch {
            events: drafts.into_iter().map(NewEvent::from).collect(),
            ..Batch::default()
        };
        let committed = self.store.commit(batch).await.unwrap();
        committed.events.into_iter().map(|event| event.unwrap().1).collect()
    }

    pub(crate) async fn until_generation(&self, name: &str, generation: u64) {
        let views = || self.scripts.as_ref().unwrap().list().into_iter();
        while !views().any(|view| view.name == name && view.generation == generation) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// When the script has finished everything in the journal.
    pub(crate) async fn until_finished(&self, name: &str) {
        let head = *self.store.head().borrow();
        loop {
            let position = self.store.position(name).await.unwrap();
            if position.is_some_and(|position| position.mark >= head) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// When a text was ordered.
    pub(crate) async fn until_sent(&self, text: &str) -> Instant {
        let mut sent = self.accounts.0.subscribe();
        let found = sent.wait_for(|sent| sent.contains_key(text)).await.unwrap();
        found[text]
    }
}

impl Host for Accounts {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let now = Instant::now();
        if let Content::Text { text, .. } = order.content {
            self.0.send_modify(|sent| {
                sent.insert(text, now);
            });
        }
        let sent = Sent {
            id: order.key,
            status: Status::Sent,
        };
        async { Ok(sent) }.boxed()
    }

    fn account(&self, _: &str) -> Option<AccountState> {
        Some(AccountState {
            state: State::Ready,
            reason: None,
            since: 1,
            proof_age: Some(0),
            phone: None,
        })
    }

    fn http(
        &self,
        _: hyper::Method,
        _: wharf::http::Request,
    ) -> BoxFuture<'static, Result<wharf::http::Response, wharf::http::Error>> {
        async { Err(wharf::http::Error::Timeout) }.boxed()
    }

    fn has_endpoint(&self, _: &str) -> bool {
        true
    }
}

/// A message of now in one of many chats.
pub(crate) fn message(chat: usize, body: &str) -> Draft {
    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let chat = format!("{}@c.us", 49_151_000_000 + chat as u64);
    let data = json!({
        "id": format!("false_{chat}_X"), "chat": chat, "from": chat, "to": "1@c.us", "author": null,
        "sender": { "id": chat, "lid": null, "phone": null, "name": null }, "from_me": false, "source": null,
        "type": "chat", "body": body, "caption": null, "media": null, "quoted": null, "mentions": [],
        "timestamp": now, "ack": 1,
    });
    Draft {
        event: Kind::MESSAGE,
        account: Some("sales".parse().unwrap()),
        timestamp: now,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    }
}
