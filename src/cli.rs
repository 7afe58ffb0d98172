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

use crate::app::{self, App};
use crate::config::{self, Sources};
use crate::script;
use crate::simulator;
use crate::store::{self, Store};

mod backup;
mod dead;
mod demo;
mod doctor;
mod key;
mod plugin;
mod record;
mod repl;

/// `EX_CONFIG` of sysexits.h: the configuration, or wharf itself, must change before another start makes sense.
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
    /// Look whether everything that wharf needs is there and whole, and say what to do where it is not.
    Doctor(doctor::Options),
    /// Write a backup of the store, of a running host or a stopped one.
    Backup(backup::Backup),
    /// Make the data folder of a backup.
    Restore(backup::Restore),
    /// Make, list and revoke keys for the admin.
    Key {
        #[command(subcommand)]
        command: key::Command,
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
    let newer = |error: &store::Error| matches!(error, store::Error::NewerSchema { .. });
    let configuration = error.downcast_ref::<config::Error>().is_some()
        || error.downcast_ref::<store::Error>().is_some_and(newer)
        || match error.downcast_ref::<app::Error>() {
            Some(app::Error::Config(_)) => true,
            Some(app::Error::Store(error)) => newer(error),
            _ => false,
        };
    if configuration {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(place) => {
            doctor::after_unclean_end(&place).await?;
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
        Command::Doctor(options) => doctor::run(options).await,
        Command::Backup(wanted) => backup::back_up(wanted).await,
        Command::Restore(wanted) => backup::restore(&wanted),
        Command::Key { command } => key::run(command).await,
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

/// Opens the store of a stopped host, as the host would: what it keeps must not go because a command looks at it.
async fn open(config: &config::Config) -> anyhow::Result<Store> {
    let (dir, options) = (config.data.dir.clone(), app::store_options(config));
    Ok(tokio::task::spawn_blocking(move || Store::open_with(&dir, &options)).await??)
}
