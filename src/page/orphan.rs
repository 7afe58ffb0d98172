//! Browsers that an earlier host left on a profile.
//!
//! In: a profile that is locked by this host, so no living host has a browser on it. Out: a profile without a browser.
//! Must not end a process that is not proven to be wharf's: by the recorded pid and start time and by the profile in
//! its arguments.

use chromiumoxide::Browser;
use chromiumoxide::cdp::browser_protocol::browser::CloseParams;
use chromiumoxide::handler::HandlerConfig;
use futures::StreamExt;
use rustix::process::Pid;
use tokio::time::{sleep, timeout};

use super::process::{LOOK, POLITE, end_group};
use super::profile::Profile;
use super::{Error, procfs};
use crate::event::AccountId;

/// Closes what is left on the profile: asks, waits, then ends. A browser that is only known by the profile in its
/// arguments (a host killed before it could record it, or a person's own) is asked, and never ended by force.
pub(super) async fn reap(account: &AccountId, profile: &Profile) -> Result<(), Error> {
    let argument = profile.argument();
    let recorded = profile.browser().filter(|record| {
        record.boot == procfs::boot()
            && procfs::stat(record.pid).is_some_and(|stat| stat.start == record.start && !stat.is_dead())
            && procfs::arguments(record.pid).contains(&argument)
    });
    if let Some(record) = recorded {
        tracing::info!(%account, pid = record.pid, "closing the browser that an earlier host left");
        let pid = Pid::from_raw(record.pid).ok_or(Error::Orphan {
            account: account.clone(),
            pid: record.pid,
        })?;
        let asked = ask_profile(profile).await;
        if !asked {
            tracing::warn!(%account, pid = record.pid, "it does not answer: what it wrote last may be lost");
        }
        end_group(pid, asked).await;
    }
    for raw in procfs::browsers_with(&argument) {
        tracing::warn!(%account, pid = raw, "a browser that was not recorded uses the profile and is asked to close");
        ask_profile(profile).await;
        let gone = async {
            while procfs::browsers_with(&argument).contains(&raw) {
                sleep(LOOK).await;
            }
        };
        timeout(POLITE, gone).await.map_err(|_| Error::Orphan {
            account: account.clone(),
            pid: raw,
        })?;
    }
    profile.forget_browser();
    Ok(())
}

async fn ask_profile(profile: &Profile) -> bool {
    match profile.address() {
        Some(address) => ask(&address).await,
        None => false,
    }
}

/// Asks a browser to close, through a CDP connection made for it; false if nobody answers.
pub(super) async fn ask(address: &str) -> bool {
    let config = HandlerConfig {
        ignore_https_errors: false,
        viewport: None,
        ..HandlerConfig::default()
    };
    let asked = async {
        let (browser, mut handler) = Box::pin(Browser::connect_with_config(address, config)).await.ok()?;
        let closing = browser.execute(CloseParams::default());
        tokio::pin!(closing);
        loop {
            tokio::select! {
                answer = &mut closing => return answer.ok().map(|_| ()),
                event = handler.next() => if event.is_none_or(|event| event.is_err()) { return None },
            }
        }
    };
    timeout(POLITE, asked).await.ok().flatten().is_some()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::page::profile::Record;

    #[tokio::test]
    async fn a_process_that_only_has_the_recorded_number_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let account: AccountId = "one".parse().unwrap();
        let profile = Profile::open(&account, &folder.path().join("profile")).unwrap();
        let plain = "sleep".to_owned();
        // As a helper, so that only the record could name it.
        let argued = format!("sleep --type=x {}", profile.argument());
        let sleep = |name: &str| {
            let mut command = Command::new("sleep");
            command.arg0(name).arg("600").stdin(Stdio::null()).process_group(0);
            let child = command.spawn().unwrap();
            // `spawn` returns a moment before the kernel has put the new arguments in place.
            while procfs::arguments(i32::try_from(child.id()).unwrap()).is_empty() {
                std::thread::yield_now();
            }
            child
        };
        for (name, later, boot, is_ended) in [
            (&plain, 0, procfs::boot(), false),
            (&argued, 1, procfs::boot(), false),
            (&argued, 0, "another".to_owned(), false),
            // Right in all.
            (&argued, 0, procfs::boot(), true),
        ] {
            let mut other = sleep(name);
            let pid = i32::try_from(other.id()).unwrap();
            let start = procfs::stat(pid).unwrap().start + later;
            let record = Record { pid, start, boot };
            profile.remember_browser(&record).unwrap();
            reap(&account, &profile).await.unwrap();
            assert_eq!(other.try_wait().unwrap().is_some(), is_ended, "{name} {record:?}");
            assert_eq!(profile.browser(), None, "what was found out once is not asked again");
            other.kill().ok();
            other.wait().unwrap();
        }
    }
}
