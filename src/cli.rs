//! The command line: what can be asked of the program, and its exit codes.
//!
//! In: arguments and environment. Out: answers on stdout, everything else on stderr; 0, 1 (a finding or failure), 2
//! (usage), 70 (wharf itself is broken), 78 (configuration). Must not hold logic that another caller could need.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::admin::{control, keys};
use crate::app::{self, App};
use crate::config::{self, Config, Sources};
use crate::script;
use crate::simulator;
use crate::store::Store;

mod dead;
mod demo;
mod plugin;
mod record;
mod repl;

/// `EX_CONFIG` of sysexits.h: the configuration must change before another start makes sense.
const EXIT_CONFIG: u8 = 78;

/// `EX_SOFTWARE`: wharf itself is broken.
const EXIT_SOFTWARE: u8 = 70;

/// A scriptable host for WhatsApp accounts.
#[derive(Parser)]
#[command(name = "wharf", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the host.
    Run(Where),
    /// Run the host and a simulated WhatsApp together, to try everything without a phone.
    Demo(demo::Options),
    /// Run the simulated WhatsApp alone.
    Simulate {
        /// Where it listens; its control API has no key, so keep it on loopback.
        #[arg(long, default_value = "127.0.0.1:7381")]
        listen: SocketAddr,
    },
    /// Check scripts and plugins without running them on events.
    Check {
        /// Files or folders; without any, those of the configuration.
        paths: Vec<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
    /// Run the tests of scripts and plugins (`*_test.lua`) in a simulated world.
    Test {
        /// Files or folders; without any, those of the configuration.
        paths: Vec<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
    /// Begin a script or a plugin, with a test.
    New {
        /// What to begin.
        what: Begin,
        /// Its name: of the file in scripts/, or of the folder in plugins/.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// Write the last events of the journal as a fixture for tests, with other numbers and names.
    Record(record::Record),
    /// Write files by which editors know the API: scripts/.types and .luarc.json.
    Types {
        /// The folder that the editor opens, with scripts/ in it; without it, that of the configuration.
        dir: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
    /// Type Lua into a running script or plugin; reads a pipe as well.
    Repl {
        /// The script's name, as `wharf check` and the page /scripts show it: bot for scripts/bot.lua.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// Add, list and remove plugins.
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
    /// List the runs of scripts that were given up, and start one again.
    Dead {
        #[command(subcommand)]
        command: dead::Command,
    },
    /// Make, list and revoke keys for the admin.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
}

/// What `wharf new` begins.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Begin {
    /// A file in scripts/, your own.
    Script,
    /// A folder in plugins/, made to be shared.
    Plugin,
}

/// Where configuration and data are.
#[derive(Args, Clone)]
struct Where {
    /// The configuration; without it, ./config.toml if there is one, else the built-in defaults.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The data folder, stronger than `[data] dir`.
    #[arg(long)]
    data: Option<PathBuf>,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a key; prints the key and nothing else. It is not shown again.
    New {
        /// What it is for.
        #[arg(long)]
        name: Option<String>,
        /// read, send, qr or admin; may be given several times.
        #[arg(long = "scope", default_value = "admin")]
        scopes: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
    /// List the keys, without the keys themselves.
    List(Where),
    /// Take a key out of use.
    Revoke {
        /// As listed.
        id: String,
        #[command(flatten)]
        place: Where,
    },
}

impl Where {
    fn sources(&self) -> Sources {
        let here = || Some(PathBuf::from("config.toml")).filter(|path| path.is_file());
        Sources {
            file: self.config.clone().or_else(here),
            environment: config::environment(),
            data: self.data.clone(),
        }
    }
}

/// Runs what the arguments ask for.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start the threads of the program")),
    };
    let outcome = runtime.block_on(run(arguments.command));
    // A blocking read that hangs on a dead disk must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    outcome.unwrap_or_else(|error| failed(&error))
}

/// The error with its causes, but for those that it names itself.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("wharf: {}", told(error));
    let configuration = error.downcast_ref::<config::Error>().is_some()
        || matches!(error.downcast_ref::<app::Error>(), Some(app::Error::Config(_)));
    if configuration {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(place) => {
            let app = App::start(place.sources()).await?;
            if let Some(address) = app.admin {
                eprintln!("wharf: the admin is at http://{address}/ (make a key with `wharf key new`)");
            }
            let outcome = until_over(&app).await;
            app.stop().await;
            outcome
        }
        Command::Demo(options) => demo::run(options).await,
        Command::Simulate { listen } => {
            let stop = CancellationToken::new();
            let running = simulator::serve(simulator::Options::new(listen), stop.clone()).await?;
            eprintln!(
                "wharf: phones at http://{0}/phones, the simulated WhatsApp Web at http://{0}/",
                running.addr
            );
            until_asked_to_stop().await?;
            stop.cancel();
            running.closed().await;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { paths, place } => {
            let config = place.sources().load()?;
            let report = script::check::check(&paths, &config);
            println!("{report}");
            Ok(if report.findings() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::Test { paths, place } => {
            let config = place.sources().load()?;
            let report = script::harness::test(&paths, &config);
            println!("{report}");
            Ok(if report.failed() == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
        Command::New { what, name, place } => begin(what, &name, &place),
        Command::Repl { name, place } => repl::run(&name, &place.sources().load()?).await,
        Command::Record(wanted) => record::run(wanted).await,
        Command::Types { dir, place } => types(dir, &place),
        Command::Plugin { command } => plugin::run(command),
        Command::Dead { command } => dead::run(command).await,
        Command::Key { command } => key(command).await,
    }
}

fn begin(what: Begin, name: &str, place: &Where) -> anyhow::Result<ExitCode> {
    let scripts = place.sources().load()?.scripts;
    let start = match what {
        Begin::Script => script::start::Start::Script,
        Begin::Plugin => script::start::Start::Plugin,
    };
    for file in script::start::start(start, name, &scripts.dir, &scripts.plugins)? {
        println!("{}", file.display());
    }
    if let Begin::Plugin = what {
        let folder = scripts.plugins.join(name);
        eprintln!(
            "wharf: to let it run, put a table [plugins.{name}] into config.toml and say: wharf plugin add --own {}",
            folder.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn types(dir: Option<PathBuf>, place: &Where) -> anyhow::Result<ExitCode> {
    let (root, scripts) = match dir {
        Some(dir) => (dir.clone(), dir.join("scripts")),
        None => {
            let scripts = place.sources().load()?.scripts.dir;
            (scripts.parent().map(Path::to_owned).unwrap_or_default(), scripts)
        }
    };
    let written = script::types::write(&root, &scripts)?;
    for file in written.files {
        println!("{}", file.display());
    }
    if let Some((file, wanted)) = written.left {
        eprintln!(
            "wharf: {} is not as wharf wrote it and was left; what belongs into it:\n{wanted}",
            file.display()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Until somebody asks it to stop, or it cannot go on.
async fn until_over(app: &App) -> anyhow::Result<ExitCode> {
    tokio::select! {
        asked = until_asked_to_stop() => asked.map(|()| ExitCode::SUCCESS),
        // Without it nothing can be kept, so nothing can go on; whoever started wharf starts it anew.
        () = app.store.stopped() => {
            eprintln!("wharf: the store's writer ended by itself (see the log); ending, so that wharf can be started anew");
            Ok(ExitCode::from(EXIT_SOFTWARE))
        }
    }
}

/// SIGTERM or SIGINT; a second one ends the program at once, which is safe by design.
async fn until_asked_to_stop() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    #[allow(
        clippy::disallowed_methods,
        reason = "it outlives every tracker: it ends the process"
    )]
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        eprintln!("wharf: asked twice, ending now");
        std::process::exit(1);
    });
    Ok(())
}

/// Keys are kept in the store: a running host is asked through its socket, else the store is opened here.
async fn key(command: KeyCommand) -> anyhow::Result<ExitCode> {
    let place = match &command {
        KeyCommand::New { place, .. } | KeyCommand::List(place) | KeyCommand::Revoke { place, .. } => place,
    };
    let config = place.sources().load()?;
    let keys = Keys::reach(&config).await?;
    match command {
        KeyCommand::New { name, scopes, .. } => println!("{}", keys.make(name, scopes).await?),
        KeyCommand::List(_) => {
            for key in keys.list().await? {
                println!("{}\t{}\t{}", key.id, key.scopes.join(","), key.name.unwrap_or_default());
            }
        }
        KeyCommand::Revoke { id, .. } => {
            anyhow::ensure!(keys.revoke(&id).await?, "there is no key {id}; see `wharf key list`");
        }
    }
    keys.leave().await?;
    Ok(ExitCode::SUCCESS)
}

enum Keys {
    Running(control::Client),
    Stopped(Store),
}

impl Keys {
    async fn reach(config: &Config) -> anyhow::Result<Self> {
        if let Some(client) = control::Client::connect(&config.data.dir.join("wharf.sock")).await {
            return Ok(Self::Running(client));
        }
        app::prepare(&config.data.dir)?;
        Ok(Self::Stopped(open(&config.data.dir, config.data.cache).await?))
    }

    async fn make(&self, name: Option<String>, scopes: Vec<String>) -> anyhow::Result<String> {
        Ok(match self {
            Self::Running(client) => client.make_key(name, scopes).await?,
            Self::Stopped(store) => keys::make(store, name, scopes).await?,
        })
    }

    async fn list(&self) -> anyhow::Result<Vec<keys::Listed>> {
        Ok(match self {
            Self::Running(client) => client.list_keys().await?,
            Self::Stopped(store) => keys::list(store).await?,
        })
    }

    async fn revoke(&self, id: &str) -> anyhow::Result<bool> {
        Ok(match self {
            Self::Running(client) => client.revoke_key(id).await?,
            Self::Stopped(store) => keys::revoke(store, id).await?,
        })
    }

    async fn leave(self) -> anyhow::Result<()> {
        if let Self::Stopped(store) = self {
            store.close().await?;
        }
        Ok(())
    }
}

async fn open(dir: &Path, cache: u64) -> anyhow::Result<Store> {
    let dir = dir.to_owned();
    Ok(tokio::task::spawn_blocking(move || Store::open(&dir, cache)).await??)
}
