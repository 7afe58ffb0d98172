//! How far each script is: its position, failed runs, dead runs, and what the gates said.
//!
//! In: a run's one commit. Out: what is still to do after a start. Must not know what a run does.

use serde::{Deserialize, Serialize};

use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store};

/// A run that failed and waits for another try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRun {
    /// Tries so far.
    pub tries: u32,
    /// When the next one is due, in milliseconds since 1970.
    pub due: i64,
    /// What the last one failed with.
    pub error: String,
}

/// A run that was given up; kept for 15 days, as long as the intents by which it would not send twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRun {
    /// Its id, made by the one who gives it up.
    pub id: String,
    /// Whose run.
    pub script: String,
    /// The event's journal offset.
    pub offset: u64,
    /// The event's id.
    pub event_id: String,
    /// What it failed with.
    pub error: String,
    /// When it was given up, in milliseconds since 1970.
    pub at: i64,
}

/// What the gates said of an event. Swept once every position has passed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The gate that stopped it.
    pub stopped_by: Option<String>,
    /// Gates that have ended already.
    pub done: Vec<String>,
}

/// Writes what runs of a batch leave behind.
pub(super) fn stage(
    layer: &mut Layer<'_>,
    positions: &[(String, super::Position)],
    tries: &[(String, u64, Option<FailedRun>)],
    (dead_runs, revived): (&[DeadRun], &[String]),
    verdicts: &[(u64, Verdict)],
) -> Result<(), Error> {
    for (script, finished) in positions {
        let key = Table::Positions.named(script)?;
        let kept = layer.get::<super::Position>(&key)?;
        let position = kept.map_or_else(
            || finished.clone(),
            |mut kept| {
                kept.merge(finished);
                kept
            },
        );
        layer.put(key, &position)?;
    }
    for (script, offset, run) in tries {
        layer.put_or_delete(Table::FailedRuns.owned(script, &offset.to_be_bytes())?, run.as_ref())?;
    }
    for run in dead_runs {
        layer.put(Table::DeadRuns.named(&run.id)?, run)?;
    }
    for id in revived {
        layer.delete(Table::DeadRuns.named(id)?)?;
    }
    for (offset, verdict) in verdicts {
        layer.put(Table::Verdicts.numbered(*offset), verdict)?;
    }
    Ok(())
}

impl Store {
    /// A script's position; `None` for one that never had one.
    pub async fn position(&self, script: &str) -> Result<Option<super::Position>, Error> {
        let key = Table::Positions.named(script)?;
        self.read(move |disk| disk.get(&key)).await
    }

    /// A script's failed runs that wait for another try, by journal offset.
    pub async fn tries(&self, script: &str) -> Result<Vec<(u64, FailedRun)>, Error> {
        let prefix = Table::FailedRuns.of(script)?;
        self.read(move |disk| {
            disk.scan(&prefix)
                .map(|row| {
                    let (key, payload) = row?;
                    Ok((layout::number_of(&key)?, super::record::from_json(&key, &payload)?))
                })
                .collect()
        })
        .await
    }

    /// All runs that were given up, by id.
    pub async fn dead_runs(&self) -> Result<Vec<DeadRun>, Error> {
        self.read(|disk| disk.all(&Table::DeadRuns.prefix())).await
    }

    /// What the gates have said of the event at this offset.
    pub async fn verdict(&self, offset: u64) -> Result<Option<Verdict>, Error> {
        let key = Table::Verdicts.numbered(offset);
        self.read(move |disk| disk.get(&key)).await
    }
}
