//! Jobs: what scripts want to be told later, by due time.
//!
//! In: a run's `later`, in its one commit. Out: what is due; the commit that journals a job's event removes the job. Must not
//! know what a script does with it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store, ids};

/// The largest data of a job, in bytes of JSON.
pub const JOB_MAX: usize = 48 * 1024;

const PREFIX: &str = "job_";

/// A job to keep.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Whose: the script that is told.
    pub script: String,
    /// The event is `job.NAME`.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub due: i64,
    /// The event's data, at most [`JOB_MAX`] bytes.
    pub data: Map<String, Value>,
}

/// A job that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// `job_` and a ULID.
    pub id: String,
    /// Whose.
    pub script: String,
    /// The event is `job.NAME`.
    pub name: String,
    /// When, in milliseconds since 1970.
    pub due: i64,
    /// The event's data.
    pub data: Map<String, Value>,
}

/// Keeps the jobs of a batch.
pub(super) fn stage(layer: &mut Layer<'_>, jobs: Vec<NewJob>, done: &[Job], now: i64) -> Result<(), Error> {
    for job in done {
        layer.delete(row(job)?)?;
    }
    for NewJob {
        script,
        name,
        due,
        data,
    } in jobs
    {
        let size = serde_json::to_vec(&data).map_or(usize::MAX, |data| data.len());
        if size > JOB_MAX {
            return Err(Error::TooLarge {
                what: format!("the data of the job `{}`, in bytes,", name.escape_debug()),
                size,
                limit: JOB_MAX,
            });
        }
        let job = Job {
            id: ids::text(PREFIX, layer.head.ids.next(now)?),
            script,
            name,
            due,
            data,
        };
        layer.put(row(&job)?, &job)?;
    }
    Ok(())
}

fn row(job: &Job) -> Result<Vec<u8>, Error> {
    let id = ids::parse(PREFIX, &job.id).ok_or_else(|| Error::corrupt(format!("a job's id is `{}`", job.id)))?;
    Ok(layout::by_due(Table::Jobs, job.due, id))
}

impl Store {
    /// The jobs that wait, by due time, at most `limit`; also those whose time has not come.
    pub async fn jobs(&self, limit: usize) -> Result<Vec<Job>, Error> {
        // A commit is visible to readers a moment before it is durable.
        let durable = self.durable_id();
        self.read(move |disk| {
            let mut found = Vec::new();
            for row in disk.scan(&Table::Jobs.prefix()) {
                if found.len() >= limit {
                    break;
                }
                let (key, payload) = row?;
                if layout::ulid_of(&key)? <= durable {
                    found.push(super::record::from_json(&key, &payload)?);
                }
            }
            Ok(found)
        })
        .await
    }
}
