//! What the tests share.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod fetched;
pub(crate) mod host;
pub(crate) mod phones;
pub(crate) mod receiver;
pub(crate) mod simulator;

use std::time::Duration;

/// Waits until `ready` answers something; `what` names it when it does not come in a minute.
///
/// Between two looks it rests a little, because what it waits for is in another process and cannot be awaited.
pub(crate) async fn until<T>(what: &str, ready: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(1, what, ready).await
}

/// The same for what is much work.
pub(crate) async fn until_within<T>(minutes: u64, what: &str, mut ready: impl AsyncFnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(value) = ready().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60 * minutes), wait).await {
        Ok(value) => value,
        Err(_) => panic!("waited {minutes} min for: {what}"),
    }
}

/// Ids of the processes whose command line holds `text`.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != std::process::id() && String::from_utf8_lossy(&line).contains(text)
    })
    .collect()
}
