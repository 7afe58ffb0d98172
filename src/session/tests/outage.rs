//! A disk that refuses to write: nothing is acknowledged, nothing is lost.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::session::fake::{Host, Shared, message};

/// Sent for a write over the limit; the same number on x86-64 and arm64.
const SIGXFSZ: i32 = 25;

#[test]
fn while_the_store_cannot_commit_the_page_is_not_acknowledged_and_afterwards_nothing_is_missing() {
    let data = tempfile::tempdir().unwrap();
    // The limit on the size of files holds for a whole process.
    let mut child = Command::new("/proc/self/exe")
        .args([
            "--ignored",
            "--exact",
            "session::tests::outage::child",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(data.path().as_os_str().as_encoded_bytes())
        .unwrap();
    let child = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("nothing is missing"),
        "{said}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

fn limit_files_to(size: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: size.or(maximum),
            maximum,
        },
    )
    .unwrap();
}

#[test]
#[ignore = "a child of the test above, which starts it"]
fn child() {
    let data = std::io::read_to_string(std::io::stdin()).unwrap();
    if data.is_empty() {
        return;
    }
    let world = Shared::linked();
    let host = Host::start(Path::new(&data), &world).with_ready_account();
    host.wait_for("account.synced", 1);
    // With a handler the signal is harmless and the write fails with an error, as on a full disk.
    let _handled = host.run(async { signal(SignalKind::from_raw(SIGXFSZ)).unwrap() });
    limit_files_to(Some(0));
    let sent: Vec<String> = (0..100).map(|number| format!("M{number}")).collect();
    for id in &sent {
        world.arrives(message(id, 1000));
    }
    host.until(|| host.run(host.store.accounts()).is_err());
    assert_eq!(world.lock().acked, [], "acknowledged without a commit");
    limit_files_to(None);
    host.until(|| world.lock().acked.last().is_some_and(|(_, seq)| *seq == 100));
    let bodies: Vec<String> = host
        .named("message")
        .iter()
        .map(|event| event.text("body").unwrap().to_owned())
        .collect();
    assert_eq!(bodies, sent);
    println!("nothing is missing");
}
