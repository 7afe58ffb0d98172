//! A disk that refuses to write: the store says so, comes back by itself, and has lost nothing that it acknowledged.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use wharf::store::{Batch, Error, Store};

use super::{message, open, set};

const FOLDER: &str = "WHARF_TEST_FAILING_STORE";
const CHILD: &str = "store::failing::child_whose_files_may_not_grow";
/// Sent for a write over the limit; the same number on x86-64 and arm64.
const SIGXFSZ: i32 = 25;

#[test]
fn after_a_failed_write_the_store_reopens_by_itself_and_has_all_that_it_acknowledged() {
    // The limit holds for the whole process, so it needs one of its own.
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", CHILD, "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("it came back"),
        "{said}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[test]
#[ignore = "the child of the test above, which starts it"]
fn child_whose_files_may_not_grow() {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
    let Ok(dir) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(fail_and_recover(Path::new(&dir)));
    println!("it came back");
}

async fn fail_and_recover(dir: &Path) {
    // With a handler the signal is harmless and the write fails with an error, as on a full disk.
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let store = open(dir);
    let mut acknowledged = Vec::new();
    for n in 0..5 {
        acknowledged.push(add(&store, n).await.unwrap());
    }
    let size = std::fs::metadata(dir.join("store").join("db")).unwrap().len();
    let before = getrlimit(Resource::Fsize);
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(size + 200_000),
            maximum: before.maximum,
        },
    )
    .unwrap();
    let mut n = 5;
    let why = loop {
        match add(&store, n).await {
            Ok(id) => acknowledged.push(id),
            Err(err) => break err,
        }
        n += 1;
        assert!(n < 2000, "nothing ever failed");
    };
    assert!(matches!(why, Error::Down { .. }) && why.is_transient(), "{why}");
    // Refused at once while it is down, not left waiting.
    assert!(matches!(add(&store, 5000).await, Err(Error::Down { .. })));
    let mut head = store.head();
    head.mark_unchanged();
    setrlimit(Resource::Fsize, before).unwrap();
    tokio::time::timeout(Duration::from_secs(60), head.changed())
        .await
        .unwrap()
        .unwrap();
    acknowledged.push(add(&store, 6000).await.unwrap());
    for store in [store.clone(), {
        for id in &acknowledged {
            assert!(store.find_event(id).await.unwrap().is_some(), "lost {id}");
        }
        store.close().await.unwrap();
        open(dir)
    }] {
        if store.accounts().await.is_err() {
            continue;
        }
        let events = store.events(0, 1000).await.unwrap();
        assert!(
            events
                .iter()
                .enumerate()
                .all(|(n, (offset, event))| *offset == n as u64 && event.seq == *offset + 1)
        );
        let ids: Vec<&str> = events.iter().map(|(_, event)| event.id.as_str()).collect();
        assert!(acknowledged.iter().all(|id| ids.contains(&id.as_str())));
    }
}

async fn add(store: &Store, n: i64) -> Result<String, Error> {
    let value = format!("\"{}\"", "x".repeat(20_000));
    let batch = Batch {
        events: vec![message("a", &format!("M{n}"), n)],
        kv: vec![set(&n.to_string(), &value)],
        ..Batch::default()
    };
    store
        .commit(batch)
        .await
        .map(|made| made.events[0].as_ref().unwrap().1.id.clone())
}
