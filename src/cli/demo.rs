//! `wharf demo`: host and simulated WhatsApp in one process, in a folder of its own, with everything ready to try.
//!
//! In: options. Out: a running pair and a page of instructions. Must not change the user's own data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::admin::keys;
use crate::app::App;
use crate::config::{self, Sources};
use crate::simulator;

/// Written into the demo's folder, so that only a folder that the demo made is ever emptied.
const MARK: &str = ".wharf-demo";

/// The phone that gets linked.
const SHOP: (&str, &str) = ("491700000001", "Shop");
/// The phone that writes to it.
const ANNA: (&str, &str) = ("491700000002", "Anna");

/// What can be chosen.
#[derive(Args)]
pub(super) struct Options {
    /// The configuration; without it, ./config.toml if there is one, else the built-in defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The demo's own data folder, emptied at each start.
    #[arg(long, default_value = "demo-data")]
    data: PathBuf,
    /// Where the simulated WhatsApp listens; loopback only.
    #[arg(long, default_value = "127.0.0.1:7381")]
    phones: SocketAddr,
}

pub(super) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    start_afresh(&options.data)?;
    let stop = CancellationToken::new();
    let running = simulator::serve(simulator::Options::new(options.phones), stop.clone()).await?;
    for (number, name) in [SHOP, ANNA] {
        running.add_phone(number, name)?;
    }
    let app = App::start(sources(&options, running.addr)).await?;
    app.sessions
        .create(Some("demo".parse()?), Some("Demo".to_owned()))
        .await?;
    let key = keys::make(&app.store, Some("demo".to_owned()), vec!["admin".to_owned()]).await?;
    instruct(app.admin, running.addr, &key, &app.config.current().scripts.dir);
    super::until_asked_to_stop().await?;
    app.stop().await;
    stop.cancel();
    running.closed().await;
    Ok(ExitCode::SUCCESS)
}

/// The simulated WhatsApp forgets its links when it ends, so the demo's data would be of no use the next time.
fn start_afresh(dir: &Path) -> anyhow::Result<()> {
    if dir.exists() {
        let empty = dir.read_dir().is_ok_and(|mut entries| entries.next().is_none());
        anyhow::ensure!(
            empty || dir.join(MARK).is_file(),
            "{} was not made by the demo; choose another folder with --data",
            dir.display()
        );
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot empty the demo's folder {}", dir.display()))?;
    }
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(dir.join(MARK), "made by `wharf demo`, emptied at each start\n"))
        .with_context(|| format!("cannot make the demo's folder {}", dir.display()))
}

fn sources(options: &Options, simulator: SocketAddr) -> Sources {
    let here = || Some(PathBuf::from("config.toml")).filter(|path| path.is_file());
    let set = |name: &str, value: String| (name.to_owned(), value);
    let mut environment = config::environment();
    environment.insert(0, set("WHARF_WHATSAPP__URL", format!("http://{simulator}/")));
    if rustix::process::geteuid().is_root() {
        eprintln!(
            "wharf: running as root, so the demo's browser runs without its sandbox; it sees nothing but the demo"
        );
        environment.insert(0, set("WHARF_BROWSER__SANDBOX", "false".to_owned()));
    }
    Sources {
        file: options.config.clone().or_else(here),
        environment,
        data: Some(options.data.clone()),
    }
}

fn instruct(admin: Option<SocketAddr>, phones: SocketAddr, key: &str, scripts: &Path) {
    let admin = admin.map_or_else(
        || "off ([admin] enabled = false)".to_owned(),
        |address| format!("http://{address}/"),
    );
    println!(
        "
  Admin    {admin}
  Key      {key}
  Phones   http://{phones}/phones

  1. Open the admin, sign in with the key and open the account `demo`: its QR code is waiting.
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
