//! The room as a whole, with a look into its parts that the tests from outside do not have.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use serde_json::json;

use super::*;
use crate::action::FailureKind;
use crate::config::Sources;
use crate::event::{Draft, Kind, Origin};
use crate::store::{Batch, NewEvent};

/// Refuses every send, and counts them.
#[derive(Default)]
struct Refusing(AtomicUsize);

impl Host for Refusing {
    fn send(&self, order: SendOrder) -> BoxFuture<'static, Result<Sent, Failure>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        async move {
            Err(Failure {
                kind: FailureKind::Refused,
                message: "refused".to_owned(),
                account: Some(order.account),
            })
        }
        .boxed()
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
        _: crate::http::Request,
    ) -> BoxFuture<'static, Result<crate::http::Response, crate::http::Error>> {
        Box::pin(async { Err(crate::http::Error::Timeout) })
    }

    fn has_endpoint(&self, _: &str) -> bool {
        true
    }
}

async fn opened(dir: &std::path::Path, text: &str) -> (Store, Scripts) {
    std::fs::create_dir(dir.join("scripts")).unwrap();
    std::fs::write(dir.join("scripts/bot.lua"), text).unwrap();
    let file = dir.join("config.toml");
    std::fs::write(&file, "[plugins.webhook]\nenabled = false\n").unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    let store = Store::open(&dir.join("data"), 16 << 20).unwrap();
    let scripts = Scripts::open(Deps {
        store: store.clone(),
        config: watch::Sender::new(Arc::new(sources.load().unwrap())).subscribe(),
        host: Arc::new(Refusing::default()),
        tracker: TaskTracker::new(),
        stop: CancellationToken::new(),
    });
    let scripts = scripts.await.unwrap();
    (store, scripts)
}

async fn message(store: &Store, chat: &str) {
    let now = live::now();
    let data = json!({ "id": "m", "chat": chat, "from": chat, "body": "x", "timestamp": now });
    let draft = Draft {
        event: Kind::MESSAGE,
        account: Some("sales".parse().unwrap()),
        timestamp: now,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    };
    let events = vec![NewEvent { draft, once: None }];
    let batch = Batch {
        events,
        ..Batch::default()
    };
    store.commit(batch).await.unwrap();
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let looks = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    let long = std::time::Duration::from_secs(20);
    tokio::time::timeout(long, looks).await.expect("not in time");
}

const COUNT: &str = "wharf.on('message', function() wharf.kv.incr('n') end)";

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_whose_thread_ended_is_built_anew_and_its_runs_start_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, scripts) = opened(dir.path(), COUNT).await;
    let slot = Arc::clone(scripts.slots.lock().unwrap().get("bot").unwrap());
    let first = slot.current().unwrap();
    first.cut();
    first.ended().cancelled().await;
    message(&store, "a@c.us").await;
    until(|| async { store.kv_get("bot", "n").await.unwrap().is_some() }).await;
    assert!(!slot.is_current(&first));
    assert_eq!(slot.current().unwrap().number(), first.number());
    assert!(
        store.tries("bot").await.unwrap().is_empty(),
        "it does not count as a try"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_whose_thread_keeps_ending_is_suspended() {
    let dir = tempfile::tempdir().unwrap();
    let (_store, scripts) = opened(dir.path(), COUNT).await;
    let slot = Arc::clone(scripts.slots.lock().unwrap().get("bot").unwrap());
    let mut lives = 0;
    while let Some(runner) = slot.current() {
        runner.cut();
        runner.ended().cancelled().await;
        let fault = error::Fault::told(error::FaultKind::Gone, "gone".to_owned(), &runner.plan().source);
        // All that were at work find it gone; it counts once.
        slot.failed(&runner, &fault, None).await;
        slot.failed(&runner, &fault, None).await;
        lives += 1;
        assert!(lives <= 10);
    }
    assert_eq!((lives, slot.view().state), (10, "suspended"));
}
