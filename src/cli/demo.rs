//! `wharf demo`: host and simulated WhatsApp in one process, in a folder of its own, with everything ready to try.
//!
//! In: options. Out: a running pair and a page of instructions. Must not change the user's own data, and must not run the
//! user's configuration: an endpoint or an account that is declared there is real.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::admin::keys;
use crate::app::{self, App};
use crate::config::{self, Sources};
use crate::event::AccountId;
use crate::{page, session, simulator, store};

/// Written into the demo's folder, so that only a folder that the demo made is ever emptied.
const MARK: &str = ".wharf-demo";

/// The account that waits to be linked.
const ACCOUNT: &str = "demo";
/// The phone that gets linked.
const SHOP: (&str, &str) = ("491700000001", "Shop");
/// The phone that writes to it.
const ANNA: (&str, &str) = ("491700000002", "Anna");

/// What of the environment the demo follows: where its parts are on this machine, and what it logs.
const FOLLOWED: [&str; 4] = [
    "WHARF_BROWSER__",
    "WHARF_LOG__",
    "WHARF_SCRIPTS__",
    "WHARF_WHATSAPP__LIBRARY",
];

/// What can be chosen.
#[derive(Args)]
pub(super) struct Options {
    /// The demo's own data folder, emptied at each start.
    #[arg(long, default_value = "demo-data")]
    data: PathBuf,
    /// Where the demo's admin listens; loopback only.
    #[arg(long, default_value = "127.0.0.1:7380")]
    admin: SocketAddr,
    /// Where the simulated WhatsApp listens; loopback only.
    #[arg(long, default_value = "127.0.0.1:7381")]
    phones: SocketAddr,
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let stop = CancellationToken::new();
    let running = simulator::serve(simulator::Options::new(options.phones), stop.clone()).await?;
    let outcome = show(&options, &running).await;
    stop.cancel();
    running.closed().await;
    outcome
}

async fn show(options: &Options, simulator: &simulator::Running) -> anyhow::Result<ExitCode> {
    for (number, name) in [SHOP, ANNA] {
        simulator.add_phone(number, name)?;
    }
    start_afresh(&options.data).await?;
    let app = App::start(sources(options, simulator.addr)).await?;
    let outcome = present(&app, simulator.addr).await;
    app.stop().await;
    outcome
}

async fn present(app: &App, phones: SocketAddr) -> anyhow::Result<ExitCode> {
    app.sessions
        .create(Some(ACCOUNT.parse()?), Some("Demo".to_owned()))
        .await?;
    let key = keys::make(&app.store, Some("demo".to_owned()), vec!["admin".to_owned()]).await?;
    instruct(app.admin, phones, &key, &app.config.current().scripts.dir);
    super::until_over(app).await
}

/// The simulated WhatsApp forgets its links when it ends, so the demo's data would be of no use the next time. The folder is
/// emptied under its lock, so a demo at work keeps it, and after the browsers of one that was killed have ended: what tells
/// them apart lies in it.
async fn start_afresh(dir: &Path) -> anyhow::Result<()> {
    let made = || format!("cannot make the demo's folder {}", dir.display());
    if dir.exists() {
        let empty = dir.read_dir().is_ok_and(|mut entries| entries.next().is_none());
        anyhow::ensure!(
            empty || dir.join(MARK).is_file(),
            "{} was not made by the demo; choose another folder with --data",
            dir.display()
        );
    }
    app::prepare(dir)?;
    std::fs::write(dir.join(MARK), "made by `wharf demo`, emptied at each start\n").with_context(made)?;
    let _lock = store::lock_folder(dir)?;
    end_leftovers(&dir.join(session::PROFILES)).await?;
    empty(dir).with_context(|| format!("cannot empty the demo's folder {}", dir.display()))
}

/// Ends what a demo that was killed left running.
async fn end_leftovers(profiles: &Path) -> anyhow::Result<()> {
    let Ok(entries) = profiles.read_dir() else {
        return Ok(());
    };
    let account: AccountId = ACCOUNT.parse()?;
    for entry in entries {
        page::Tab::end_leftover(&account, &entry?.path()).await?;
    }
    Ok(())
}

fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in dir.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        if name == MARK || name == store::LOCK_FILE {
            continue;
        }
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The built-in defaults with what is the demo's own: scripts and plugins are those of the current folder, nothing else is.
fn sources(options: &Options, simulator: SocketAddr) -> Sources {
    let set = |name: &str, value: String| (name.to_owned(), value);
    let mut environment = vec![
        set("WHARF_WHATSAPP__URL", format!("http://{simulator}/")),
        set("WHARF_ADMIN__ENABLED", "true".to_owned()),
        set("WHARF_ADMIN__LISTEN", options.admin.to_string()),
    ];
    if rustix::process::geteuid().is_root() {
        eprintln!(
            "wharf: running as root, so the demo's browser runs without its sandbox; it sees nothing but the demo"
        );
        environment.push(set("WHARF_BROWSER__SANDBOX", "false".to_owned()));
    }
    let followed = config::environment()
        .into_iter()
        .filter(|(name, _)| FOLLOWED.iter().any(|prefix| name.starts_with(prefix)));
    environment.extend(followed);
    Sources {
        file: None,
        environment,
        data: Some(options.data.clone()),
    }
}

fn instruct(admin: Option<SocketAddr>, phones: SocketAddr, key: &str, scripts: &Path) {
    let admin = admin.map(|address| format!("http://{address}/")).unwrap_or_default();
    println!(
        "
  Admin    {admin}
  Key      {key}
  Phones   http://{phones}/phones

  1. Open the admin, sign in with the key and open the account `{ACCOUNT}`: its QR code is waiting.
  2. On the phones page, let the phone `{}` scan the code.
  3. As `{}`, write \"price\" to {} ({}): the answer comes from {}/price.lua.
  4. Edit that file, save, write again: the new answer comes at once.

  Ctrl-C ends the demo.
",
        SHOP.1,
        ANNA.1,
        SHOP.1,
        SHOP.0,
        scripts.display(),
    );
}
