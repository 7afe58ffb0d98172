//! kill -9 in the middle of a run, at each of its steps: afterwards its keys and posts are there once, its message was sent
//! once or is reported as unknown.
//!
//! The host is a process of its own, with the real store and real scripts. Its thread that comes to the place stands still
//! there until it is killed; the next process goes on with what is on the disk. Accounts are played by `killed_account`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::Sources;
use wharf::event::{Event, Kind};
use wharf::script::{Deps, Host, Scripts};
use wharf::store::{Batch, NewEvent, Once, Store};

use super::bench::{PATIENCE, message, now};
use super::killed_account::{Account, Lines, Places};

const FOLDER: &str = "WHARF_TEST_KILLED_RUN";
const PLACE: &str = "WHARF_TEST_KILLED_PLACE";
const ROUND: &str = "WHARF_TEST_KILLED_ROUND";
const CHILD: &str = "script::killed::child_that_works_until_it_is_killed";
const ROUNDS: usize = 20;
/// Processes at a time.
const TOGETHER: usize = 2;

const SCRIPT: &str = "wharf.on('message', function(msg)
    wharf.log.info('at work')
    wharf.kv.incr('runs')
    wharf.kv.set('seen/' .. msg.body, true)
    wharf.log.info('written')
    wharf.webhook.post('crm', msg:json())
    wharf.log.info('posted')
    local sent = msg:reply(msg.body)
    wharf.log.info('answered')
    wharf.kv.set('sent/' .. msg.body, sent.status)
end)";

/// The steps of a run, in order: what the place is, and the line of the log or of the account at which it stands.
const PLACES: [(&str, &str); 13] = [
    ("the event is in its commit", "message in commit"),
    ("journaled and handed over, no line of it has run", "message in handler"),
    ("at work, before it first waits", "at work"),
    ("after its writes of keys", "written"),
    ("after its post", "posted"),
    ("before the intent of its send", "no intent"),
    ("after the intent, before the order", "intent kept"),
    ("between the order and its answer", "ordered"),
    ("after the answer, before its own commit", "answered"),
    ("its commit has begun", "run in commit"),
    ("the rows of its commit are not synced", "rows before the sync"),
    ("the rows of its commit are synced, nobody is told", "rows synced"),
    ("its commit is kept, the mark has not moved", "run committed"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_step_is_kept_once_and_its_message_is_sent_once_or_reported() {
    let killed = futures::stream::iter(PLACES).map(|(place, line)| async move {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        for round in 0..ROUNDS {
            let dir = dir.path().to_owned();
            tokio::task::spawn_blocking(move || run_child_and_kill_it(&dir, line, round))
                .await
                .unwrap();
        }
        check(dir.path(), place, line).await;
    });
    killed.buffer_unordered(TOGETHER).collect::<()>().await;
}

fn prepare(dir: &Path) {
    std::fs::create_dir(dir.join("scripts")).unwrap();
    std::fs::write(dir.join("scripts/bot.lua"), SCRIPT).unwrap();
    std::fs::write(dir.join("config.toml"), "[plugins.webhook]\nenabled = false\n").unwrap();
}

fn run_child_and_kill_it(dir: &Path, line: &str, round: usize) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", CHILD, "--nocapture", "--test-threads=1"])
        .envs([(PLACE, line), (ROUND, &round.to_string())])
        .env(FOLDER, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let stands = lines.any(|said| said.ends_with("stands"));
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(stands, "{line}, round {round}: the child did not come there");
}

/// A host on a folder: what was told before is finished, whatever became of the process that was told.
struct Working {
    store: Store,
    scripts: Scripts,
}

impl Working {
    async fn start(dir: &Path, places: &Arc<Places>) -> Working {
        // A process that was killed may still be letting go of the folder.
        let store = loop {
            match Store::open(&dir.join("data"), 1 << 20) {
                Err(wharf::store::Error::InUse { .. }) => tokio::time::sleep(Duration::from_millis(1)).await,
                opened => break opened.unwrap(),
            }
        };
        let sources = Sources {
            file: Some(dir.join("config.toml")),
            ..Sources::default()
        };
        let deps = Deps {
            store: store.clone(),
            config: watch::Sender::new(Arc::new(sources.load().unwrap())).subscribe(),
            host: Arc::new(Account::new(&store, dir, places)) as Arc<dyn Host>,
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let scripts = Scripts::open(deps).await.unwrap();
        Working { store, scripts }
    }

    /// A message comes, as the page tells of it: again if it was not acknowledged.
    async fn tell(&self, round: usize) {
        let draft = message("49170@c.us", &format!("round {round}"), now());
        let once = Once {
            account: "sales".parse().unwrap(),
            chat: "49170@c.us".to_owned(),
            message_id: round.to_string(),
            kind: "message".to_owned(),
        };
        let batch = Batch {
            events: vec![NewEvent {
                draft,
                once: Some(once),
            }],
            ..Batch::default()
        };
        self.store.commit(batch).await.unwrap();
    }

    async fn events(&self, kind: Kind) -> Vec<(u64, Arc<Event>)> {
        let mut events = self.store.events(0, 1000).await.unwrap();
        events.retain(|(_, event)| event.event == kind);
        events
    }

    async fn until_finished(&self) {
        let events = self.events(Kind::MESSAGE).await;
        let look = async {
            loop {
                let position = self.store.position("bot").await.unwrap().unwrap();
                if events.iter().all(|(offset, _)| position.is_finished(*offset)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it ends");
        // A position may show a moment before its commit is synced, a delivery does not.
        self.store.commit(Batch::default()).await.unwrap();
    }
}

async fn check(dir: &Path, place: &str, line: &str) {
    let host = Working::start(dir, &Places::none()).await;
    host.tell(ROUNDS - 1).await;
    host.until_finished().await;
    let store = &host.store;
    let value = async |key: &str| -> Option<serde_json::Value> {
        let entry = store.kv_get("bot", key).await.unwrap()?;
        Some(serde_json::from_slice(&entry.value).unwrap())
    };
    assert_eq!(value("runs").await, Some(json!(ROUNDS)), "{place}: keys are kept once");

    let events = host.events(Kind::MESSAGE).await;
    assert_eq!(events.len(), ROUNDS, "{place}");
    let mut wanted: Vec<_> = events.iter().map(|(_, event)| event.id.clone()).collect();
    let deliveries = store.deliveries(1000).await.unwrap();
    let mut posted: Vec<_> = deliveries.into_iter().filter_map(|made| made.event_id).collect();
    wanted.sort_unstable();
    posted.sort_unstable();
    assert_eq!(posted, wanted, "{place}: one delivery for each event");

    let unknown = host.events(Kind::parse("action.unknown").unwrap()).await;
    let sent = Lines::sent(dir);
    for (_, event) in &events {
        let body = event.text("body").unwrap();
        assert_eq!(
            value(&format!("seen/{body}")).await,
            Some(json!(true)),
            "{place}, {body}"
        );
        let status = value(&format!("sent/{body}")).await.unwrap();
        let times = sent.iter().filter(|text| *text == body).count();
        let reports = unknown
            .iter()
            .filter(|(_, told)| told.text("event") == Some(&event.id))
            .count();
        match status.as_str() {
            Some("sent") => assert_eq!((times, reports), (1, 0), "{place}, {body}"),
            Some("unknown") => assert!(times <= 1 && reports == 1, "{place}, {body}: {times} times"),
            other => panic!("{place}, {body}: {other:?}"),
        }
    }
    // Only a send that was cut off can be unknown; of an order that was given every second one is found again.
    let expected = match line {
        "intent kept" => ROUNDS,
        "ordered" => ROUNDS / 2,
        _ => 0,
    };
    assert_eq!(unknown.len(), expected, "{place}");
    let left = store.intents_with_prefix("bot/").await.unwrap();
    assert!(left.is_empty(), "{place}: {left:?}");
    assert!(
        store.tries("bot").await.unwrap().is_empty(),
        "{place}: a kill is no failed try"
    );
    host.scripts.close().await;
    host.store.close().await.unwrap();
}

#[test]
#[ignore = "the child of the test above, which starts it"]
fn child_that_works_until_it_is_killed() {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
    let told = |name: &str| std::env::var(name).ok();
    let (Some(dir), Some(line), Some(round)) = (told(FOLDER).map(PathBuf::from), told(PLACE), told(ROUND)) else {
        return;
    };
    let round: usize = round.parse().unwrap();
    let places = Places::at(&line);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Working::start(&dir, &places).await;
        if let Some(before) = round.checked_sub(1) {
            host.tell(before).await;
        }
        host.until_finished().await;
        places.arm();
        host.tell(round).await;
        std::future::pending::<()>().await;
    });
}
