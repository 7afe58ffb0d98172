//! `wharf doctor`: whether everything that wharf needs is there and whole.
//!
//! In: the configuration. Out: a line for each thing looked at on stdout, with what to do where something is wrong; 1 if anything
//! is. The store is read in a process of its own, because damage can make sled end it. Must not change anything.

use std::fmt;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::process::Command;

use super::Where;
use crate::admin::control;
use crate::config::Config;
use crate::store::{self, Level};
use crate::{page, script};

/// Time for the store to be read whole: some minutes for the largest.
const READING: Duration = Duration::from_secs(30 * 60);

/// How a store says that it is damaged, which decides whether a host may start on it.
const DAMAGED: &str = "the store is damaged: ";

/// What can be chosen.
#[derive(Args)]
pub(super) struct Options {
    /// Only read the store of a stopped host, in this process.
    #[arg(long)]
    store: bool,
    #[command(flatten)]
    place: Where,
}

/// What was found out about one thing.
enum Finding {
    Good(String),
    /// It works, and could be better.
    Doubtful(String),
    Bad(String),
}

use Finding::{Bad, Doubtful, Good};

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Good(text) => write!(f, "ok       {text}"),
            Doubtful(text) => write!(f, "warning  {text}"),
            Bad(text) => write!(f, "problem  {text}"),
        }
    }
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let config = options.place.sources().load()?;
    if options.store {
        return read_store(&config);
    }
    let mut problems = 0;
    let mut tell = |finding: Finding| {
        problems += usize::from(matches!(finding, Bad(_)));
        // Whoever reads may have seen enough.
        writeln!(std::io::stdout(), "{finding}").ok();
    };
    tell(Good("the configuration can be read".to_owned()));
    let host = control::Client::connect(&config.data.dir.join("wharf.sock")).await;
    folder(&config.data.dir).into_iter().for_each(&mut tell);
    match &host {
        Some(client) => running(client).await.into_iter().for_each(&mut tell),
        None => tell(stopped(&config, &options.place).await),
    }
    tell(backups(&config));
    tell(browser(&config).await);
    tell(library(&config));
    tell(port(&config, host.is_some()));
    tell(scripts(&config));
    Ok(if problems == 0 {
        ExitCode::SUCCESS
    } else {
        eprintln!("wharf: {problems} problem{}", if problems == 1 { "" } else { "s" });
        ExitCode::FAILURE
    })
}

/// Reads the store here, for the process that has started this one.
fn read_store(config: &Config) -> anyhow::Result<ExitCode> {
    let checked = store::check(&config.data.dir, config.data.cache)?;
    println!("{} rows, {} KiB", checked.rows, checked.bytes.div_ceil(1024));
    for finding in &checked.findings {
        eprintln!("{finding}");
    }
    let Some(first) = checked.findings.first() else {
        return Ok(ExitCode::SUCCESS);
    };
    let first = first.strip_prefix(DAMAGED).unwrap_or(first);
    anyhow::bail!(
        "{DAMAGED}{} rows are damaged or missing, the first: {first}",
        checked.found
    )
}

/// Before a host starts: reads the store whole, in a process of its own, if the last host did not end in order.
///
/// # Errors
/// With what is wrong and what to do, so that the host does not start on a damaged store.
pub(super) async fn after_unclean_end(place: &Where) -> anyhow::Result<()> {
    let config = place.sources().load()?;
    if !store::ended_uncleanly(&config.data.dir) {
        return Ok(());
    }
    match store::lock_folder(&config.data.dir) {
        // Opening says it better.
        Err(_) => return Ok(()),
        Ok(lock) => drop(lock),
    }
    eprintln!("wharf: the last host did not end in order; its store is read before it is used");
    match store_of(&config, place).await {
        Ok(read) => {
            store::whole(&config.data.dir)?;
            eprintln!("wharf: the store is whole: {read}");
            Ok(())
        }
        Err(Unread::Damaged(why)) => Err(anyhow::Error::msg(why)),
        // Opening meets it, too, and its answer has an exit code.
        Err(Unread::Other(why)) => {
            eprintln!("wharf: it cannot be read whole before that: {why}");
            Ok(())
        }
    }
}

/// Why nothing is known of a store, or too much.
enum Unread {
    Damaged(String),
    Other(String),
}

/// Reads the store in a process of its own. What it holds, or what is wrong and what to do.
async fn store_of(config: &Config, place: &Where) -> Result<String, Unread> {
    let other = |why: String| Unread::Other(why);
    let program = std::env::current_exe().map_err(|error| other(format!("cannot find the program itself: {error}")))?;
    let mut command = Command::new(program);
    command.args(["doctor", "--store", "--data"]).arg(&config.data.dir);
    if let Some(file) = place.sources().file {
        command.arg("--config").arg(file);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(READING, command.output())
        .await
        .map_err(|_| other("the store could not be read within half an hour".to_owned()))?
        .map_err(|error| other(format!("cannot start another wharf: {error}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(judge(&words, output.status.code(), &config.data.dir))
}

/// What the process that read the store has said with its last words.
fn judge(words: &str, code: Option<i32>, dir: &Path) -> Unread {
    let said = words.lines().rev().find_map(|line| line.strip_prefix("wharf: "));
    match (said, said.and_then(|said| said.strip_prefix(DAMAGED))) {
        (Some(said), None) => Unread::Other(said.to_owned()),
        (_, what) => {
            let what = what.map_or_else(
                || {
                    code.map_or_else(
                        || "reading it was cut off".to_owned(),
                        |_| "reading it ends in a panic".to_owned(),
                    )
                },
                str::to_owned,
            );
            Unread::Damaged(format!(
                "the store in {0} is damaged: {what}. It was left as it is: move {0}/store away, keep it, and restore a backup \
                 with `wharf restore FILE`",
                dir.display()
            ))
        }
    }
}

fn folder(dir: &Path) -> Vec<Finding> {
    let Ok(found) = std::fs::metadata(dir) else {
        return vec![Good(format!(
            "there is no data folder {} yet; wharf makes it",
            dir.display()
        ))];
    };
    let mode = found.permissions().mode() & 0o777;
    let mut findings = vec![if mode & 0o077 == 0 {
        Good(format!("the data folder {} is for its owner alone", dir.display()))
    } else {
        Bad(format!(
            "the data folder {} is open to others (mode {mode:o}): chmod 700 it",
            dir.display()
        ))
    }];
    for name in ["store", "profiles", "media", "backups"] {
        let path = dir.join(name);
        if std::fs::metadata(&path).is_ok() && std::fs::read_dir(&path).is_err() {
            findings.push(Bad(format!(
                "{} cannot be read: give it to the user that runs wharf",
                path.display()
            )));
        }
    }
    findings.push(match store::room(dir) {
        Ok((Level::Enough, free, _)) => Good(format!("{} MiB are free on its disk", free >> 20)),
        Ok((Level::Low, free, kept)) => Doubtful(format!(
            "{} MiB are free on its disk; below {} MiB no new work is taken",
            free >> 20,
            kept >> 20
        )),
        Ok((Level::Full, free, kept)) => Bad(format!(
            "{} MiB are free on its disk, less than the {} MiB that are kept free: make room",
            free >> 20,
            kept >> 20
        )),
        Err(error) => Bad(error.to_string()),
    });
    findings
}

async fn running(client: &control::Client) -> Vec<Finding> {
    let answer = match client.store().await {
        Ok(answer) => answer,
        Err(error) => {
            return vec![Bad(format!(
                "the host that runs does not tell how its store is: {error}"
            ))];
        }
    };
    let text = |path: &str| answer.pointer(path).and_then(|value| value.as_str().map(str::to_owned));
    let number = |path: &str| answer.pointer(path).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let mut findings = vec![match text("/store/down") {
        None => Good(format!(
            "a host runs, and its store takes commits; the journal has {} events in {} MiB",
            number("/store/journal_next").saturating_sub(number("/store/journal_first")),
            number("/store/journal_bytes") >> 20
        )),
        Some(why) => Bad(format!("a host runs, and {why}")),
    }];
    findings.extend(text("/last_backup/error").map(|why| Bad(format!("the last backup failed: {why}"))));
    findings
}

async fn stopped(config: &Config, place: &Where) -> Finding {
    if !config.data.dir.join("store").exists() {
        return Good("there is no store yet".to_owned());
    }
    match store_of(config, place).await {
        Ok(read) => Good(format!("the store is whole: {read}")),
        Err(Unread::Damaged(why) | Unread::Other(why)) => Bad(why),
    }
}

fn backups(config: &Config) -> Finding {
    let Some(every) = config.backup.every else {
        return Doubtful("no backups are made: [backup] every = \"24h\" makes one a day".to_owned());
    };
    let dir = config.backup_dir();
    let age = store::backup::newest(&dir).and_then(|newest| newest.elapsed().ok());
    match age {
        None => Doubtful(format!("there is no backup in {} yet", dir.display())),
        Some(age) if age > every * 2 => Bad(format!(
            "the newest backup in {} is {} h old; the log says why",
            dir.display(),
            age.as_secs() / 3600
        )),
        Some(age) => Good(format!(
            "the newest backup in {} is {} h old",
            dir.display(),
            age.as_secs() / 3600
        )),
    }
}

async fn browser(config: &Config) -> Finding {
    let scratch = match scratch() {
        Ok(scratch) => scratch,
        Err(error) => return Bad(format!("cannot make a folder for a browser to try: {error}")),
    };
    let tried = page::try_browser(&config.browser, &scratch).await;
    // What a browser left there is of no use to anybody.
    std::fs::remove_dir_all(&scratch).ok();
    match tried {
        Ok(()) if config.browser.sandbox => Good("the browser starts, in its sandbox".to_owned()),
        Ok(()) => Doubtful("the browser starts, without its sandbox: for throw-away machines only".to_owned()),
        Err(why) => Bad(why),
    }
}

/// A folder that nobody else has made.
fn scratch() -> std::io::Result<PathBuf> {
    let scratch = std::env::temp_dir().join(format!("wharf-doctor-{}", ulid::Ulid::generate()));
    std::fs::DirBuilder::new().mode(0o700).create(&scratch)?;
    Ok(scratch)
}

fn library(config: &Config) -> Finding {
    match page::Library::read(&config.whatsapp.library) {
        Ok(_) => Good(format!("the in-page library is {}", config.whatsapp.library.display())),
        Err(error) => Bad(error.to_string()),
    }
}

fn port(config: &Config, runs: bool) -> Finding {
    let at = config.admin.listen;
    if !config.admin.enabled {
        return Good("the admin does not listen on a port".to_owned());
    }
    if runs {
        return Good("the host that runs has the admin's port".to_owned());
    }
    match TcpListener::bind(at).context("bind") {
        Ok(_) => Good(format!("the admin's port {at} is free")),
        Err(error) => Bad(format!(
            "the admin cannot have {at}: {:#}; [admin] listen takes another",
            error.root_cause()
        )),
    }
}

fn scripts(config: &Config) -> Finding {
    match script::check::check(&[], config).findings() {
        0 => Good("scripts and plugins have no mistakes that `wharf check` finds".to_owned()),
        found => Bad(format!("`wharf check` finds {found} mistakes in scripts and plugins")),
    }
}
