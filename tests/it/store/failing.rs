//! A disk that refuses to write: the store says so, comes back by itself, and has lost nothing that it acknowledged.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use wharf::store::{Batch, Error, Store};

use super::{message, open, set};

const FOLDER: &str = "WHARF_TEST_FAILING_STORE";
/// Sent for a write over the limit; the same number on x86-64 and arm64.
const SIGXFSZ: i32 = 25;

#[test]
fn after_a_failed_write_the_store_reopens_by_itself_and_has_all_that_it_acknowledged() {
    in_a_process_of_its_own("store::failing::child_whose_files_may_not_grow", "it came back");
}

#[test]
fn a_store_that_comes_back_without_acknowledged_rows_stays_out_of_service() {
    in_a_process_of_its_own(
        "store::failing::child_whose_store_is_replaced_by_an_older_one",
        "it stayed away",
    );
}

/// The limit on the size of files holds for a whole process.
fn in_a_process_of_its_own(child: &str, word: &str) {
    let dir = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", child, "--nocapture", "--test-threads=1"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains(word),
        "{said}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[test]
#[ignore = "a child of the tests above, which start it"]
fn child_whose_files_may_not_grow() {
    child(async |dir| {
        fail_and_recover(dir).await;
        println!("it came back");
    });
}

#[test]
#[ignore = "a child of the tests above, which start it"]
fn child_whose_store_is_replaced_by_an_older_one() {
    child(async |dir| {
        fail_and_come_back_older(dir).await;
        println!("it stayed away");
    });
}

fn child(work: impl AsyncFnOnce(&Path)) {
    #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
    let Ok(dir) = std::env::var(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        // With a handler the signal is harmless and the write fails with an error, as on a full disk.
        let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
        work(Path::new(&dir)).await;
    });
}

fn limit_files_to(size: u64) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: Some(size),
            maximum,
        },
    )
    .unwrap();
}

fn lift_the_limit() {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .unwrap();
}

async fn fail_and_come_back_older(dir: &Path) {
    let store = open(dir);
    add(&store, 0).await.unwrap();
    store.close().await.unwrap();
    let (folder, older) = (dir.join("store"), dir.join("older"));
    assert!(
        Command::new("cp")
            .arg("-r")
            .args([&folder, &older])
            .status()
            .unwrap()
            .success()
    );
    let store = open(dir);
    add(&store, 1).await.unwrap();
    // With files of no size at all the store can neither go on nor open again.
    limit_files_to(0);
    assert!(matches!(add(&store, 2).await, Err(Error::Down { .. })));
    std::fs::rename(&folder, dir.join("newer")).unwrap();
    std::fs::rename(&older, &folder).unwrap();
    lift_the_limit();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let noticed = async {
        loop {
            tick.tick().await;
            match add(&store, 3).await {
                Err(err) if err.to_string().contains("acknowledged") => return,
                Err(_) => {}
                Ok(_) => panic!("it went on without rows that it had acknowledged"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), noticed).await.unwrap();
}

async fn fail_and_recover(dir: &Path) {
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
    lift_the_limit();
    tokio::time::timeout(Duration::from_secs(60), head.changed())
        .await
        .unwrap()
        .unwrap();
    acknowledged.push(add(&store, 6000).await.unwrap());
    check(&store, &acknowledged).await;
    store.close().await.unwrap();
    check(&open(dir), &acknowledged).await;
}

async fn check(store: &Store, acknowledged: &[String]) {
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
