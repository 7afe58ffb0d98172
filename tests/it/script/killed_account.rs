//! An account for hosts that are killed, and the places at which their threads stand still.
//!
//! It keeps to *A send*: the intent, then the order, then the answer, each on the disk before the next. What arrives at the
//! other end is a line in a file, which outlives the process; the document of the page does not.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use wharf::action::{Content, Failure, SendOrder, Sent, State, Status};
use wharf::event::{Draft, Kind, Origin};
use wharf::script::{AccountState, Host};
use wharf::store::{Batch, Intent, NewEvent, Store};

use super::bench::now;

/// Where the process is to be killed.
pub(super) struct Places {
    line: String,
    armed: AtomicBool,
    /// Whether the run's own commit has begun: only then its rows are meant.
    in_commit: AtomicBool,
}

impl Places {
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self {
            line: String::new(),
            armed: AtomicBool::new(false),
            in_commit: AtomicBool::new(false),
        })
    }

    /// A place in the log or in the account, of everything in this process.
    pub(super) fn at(line: &str) -> Arc<Self> {
        let places = Arc::new(Self {
            line: line.to_owned(),
            ..Arc::into_inner(Self::none()).unwrap()
        });
        let layer = Listener(Arc::clone(&places));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
        places
    }

    /// From now on.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Stands still if this is the place.
    fn come(&self, line: &str) {
        if !self.armed.load(Ordering::SeqCst) {
            return;
        }
        if line == "run in commit" {
            self.in_commit.store(true, Ordering::SeqCst);
        }
        let early = line.starts_with("rows ") && !self.in_commit.load(Ordering::SeqCst);
        if line == self.line && !early {
            println!("{line}: stands");
            loop {
                std::thread::park();
            }
        }
    }
}

struct Listener(Arc<Places>);

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        self.0.come(&said.0);
    }
}

struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// What arrived at the other end.
pub(super) struct Lines;

impl Lines {
    fn path(dir: &Path) -> PathBuf {
        dir.join("sent")
    }

    pub(super) fn sent(dir: &Path) -> Vec<String> {
        let sent = std::fs::read_to_string(Self::path(dir)).unwrap_or_default();
        sent.lines().map(str::to_owned).collect()
    }
}

pub(super) struct Account {
    store: Store,
    dir: PathBuf,
    places: Arc<Places>,
}

impl Account {
    pub(super) fn new(store: &Store, dir: &Path, places: &Arc<Places>) -> Self {
        Self {
            store: store.clone(),
            dir: dir.to_owned(),
            places: Arc::clone(places),
        }
    }
}

impl Host for Account {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        let Content::Text { text, .. } = order.content.clone() else {
            panic!("{:?}", order.content)
        };
        let (store, dir, places) = (self.store.clone(), self.dir.clone(), Arc::clone(&self.places));
        async move {
            if let Some(intent) = store.intent(&order.key).await.unwrap() {
                if let Some(answer) = intent.answer {
                    return Ok(answer);
                }
                // Its document is gone. WhatsApp Web has kept every second message, and shows it.
                let kept = text.ends_with(['0', '2', '4', '6', '8']) && Lines::sent(&dir).contains(&text);
                let status = if kept { Status::Sent } else { Status::Unknown };
                return Ok(answer(&store, intent, status).await);
            }
            places.come("no intent");
            let intent = Intent {
                key: order.key.clone(),
                account: order.account,
                chat: Some(order.to.clone()),
                message_id: Some(format!("m {text}")),
                page_id: Some("page".into()),
                to: order.to,
                content: order.content,
                source: order.source,
                made_at: now(),
                answer: None,
                keep_until: None,
            };
            let batch = Batch {
                intents: vec![(order.key, Some(intent.clone()))],
                ..Batch::default()
            };
            store.commit(batch).await.unwrap();
            places.come("intent kept");
            let mut sent = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(Lines::path(&dir))
                .unwrap();
            sent.write_all(format!("{text}\n").as_bytes()).unwrap();
            places.come("ordered");
            Ok(answer(&store, intent, Status::Sent).await)
        }
        .boxed()
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        (id == "sales").then_some(AccountState {
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

    fn has_endpoint(&self, name: &str) -> bool {
        name == "crm"
    }
}

/// Keeps an answer; `unknown` is reported in the same commit.
async fn answer(store: &Store, mut intent: Intent, status: Status) -> Sent {
    let answer = Sent {
        id: intent.message_id.clone().unwrap(),
        status,
    };
    intent.answer = Some(answer.clone());
    let event = intent.key.split('/').nth(1).unwrap();
    let data = json!({ "id": intent.message_id, "chat": intent.chat, "script": "bot", "event": event });
    let report = Draft {
        event: Kind::parse("action.unknown").unwrap(),
        account: Some(intent.account.clone()),
        timestamp: now(),
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    };
    let batch = Batch {
        events: (status == Status::Unknown)
            .then(|| NewEvent::from(report))
            .into_iter()
            .collect(),
        intents: vec![(intent.key.clone(), Some(intent))],
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
    answer
}
