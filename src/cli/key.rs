//! `wharf key`: keys for the admin.
//!
//! In: a name and scopes, or an id. Out: a key on stdout, shown once; a list. Must not print a key that was made before.

use std::process::ExitCode;

use clap::Subcommand;

use super::Where;
use crate::admin::{control, keys};
use crate::app;
use crate::config::Config;
use crate::store::Store;

/// What to do with them.
#[derive(Subcommand)]
pub(super) enum Command {
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

/// Keys are kept in the store: a running host is asked through its socket, else the store is opened here.
pub(super) async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let place = match &command {
        Command::New { place, .. } | Command::List(place) | Command::Revoke { place, .. } => place,
    };
    let config = place.sources().load()?;
    let keys = Keys::reach(&config).await?;
    match command {
        Command::New { name, scopes, .. } => println!("{}", keys.make(name, scopes).await?),
        Command::List(_) => {
            for key in keys.list().await? {
                println!("{}\t{}\t{}", key.id, key.scopes.join(","), key.name.unwrap_or_default());
            }
        }
        Command::Revoke { id, .. } => {
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
        Ok(Self::Stopped(super::open(config).await?))
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
