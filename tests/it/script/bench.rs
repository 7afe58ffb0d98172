//! A host with scripts, on a folder of its own, whose accounts write down what they are asked to send.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::{Config, Sources};
use wharf::event::{Draft, Event, Kind, Origin};
use wharf::script::{Deps, Host, ScriptView, Scripts, Times};
use wharf::store::{Batch, NewEvent, Options, Store};

use super::recorder::Recorder;
pub(super) use super::recorder::Sending;

/// Longest time for anything here, on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn now() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

/// A folder, a store and the scripts on them.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) store: Store,
    pub(super) host: Arc<Recorder>,
    config: watch::Sender<Arc<Config>>,
    pub(super) scripts: Option<Scripts>,
    pub(super) times: Times,
}

impl Bench {
    /// A folder without scripts; nothing runs.
    pub(super) fn empty() -> Self {
        Self::empty_on(&Options::default())
    }

    /// With a store that is opened so.
    pub(super) fn empty_on(options: &Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("scripts")).unwrap();
        let store = Store::open_with(&dir.path().join("data"), options).unwrap();
        let host = Recorder::new(&store);
        let config = watch::Sender::new(Arc::new(config(&dir, "")));
        Self {
            dir,
            store,
            host,
            config,
            scripts: None,
            times: Times::default(),
        }
    }

    /// A running host with these scripts.
    pub(super) async fn with(scripts: &[(&str, &str)]) -> Self {
        let mut bench = Self::empty();
        for (name, text) in scripts {
            bench.write(name, text);
        }
        bench.start().await;
        bench
    }

    pub(super) fn deps(&self) -> Deps {
        Deps {
            store: self.store.clone(),
            config: self.config.subscribe(),
            host: Arc::clone(&self.host) as Arc<dyn Host>,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) async fn start(&mut self) {
        self.scripts = Some(Scripts::open_with(self.deps(), self.times).await.unwrap());
    }

    pub(super) async fn stop(&mut self) {
        self.scripts.take().unwrap().close().await;
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("scripts").join(format!("{name}.lua"))
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes a plugin that may do all that these tests do, and is the owner's own: it runs as it is.
    pub(super) fn plugin(&self, name: &str, more: &str, main: &str) {
        self.plugin_of_others(name, more, main);
        let lock = self.dir.path().join("plugins/plugins.lock");
        let mut text = std::fs::read_to_string(&lock).unwrap_or_default();
        text.push_str(&format!("[{name}]\nown = true\n"));
        std::fs::write(lock, text).unwrap();
    }

    /// As [`Bench::plugin`], but nobody has added it.
    pub(super) fn plugin_of_others(&self, name: &str, more: &str, main: &str) {
        let folder = self.dir.path().join("plugins").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let manifest = format!(
            "name = '{name}'\nversion = '0.1.0'\napi = 1\n[permissions]\nevents = ['*']\naccounts = ['*']
actions = ['reply', 'send']\n{more}"
        );
        std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
        std::fs::write(folder.join("main.lua"), main).unwrap();
    }

    /// Runs `wharf` in the folder of this host; answers what it says if it does it.
    pub(super) fn wharf(&self, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wharf"));
        let ran = command.args(arguments).current_dir(self.dir.path()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Puts a new `config.toml` in force.
    pub(super) fn configure(&self, text: &str) {
        self.config.send_replace(Arc::new(config(&self.dir, text)));
    }

    pub(super) fn view(&self, name: &str) -> Option<ScriptView> {
        self.scripts
            .as_ref()
            .unwrap()
            .list()
            .into_iter()
            .find(|view| view.name == name)
    }

    pub(super) async fn until_view(&self, name: &str, wanted: impl Fn(&ScriptView) -> bool) -> ScriptView {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let look = async {
            loop {
                looks.tick().await;
                if let Some(view) = self.view(name).filter(|view| wanted(view)) {
                    return view;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("{name} stays {:?}", self.view(name)))
    }

    /// A message of now from a chat.
    pub(super) async fn message(&self, chat: &str, body: &str) -> Arc<Event> {
        self.message_of(chat, body, now()).await
    }

    pub(super) async fn message_of(&self, chat: &str, body: &str, timestamp: i64) -> Arc<Event> {
        self.journal(vec![message(chat, body, timestamp)]).await.remove(0)
    }

    pub(super) async fn journal(&self, drafts: Vec<Draft>) -> Vec<Arc<Event>> {
        let events = drafts.into_iter().map(NewEvent::from).collect();
        let committed = self
            .store
            .commit(Batch {
                events,
                ..Batch::default()
            })
            .await
            .unwrap();
        committed.events.into_iter().map(|event| event.unwrap().1).collect()
    }

    pub(super) async fn kv(&self, space: &str, key: &str) -> Option<Value> {
        let entry = self.store.kv_get(space, key).await.unwrap();
        entry.map(|entry| serde_json::from_slice(&entry.value).unwrap())
    }

    /// Waits for an event of this name in the journal.
    pub(super) async fn until_event(&self, name: &str, wanted: impl Fn(&Event) -> bool) -> Arc<Event> {
        self.until_event_from(0, name, wanted).await
    }

    /// The same, in the journal from `from` on.
    pub(super) async fn until_event_from(&self, from: u64, name: &str, wanted: impl Fn(&Event) -> bool) -> Arc<Event> {
        let mut head = self.store.head();
        let look = async {
            loop {
                head.borrow_and_update();
                let events = self.store.events(from, 1000).await.unwrap();
                let found = events
                    .into_iter()
                    .find(|(_, event)| event.event.to_string() == name && wanted(event));
                if let Some((_, event)) = found {
                    return event;
                }
                head.changed().await.unwrap();
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("no event {name} came"))
    }

    /// Waits until the store says that a script has finished everything in the journal.
    pub(super) async fn until_finished(&self, script: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let look = async {
            loop {
                looks.tick().await;
                let position = self.store.position(script).await.unwrap();
                if position.is_some_and(|position| position.mark >= *self.store.head().borrow()) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .expect("not finished in time");
    }
}

pub(super) fn message(chat: &str, body: &str, timestamp: i64) -> Draft {
    let data = json!({
        "id": format!("false_{chat}_X"), "chat": chat, "from": chat, "to": "1@c.us", "author": null,
        "sender": { "id": chat, "lid": null, "phone": null, "name": null }, "from_me": false, "source": null,
        "type": "chat", "body": body, "caption": null, "media": null, "quoted": null, "mentions": [],
        "timestamp": timestamp, "ack": 1,
    });
    Draft {
        event: Kind::MESSAGE,
        account: Some("sales".parse().unwrap()),
        timestamp,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    }
}

fn config(dir: &TempDir, more: &str) -> Config {
    let path = dir.path().join("config.toml");
    let off = "[plugins.webhook]\nenabled = false\n";
    std::fs::write(&path, format!("{off}{more}")).unwrap();
    Sources {
        file: Some(path),
        ..Sources::default()
    }
    .load()
    .unwrap()
}
