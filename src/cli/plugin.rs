//! `wharf plugin`: shows a plugin of others and asks before it may run.
//!
//! In: a folder or a name, a yes or no from the terminal. Out: `plugins.lock` and the plugins' folder as they are then. Must
//! not decide what a plugin may do: its manifest says it, and the host holds it to that.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::Where;
use crate::script::plugins;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show what a plugin is and may do; let it run if that is accepted.
    Add {
        /// Its folder; one that is not in the plugins' folder is copied there.
        path: PathBuf,
        /// Accept it without being asked, also in place of another one of the same name.
        #[arg(long)]
        yes: bool,
        /// It is yours: what is changed in its folder from now on is in force at once.
        #[arg(long)]
        own: bool,
        #[command(flatten)]
        place: Where,
    },
    /// List the plugins and how each stands.
    List(Where),
    /// Take back that a plugin may run; its folder is left.
    Remove {
        /// As listed.
        name: String,
        #[command(flatten)]
        place: Where,
    },
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Add { path, yes, own, place } => {
            let scripts = place.sources().load()?.scripts;
            let offer = plugins::offer(&path, &scripts)?;
            println!("{offer}");
            if !yes {
                offer.check_place()?;
                if !asked(own)? {
                    println!("nothing was changed");
                    return Ok(ExitCode::FAILURE);
                }
            }
            let (name, enabled) = (offer.name().to_owned(), offer.is_enabled());
            offer.accept(own)?;
            match enabled {
                true => println!("{name} was added"),
                false => println!("{name} was added; it runs when config.toml has a table [plugins.{name}]"),
            }
        }
        Command::List(place) => {
            for plugin in plugins::list(&place.sources().load()?.scripts)? {
                println!("{}\t{}\t{}", plugin.name, plugin.version, plugin.stands);
            }
        }
        Command::Remove { name, place } => {
            plugins::remove_pin(&name, &place.sources().load()?.scripts)?;
            println!("{name} does not run any more; its folder is left");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn asked(own: bool) -> anyhow::Result<bool> {
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "there is no terminal to ask on; look at the plugin, then say --yes"
    );
    match own {
        true => print!("Let it run, with whatever is in its folder from now on? (y/N) "),
        false => print!("Let it run? (y/N) "),
    }
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
