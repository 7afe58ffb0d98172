//! A page without a browser, for tests of what needs exact moments: crashes between two steps, pages that are lost.
//!
//! It keeps to what `page::Tab` promises: a table of begun ids per document, WhatsApp Web's own store that outlives the document,
//! a ring that keeps events until they are acknowledged. The store of the tests is the real one.

mod tab;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Deps, Sessions, Tempo};
use crate::action::{Content, SendOrder};
use crate::config::{Config, Sources};
use crate::event::{AccountId, Event, Message, Sender, Source};
use crate::store::Store;

pub(super) use world::{Fate, Shared};

/// The built-in configuration with a data folder, and without pacing.
pub(super) fn config(data: &Path) -> Config {
    let mut config = Sources {
        data: Some(data.to_owned()),
        ..Sources::default()
    }
    .load()
    .unwrap();
    config.pacing.enabled = false;
    config
}

/// A host with a real store and a page of the fake world; its runtime dies with it, as a process does.
pub(super) struct Host {
    runtime: Option<tokio::runtime::Runtime>,
    pub(super) sessions: Sessions,
    pub(super) store: Store,
    pub(super) config: watch::Sender<Arc<Config>>,
}

impl Host {
    pub(super) fn start(data: &Path, world: &Shared) -> Host {
        Self::start_with(data, world, |_| {})
    }

    pub(super) fn start_with(data: &Path, world: &Shared, change: impl FnOnce(&mut Config)) -> Host {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut config = config(data);
        change(&mut config);
        let config = watch::Sender::new(Arc::new(config));
        let tempo = Tempo {
            proof_every: Duration::from_millis(20),
            look_every: Duration::from_millis(20),
            proof_limit: Duration::from_millis(200),
            link_kept: Duration::from_millis(10),
            mark_every: Duration::from_millis(20),
            settle: Duration::from_millis(300),
            save_again: Duration::from_millis(20),
            sweep_again: Duration::from_millis(300),
        };
        let store = Self::open(data);
        let deps = Deps {
            store: store.clone(),
            config: config.subscribe(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let sessions = runtime
            .block_on(Sessions::open_with(deps, Arc::new(world.clone()), tempo))
            .unwrap();
        Host {
            runtime: Some(runtime),
            sessions,
            store,
            config,
        }
    }

    /// The store of a host that may have been killed just now: its writer may still be letting go of the folder.
    pub(super) fn open(data: &Path) -> Store {
        loop {
            match Store::open(data, 1 << 20) {
                Ok(store) => return store,
                Err(crate::store::Error::InUse { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(Duration::from_secs(20), future).await };
        self.runtime
            .as_ref()
            .unwrap()
            .block_on(limited)
            .expect("it takes too long")
    }

    /// Runs in the host, whether or not the test waits for it.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(TaskTracker::new().spawn_on(future, self.runtime.as_ref().unwrap().handle()));
    }

    /// Every task ends where it stands; nothing is closed.
    pub(super) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }

    /// Makes account `one`, and waits until it is ready and what follows from that has been done.
    pub(super) fn with_ready_account(self) -> Self {
        self.run(self.sessions.create(Some(one()), None)).unwrap();
        self.wait_ready();
        self.wait_for("account.synced", 1);
        self
    }

    pub(super) fn wait_ready(&self) {
        self.until(|| {
            self.sessions
                .get(&one())
                .is_some_and(|view| view.state == crate::action::State::Ready)
        });
    }

    /// Waits for a condition that has no signal of its own.
    pub(super) fn until(&self, mut holds: impl FnMut() -> bool) {
        let start = std::time::Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "it takes too long");
            self.run(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        let events = self.run(self.store.events(0, 10_000)).unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn named(&self, name: &str) -> Vec<Arc<Event>> {
        self.events()
            .into_iter()
            .filter(|event| event.event.to_string() == name)
            .collect()
    }

    pub(super) fn wait_for(&self, name: &str, count: usize) -> Vec<Arc<Event>> {
        self.until(|| self.named(name).len() >= count);
        self.named(name)
    }

    pub(super) fn send(&self, key: &str, text: &str) -> Result<crate::action::Sent, crate::action::Failure> {
        self.run(self.sessions.send(order(key, text)))
    }
}

pub(super) fn one() -> AccountId {
    "one".parse().unwrap()
}

pub(super) fn order(key: &str, text: &str) -> SendOrder {
    SendOrder {
        key: key.to_owned(),
        account: one(),
        to: "492@c.us".to_owned(),
        content: Content::Text {
            text: text.to_owned(),
            quote: None,
            mentions: Vec::new(),
        },
        source: Source::Script,
        patience: Duration::from_secs(10),
    }
}

/// A message from 492, so many ms from now.
pub(super) fn message(id: &str, from_now: i64) -> Message {
    Message {
        id: format!("false_492@c.us_{id}"),
        chat: "492@c.us".to_owned(),
        from: "492@c.us".to_owned(),
        to: "491@c.us".to_owned(),
        author: None,
        sender: Sender {
            id: "492@c.us".to_owned(),
            ..Sender::default()
        },
        from_me: false,
        source: None,
        kind: "chat".to_owned(),
        body: Some(id.to_owned()),
        caption: None,
        media: None,
        quoted: None,
        mentions: Vec::new(),
        timestamp: super::whole_second(super::now() + from_now),
        ack: 1,
    }
}
