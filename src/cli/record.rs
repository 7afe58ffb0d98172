//! `wharf record`: the last events of the journal as a fixture for tests.
//!
//! In: how many, of which names. Out: a JSON file beside the scripts, with other numbers and names. Must not overwrite a file.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::Where;
use crate::admin::control;
use crate::config::Config;
use crate::event::Event;
use crate::script::{anonymous, last_events};
use crate::store::Store;

/// What is recorded.
#[derive(Args)]
pub(super) struct Record {
    /// The file's name: NAME for scripts/fixtures/NAME.json, which `bot:replay("fixtures/NAME.json")` plays in a test.
    name: String,
    /// How many events, the last ones.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    last: u16,
    /// Only events of this name, such as `message`; may be given several times.
    #[arg(long = "event")]
    events: Vec<String>,
    #[command(flatten)]
    place: Where,
}

pub(super) async fn run(record: Record) -> anyhow::Result<ExitCode> {
    let config = record.place.sources().load()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    anyhow::ensure!(
        !record.name.is_empty() && record.name.chars().all(plain),
        "'{}' is no name of a fixture: use letters, digits, - and _",
        record.name
    );
    let folder = config.scripts.dir.join("fixtures");
    let file = folder.join(format!("{}.json", record.name));
    anyhow::ensure!(
        !file.exists(),
        "{} is there already; choose another name",
        file.display()
    );
    let events = anonymous(&recorded(&config, record.last, &record.events).await?);
    anyhow::ensure!(!events.is_empty(), "the journal holds no such event");
    std::fs::create_dir_all(&folder)?;
    // Whoever was faster is not overwritten.
    let mut open = std::fs::OpenOptions::new().write(true).create_new(true).open(&file)?;
    serde_json::to_writer_pretty(&mut open, &events)?;
    writeln!(open)?;
    println!("{}", file.display());
    eprintln!(
        "wharf: {} events; numbers of five digits and more and the names of senders are others, texts are as they were: look \
         through them before you share the file",
        events.len()
    );
    Ok(ExitCode::SUCCESS)
}

/// The last events, oldest first.
async fn recorded(config: &Config, last: u16, names: &[String]) -> anyhow::Result<Vec<Event>> {
    let socket = config.data.dir.join("wharf.sock");
    if let Some(client) = control::Client::connect(&socket).await {
        return Ok(client.last_events(last, names).await?);
    }
    anyhow::ensure!(
        config.data.dir.exists(),
        "there is no data folder {}",
        config.data.dir.display()
    );
    let store: Store = super::open(config).await?;
    let events = last_events(&store, usize::from(last), names).await;
    store.close().await?;
    Ok(events?)
}
