//! The browser's process: started in a group of its own, watched, and ended until nothing of it is left.
//!
//! In: executable, arguments and profile. Out: a [`Process`] and its CDP address. Must not speak CDP.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::executable::Executable;
use super::profile::{Profile, Record};
use super::{Error, procfs};
use crate::event::AccountId;

/// From the start to the port: a cold start on a slow machine.
const UP: Duration = Duration::from_secs(60);
/// For a browser that was asked to close; it writes out localStorage meanwhile.
pub(super) const POLITE: Duration = Duration::from_secs(10);
/// After SIGTERM, and after SIGKILL.
const FIRM: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(10);
/// Files and `/proc` cannot be waited for, so they are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// A browser that was started. Clones are the same process.
#[derive(Clone)]
pub(super) struct Process(Arc<Inner>);

struct Inner {
    pid: Pid,
    address: String,
    /// How it ended, once it did.
    exited: watch::Receiver<Option<String>>,
}

/// The group of what was started, for who gives up waiting for it.
#[derive(Default)]
pub(super) struct Started(OnceLock<Pid>);

impl Started {
    pub(super) fn group(&self) -> Option<Pid> {
        self.0.get().copied()
    }
}

/// Starts the browser and waits until it listens.
pub(super) async fn start(
    account: &AccountId,
    found: &Executable,
    arguments: &[String],
    profile: &Profile,
    begun: &Started,
    tracker: &TaskTracker,
) -> Result<Process, Error> {
    profile.forget_address()?;
    let failed = |problem: String| Error::Start {
        account: account.clone(),
        problem,
    };
    let mut child = Command::new(&found.path)
        .args(arguments)
        // Secrets of the host's environment are not the browser's, and a proxy named there would undo the network
        // limit.
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", profile.path())
        .env("LANG", "en_US.UTF-8")
        .current_dir(Path::new("/"))
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(profile.log()?)
        .spawn()
        .map_err(|error| failed(format!("{}: {error}", found.path.display())))?;
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
        .expect("a child that was not waited for has an id");
    // It is set here alone, once.
    begun.0.set(pid).ok();
    let (tell, exited) = watch::channel(None);
    tracker.spawn(async move {
        let how = match child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => format!("it cannot be waited for: {error}"),
        };
        tell.send_replace(Some(how));
    });
    let mut process = Inner {
        pid,
        address: String::new(),
        exited,
    };
    let raw = pid.as_raw_nonzero().get();
    let started = async {
        let start = procfs::stat(raw).map(|stat| stat.start);
        if let Some(start) = start {
            profile.remember_browser(&Record {
                pid: raw,
                start,
                boot: procfs::boot(),
            })?;
        }
        listening(&mut process, profile).await.map_err(failed)
    };
    match started.await {
        Ok(address) => {
            process.address = address;
            Ok(Process(Arc::new(process)))
        }
        Err(error) => {
            end_group(pid, false).await;
            Err(error)
        }
    }
}

async fn listening(process: &mut Inner, profile: &Profile) -> Result<String, String> {
    let until = Instant::now() + UP;
    loop {
        if let Some(address) = profile.address() {
            return Ok(address);
        }
        let ended = process.exited.borrow().clone();
        if let Some(how) = ended {
            let said = profile.last_words().unwrap_or_else(|| {
                "it said nothing; where a container forbids user namespaces, [browser] sandbox = false helps".to_owned()
            });
            return Err(format!("it ended at once ({how}): {said}"));
        }
        if Instant::now() >= until {
            return Err(format!("it did not listen within {} s", UP.as_secs()));
        }
        timeout(LOOK, process.exited.changed()).await.ok();
    }
}

impl Process {
    pub(super) fn pid(&self) -> i32 {
        self.0.pid.as_raw_nonzero().get()
    }

    /// The CDP address.
    pub(super) fn address(&self) -> &str {
        &self.0.address
    }

    /// Becomes `Some` when the browser has exited.
    pub(super) fn exited(&self) -> watch::Receiver<Option<String>> {
        self.0.exited.clone()
    }

    /// Whether no process of the group is left.
    pub(super) fn is_gone(&self) -> bool {
        group_is_gone(self.0.pid)
    }

    /// Waits for a browser that was asked to close, then ends it; returns when its group is gone, or at last regardless.
    pub(super) async fn end(&self, asked: bool) {
        end_group(self.0.pid, asked).await;
    }
}

/// Waits politely if it was asked to close, then SIGTERM, then SIGKILL.
pub(super) async fn end_group(group: Pid, asked: bool) {
    if asked && gone_within(group, POLITE).await {
        return;
    }
    for (signal, patience) in [(Signal::TERM, FIRM), (Signal::KILL, LAST)] {
        if group_is_gone(group) {
            return;
        }
        // A group that ended just now cannot be signalled, which is as well.
        rustix::process::kill_process_group(group, signal).ok();
        if gone_within(group, patience).await {
            return;
        }
    }
}

async fn gone_within(group: Pid, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    while !group_is_gone(group) {
        if Instant::now() >= until {
            return false;
        }
        sleep(LOOK).await;
    }
    true
}

fn group_is_gone(group: Pid) -> bool {
    procfs::group(group.as_raw_nonzero().get()).is_empty()
}
