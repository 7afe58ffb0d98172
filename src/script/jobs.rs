//! Tells scripts of their jobs when they are due: each becomes an event in the commit that removes it.
//!
//! In: the store's jobs. Out: events `job.NAME`, for the script that asked for them. What became due while the host was down is
//! told when it is back. Must not know a script.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Draft, Kind, Origin};
use crate::store::{Batch, Job, NewEvent};

use super::live::now;
use super::shared::Shared;

/// Jobs in one commit: with large data, some of the size of a large event each.
const AT_ONCE: usize = 16;
/// The clock is looked at this often at least: the machine may have slept, or somebody has set it.
const LOOK: Duration = Duration::from_secs(60);
/// Wait before the store is asked again when it is out of service.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The field of a job's event that names the script that is told.
pub(crate) const OWNER: &str = "script";

/// Works until the host stops.
pub(crate) async fn run(shared: Arc<Shared>) {
    tokio::select! {
        () = work(&shared) => {}
        () = shared.stop.cancelled() => {}
    }
}

async fn work(shared: &Shared) {
    let mut changed = shared.store.jobs_changed();
    loop {
        changed.mark_unchanged();
        let wait = match tell(shared).await {
            Ok(next) => next.map_or(LOOK, |due| {
                let wait = u64::try_from(due.saturating_sub(now())).unwrap_or(0);
                Duration::from_millis(wait).min(LOOK)
            }),
            Err(error) => {
                tracing::error!(target: "wharf::script", "jobs wait for the store: {error}");
                STORE_PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            gone = changed.changed() => if gone.is_err() {
                return;
            }
        }
    }
}

/// Journals what is due, and answers when the next one is.
async fn tell(shared: &Shared) -> Result<Option<i64>, crate::store::Error> {
    loop {
        let (now, jobs) = (now(), shared.store.jobs(AT_ONCE).await?);
        let next = jobs.iter().map(|job| job.due).find(|due| *due > now);
        let due: Vec<Job> = jobs.into_iter().filter(|job| job.due <= now).collect();
        if due.is_empty() {
            return Ok(next);
        }
        let events = due.iter().map(|job| NewEvent::from(event(job))).collect();
        let batch = Batch {
            events,
            jobs_done: due,
            ..Batch::default()
        };
        shared.store.commit(batch).await?;
    }
}

/// The event of a job. Its time is when it was due.
pub(crate) fn event(job: &Job) -> Draft {
    let mut data = job.data.clone();
    data.insert(OWNER.to_owned(), job.script.as_str().into());
    Draft {
        event: Kind::Job(job.name.clone()),
        account: None,
        timestamp: job.due,
        origin: Origin::Live,
        data,
    }
}
