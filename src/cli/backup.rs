//! `wharf backup` and `wharf restore`.
//!
//! In: a file. Out: a backup in it, made by the host that runs or from the store of one that does not; or a data folder from it. Must
//! not write over a store, nor print a passphrase.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::Where;
use crate::admin::control;
use crate::config::{Config, Secret};
use crate::session;
use crate::store::Store;
use crate::store::backup::{self, Extra, Summary};

/// What is backed up.
#[derive(Args)]
pub(super) struct Backup {
    /// Where it goes; a file of that name is replaced when the new one is whole.
    file: PathBuf,
    /// With the accounts' browser profiles, so that they stay linked. A running account rests meanwhile, one at a time.
    #[arg(long)]
    profiles: bool,
    #[command(flatten)]
    place: Where,
}

/// What is restored.
#[derive(Args)]
pub(super) struct Restore {
    /// The backup.
    file: PathBuf,
    /// A file with the passphrase, if the backup is encrypted; without it, that of `[backup]`.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    place: Where,
}

pub(super) async fn back_up(wanted: Backup) -> anyhow::Result<ExitCode> {
    let config = wanted.place.sources().load()?;
    let file = std::path::absolute(&wanted.file)?;
    let made = match control::Client::connect(&config.data.dir.join("wharf.sock")).await {
        Some(client) => client.back_up(&file, wanted.profiles).await?,
        None => stopped(&config, &file, wanted.profiles).await?,
    };
    println!("{}", told(&file, &made));
    Ok(ExitCode::SUCCESS)
}

async fn stopped(config: &Config, file: &Path, profiles: bool) -> anyhow::Result<Summary> {
    let data = &config.data.dir;
    anyhow::ensure!(
        data.join("store").exists(),
        "there is no store in {}: nothing to back up",
        data.display()
    );
    let store = super::open(config).await?;
    let copies = backup::copies(data);
    let made = write(config, &store, file, profiles.then_some(&*copies)).await;
    backup::remove_copies(&copies).await;
    store.close().await?;
    made
}

async fn write(config: &Config, store: &Store, file: &Path, copies: Option<&Path>) -> anyhow::Result<Summary> {
    let data = &config.data.dir;
    let mut folders = vec![("media".to_owned(), data.join("media"))];
    if let Some(copies) = copies {
        folders.extend(session::copy_stopped(data, &store.accounts().await?, copies)?);
    }
    let extra = Extra {
        folders,
        passphrase: config.backup.passphrase.clone(),
    };
    Ok(store.backup(file, extra).await?)
}

pub(super) fn restore(wanted: &Restore) -> anyhow::Result<ExitCode> {
    let config = wanted.place.sources().load()?;
    let passphrase = match &wanted.passphrase_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        None => config.backup.passphrase.clone(),
    };
    let made = backup::restore(&wanted.file, &config.data.dir, passphrase.as_ref(), config.data.cache)?;
    println!("{} from {}", config.data.dir.display(), told(&wanted.file, &made));
    Ok(ExitCode::SUCCESS)
}

fn told(file: &Path, made: &Summary) -> String {
    let at = jiff::Timestamp::from_millisecond(made.made_at).map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"));
    format!(
        "{}: {} rows and {} files of {at}, {} KiB",
        file.display(),
        made.rows,
        made.files,
        made.bytes.div_ceil(1024)
    )
}
