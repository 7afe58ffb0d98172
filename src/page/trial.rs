//! Whether the browser starts here at all, with the sandbox that is wanted.
//!
//! In: `[browser]`, a folder for a profile that is thrown away. Out: nothing, or the browser's last words. Must not use a profile of
//! an account.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::find_browser;
use crate::config::resolved::Browser;

/// Time for a start and an empty page; a cold disk takes some of it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Characters of the browser's words that are told.
const WORDS: usize = 300;

/// Starts the browser on an empty page and lets it end.
///
/// # Errors
/// What is wrong, in words for the owner.
pub async fn try_browser(browser: &Browser, scratch: &Path) -> Result<(), String> {
    let executable = find_browser(browser).map_err(|error| error.to_string())?;
    let mut command = Command::new(&executable);
    command
        .args([
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", scratch.display()))
        .args((!browser.sandbox).then_some("--no-sandbox"))
        .arg("about:blank")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = match timeout(PATIENCE, command.output()).await {
        Err(_) => {
            return Err(format!(
                "{} shows no page within {} s",
                executable.display(),
                PATIENCE.as_secs()
            ));
        }
        Ok(Err(error)) => return Err(format!("{} cannot be started: {error}", executable.display())),
        Ok(Ok(output)) => output,
    };
    if output.status.success() && output.stdout.starts_with(b"<html") {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let said = words
        .lines()
        .find(|line| line.contains("FATAL") || line.contains("ERROR"));
    let said: String = said
        .or(words.lines().last())
        .unwrap_or_default()
        .chars()
        .take(WORDS)
        .collect();
    let advice = if browser.sandbox && words.contains("sandbox") {
        "; run wharf as a user of its own, or say [browser] sandbox = false on a throw-away machine"
    } else {
        ""
    };
    Err(format!(
        "{} does not show an empty page ({}): {said}{advice}",
        executable.display(),
        output.status
    ))
}
