//! `wharf dead`: runs of scripts that were given up.
//!
//! In: a script's name, the id of a run. Out: a list on stdout; a run that is started again in the running host. The list is read
//! from the store where no host runs. Must not run a script itself.

use std::process::ExitCode;

use clap::Subcommand;

use super::Where;
use crate::admin::control;
use crate::config::Config;
use crate::script::{self, DeadView};
use crate::store::Store;

/// What to do with them.
#[derive(Subcommand)]
pub(super) enum Command {
    /// List them, the newest first: id, time, script, event, chat, and what it failed with.
    List {
        /// Only those of this script.
        script: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Start one again, once, in the running host; what it has sent before is not sent again.
    Run {
        /// Its id, as `wharf dead list` shows it.
        id: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List { script, place } => {
            let mut runs = list(&place.sources().load()?).await?;
            runs.retain(|run| script.as_ref().is_none_or(|script| run.script == *script));
            for run in &runs {
                println!("{}", line(run));
            }
            if runs.is_empty() {
                eprintln!("wharf: there are no dead runs");
            }
        }
        Command::Run { id, place } => {
            let config = place.sources().load()?;
            let socket = config.data.dir.join("wharf.sock");
            let Some(client) = control::Client::connect(&socket).await else {
                anyhow::bail!(
                    "no host runs with the data in {}; start it with `wharf run`",
                    config.data.dir.display()
                );
            };
            client.run_dead(&id).await?;
            println!("{id} has ended well");
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(config: &Config) -> anyhow::Result<Vec<DeadView>> {
    let socket = config.data.dir.join("wharf.sock");
    if let Some(client) = control::Client::connect(&socket).await {
        return Ok(client.dead_runs().await?);
    }
    anyhow::ensure!(
        config.data.dir.exists(),
        "there is no data folder {}",
        config.data.dir.display()
    );
    let store: Store = super::open(config).await?;
    let runs = script::dead_runs(&store, None).await;
    store.close().await?;
    Ok(runs?)
}

fn line(run: &DeadView) -> String {
    let at = jiff::Timestamp::from_millisecond(run.at).map_or_else(
        |_| run.at.to_string(),
        |at| {
            let local = jiff::tz::TimeZone::system().to_datetime(at);
            local.strftime("%F %T").to_string()
        },
    );
    let of = run.event.as_deref().unwrap_or("an event that is gone");
    let chat = run
        .chat
        .as_deref()
        .map(|chat| format!(" of {chat}"))
        .unwrap_or_default();
    format!("{}\t{at}\t{}\t{of}{chat}\t{}", run.id, run.script, run.error)
}
