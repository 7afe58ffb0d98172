//! Keeps the outbox within its bounds: what waits for one endpoint, how old it gets, and how many dead letters are kept.
//!
//! In: how much there is. Out: jobs ([`Job`]) that run beside the deliveries, one at a time, in two steps: what is to go is
//! looked for, the dispatcher lets go of it, then it is committed. Must not touch what is being tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::carry::{concerns, dead_event, too_old};
use super::clock::millis;
use super::{Work, schedule};
use crate::store::{BACKLOG_BYTES, BACKLOG_COUNT, Batch, Delivery, Error, Held, NewEvent, OutboxChange, Share};

/// Deliveries that may wait for one endpoint, and bytes of their bodies. Beyond, its oldest become dead letters, so that one
/// dead endpoint never stalls the rest.
const SHARE: Share = Share {
    waiting: 100_000,
    bytes: 256 << 20,
};

/// How far an endpoint over its share is cut down, in percent of it: a burst, and one event, for thousands of deliveries.
const CUT_TO: u64 = 95;

/// At this part of a bound a warning is logged, in percent; once, until there is less than `CALM` percent again.
const WARN: u64 = 80;
const CALM: u64 = 70;

/// Dead letters that are kept, bytes of their bodies, and for how long, in milliseconds.
const LETTERS: u64 = 100_000;
const LETTERS_BYTES: u64 = 1 << 30;
const LETTERS_AGE: i64 = 30 * 24 * 60 * 60 * 1000;

/// Rows read at a time.
pub(super) const PAGE: usize = 500;

/// Changes in one commit: each has up to five rows.
const CHANGES: usize = 20;

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// So much is over an endpoint's share.
    Cut { endpoint: String, excess: Share },
    /// Give up what is older than four days.
    Expire,
    /// Drop dead letters that are too old or too many.
    Letters,
}

/// What a job's step came to.
pub(super) enum Step {
    /// These are to be given up.
    Found(Vec<Delivery>, Why),
    /// These are out of the outbox, but those of the endpoints for which the store failed.
    Buried(Vec<Delivery>, BTreeSet<String>),
    /// Nothing is left to do.
    Done,
}

/// Why deliveries are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    OverShare,
    Age,
}

/// What is over an endpoint's share, down to where it is cut; `None` within the share.
fn excess(share: Share) -> Option<Share> {
    let over = share.waiting > SHARE.waiting || share.bytes > SHARE.bytes;
    over.then(|| Share {
        waiting: share.waiting.saturating_sub(SHARE.waiting * CUT_TO / 100),
        bytes: share.bytes.saturating_sub(SHARE.bytes * CUT_TO / 100),
    })
}

/// What has been warned of, and from where an endpoint's oldest are looked for.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    warned: BTreeSet<String>,
    /// Ids before which nothing waits for an endpoint but what was being tried.
    from: BTreeMap<String, String>,
}

impl Bounds {
    /// Looks at how much there is; warns, and says what is to be done.
    pub(super) fn look(&mut self, held: Held, shares: &BTreeMap<String, Share>) -> Vec<Job> {
        let all = Share {
            waiting: held.waiting,
            bytes: held.bytes,
        };
        let bound = Share {
            waiting: BACKLOG_COUNT,
            bytes: BACKLOG_BYTES,
        };
        if self.is_news("", all, bound) {
            tracing::warn!(
                waiting = all.waiting,
                bytes = all.bytes,
                "the outbox is filling up: at {BACKLOG_COUNT} deliveries or {BACKLOG_BYTES} bytes, runs that post wait"
            );
        }
        let mut jobs = Vec::new();
        for (name, share) in shares {
            if self.is_news(name, *share, SHARE) {
                tracing::warn!(
                    endpoint = name,
                    waiting = share.waiting,
                    bytes = share.bytes,
                    "much waits for it: beyond {} deliveries or {} bytes, the oldest are given up",
                    SHARE.waiting,
                    SHARE.bytes
                );
            }
            if let Some(excess) = excess(*share) {
                let endpoint = name.clone();
                jobs.push(Job::Cut { endpoint, excess });
            }
            if share.waiting == 0 {
                self.from.remove(name);
            }
        }
        if held.dead > LETTERS || held.dead_bytes > LETTERS_BYTES {
            jobs.push(Job::Letters);
        }
        jobs
    }

    fn is_news(&mut self, name: &str, share: Share, bound: Share) -> bool {
        let above =
            |percent| share.waiting * 100 >= bound.waiting * percent || share.bytes * 100 >= bound.bytes * percent;
        if above(WARN) {
            self.warned.insert(name.to_owned())
        } else {
            if !above(CALM) {
                self.warned.remove(name);
            }
            false
        }
    }

    /// Where to look for an endpoint's oldest.
    pub(super) fn from(&self, endpoint: &str) -> Option<String> {
        self.from.get(endpoint).cloned()
    }

    /// All that waited for an endpoint up to this id is given up.
    pub(super) fn passed(&mut self, endpoint: &str, id: &str) {
        self.from.insert(endpoint.to_owned(), id.to_owned());
    }

    /// Older ids may wait again for an endpoint.
    pub(super) fn look_from_the_start(&mut self, endpoint: &str) {
        self.from.remove(endpoint);
    }
}

/// A job's first step.
pub(super) async fn find(work: Arc<Work>, job: Job, from: Option<String>) -> Step {
    let found = match job {
        Job::Cut { endpoint, excess } => oldest(&work, &endpoint, excess, from)
            .await
            .map(|found| Step::Found(found, Why::OverShare)),
        Job::Expire => expired(&work).await.map(|found| Step::Found(found, Why::Age)),
        Job::Letters => drop_letters(&work).await.map(|()| Step::Done),
    };
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "the outbox could not be kept within its bounds now");
        Step::Done
    })
}

async fn oldest(work: &Work, endpoint: &str, excess: Share, from: Option<String>) -> Result<Vec<Delivery>, Error> {
    let (mut after, mut found, mut sum) = (from, Vec::new(), Share::default());
    loop {
        let rows = work.deps.store.deliveries_after(after.as_deref(), PAGE).await?;
        let Some(last) = rows.last() else { return Ok(found) };
        after = Some(last.id.clone());
        for row in rows.into_iter().filter(|row| row.endpoint == endpoint) {
            if sum.waiting >= excess.waiting && sum.bytes >= excess.bytes {
                return Ok(found);
            }
            sum.waiting += 1;
            sum.bytes += u64::from(row.size);
            found.push(row);
        }
    }
}

/// A page of those that are too old. Ids rise with time, so they lie first.
async fn expired(work: &Work) -> Result<Vec<Delivery>, Error> {
    let rows = work.deps.store.deliveries_after(None, PAGE).await?;
    let before = work.deps.clock.now().saturating_sub(millis(schedule::OLDEST));
    Ok(rows.into_iter().filter(|row| row.created_at < before).collect())
}

async fn drop_letters(work: &Work) -> Result<(), Error> {
    let store = &work.deps.store;
    let (held, _) = store.backlog().await?;
    let (mut count, mut bytes) = (held.dead, held.dead_bytes);
    let before = work.deps.clock.now().saturating_sub(LETTERS_AGE);
    let (mut after, mut dropped) = (None, 0);
    loop {
        let letters = store.dead_letters_after(after.as_deref(), PAGE).await?;
        let Some(last) = letters.last() else { break };
        after = Some(last.delivery.id.clone());
        let mut changes = Vec::new();
        for letter in letters {
            let too_many = count > LETTERS || bytes > LETTERS_BYTES;
            if letter.at < before || too_many {
                count = count.saturating_sub(1);
                bytes = bytes.saturating_sub(u64::from(letter.delivery.size));
                changes.push(OutboxChange::Forget(letter.delivery.id));
            }
        }
        dropped += changes.len();
        for chunk in changes.chunks(CHANGES) {
            let outbox = chunk.to_vec();
            store
                .commit(Batch {
                    outbox,
                    ..Batch::default()
                })
                .await?;
        }
    }
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "dead letters were dropped: they were older than 30 days, or too many"
        );
    }
    Ok(())
}

/// A job's second step: gives up deliveries that the dispatcher has let go of. One event for each endpoint says so.
pub(super) async fn bury(work: Arc<Work>, gone: Vec<Delivery>, why: Why) -> Step {
    let mut by_endpoint: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
    for delivery in &gone {
        by_endpoint.entry(&delivery.endpoint).or_default().push(delivery);
    }
    let mut failed = BTreeSet::new();
    for (endpoint, deliveries) in by_endpoint {
        if let Err(error) = bury_of(&work, endpoint, &deliveries, why).await {
            tracing::warn!(%error, endpoint, "deliveries could not be given up now");
            failed.insert(endpoint.to_owned());
        }
    }
    Step::Buried(gone, failed)
}

async fn bury_of(work: &Work, endpoint: &str, deliveries: &[&Delivery], why: Why) -> Result<(), Error> {
    let Some(first) = deliveries.first() else { return Ok(()) };
    let reason = |delivery: &Delivery| match why {
        Why::OverShare => format!(
            "more than {} deliveries or {} MiB waited for its endpoint: the oldest were given up",
            SHARE.waiting,
            SHARE.bytes >> 20
        ),
        Why::Age => too_old(delivery).to_owned(),
    };
    let alone = deliveries.len() == 1;
    // Two dead endpoints that are told of each other would make events for ever.
    let told = !alone || concerns(&work.deps, first).await.is_none();
    let mut event = told.then(|| dead_event(&work.deps, first, &reason(first), deliveries.len()));
    let count = deliveries.len();
    tracing::warn!(endpoint, count, "given up: {}", reason(first));
    for chunk in deliveries.chunks(CHANGES) {
        let outbox = chunk.iter().map(|delivery| OutboxChange::Dead {
            id: delivery.id.clone(),
            reason: reason(delivery),
        });
        let batch = Batch {
            outbox: outbox.collect(),
            events: event.take().map(NewEvent::from).into_iter().collect(),
            ..Batch::default()
        };
        work.deps.store.commit(batch).await?;
    }
    Ok(())
}

/// The clock was set back: what was due in the store after a failure keeps its wait, as it does in memory.
pub(super) async fn move_back(work: Arc<Work>, by: i64) -> Step {
    let store = &work.deps.store;
    let (mut due, mut after) = (i64::MIN, None::<String>);
    let moved = async {
        loop {
            let rows = store.deliveries_due(due, after.as_deref(), PAGE).await?;
            let Some(last) = rows.last() else {
                return Ok::<_, Error>(());
            };
            (due, after) = (last.due, Some(last.id.clone()));
            let failed = rows.into_iter().filter(|row| row.tries > 0);
            let moves: Vec<OutboxChange> = failed
                .map(|row| OutboxChange::Move {
                    id: row.id,
                    from: row.due,
                    to: row.due.saturating_sub(by),
                })
                .collect();
            for chunk in moves.chunks(CHANGES) {
                let outbox = chunk.to_vec();
                store
                    .commit(Batch {
                        outbox,
                        ..Batch::default()
                    })
                    .await?;
            }
        }
    };
    if let Err(error) = moved.await {
        tracing::warn!(%error, "some retries wait longer than they should: the clock was set back");
    }
    Step::Done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(waiting: u64, bytes: u64) -> Share {
        Share { waiting, bytes }
    }

    #[test]
    fn an_endpoint_over_its_share_is_cut_by_count_or_by_bytes() {
        assert_eq!(excess(share(100_000, 256 << 20)), None);
        assert_eq!(excess(share(100_001, 0)), Some(share(5_001, 0)));
        let bytes = (256 << 20) + 1;
        assert_eq!(
            excess(share(2_000, bytes)),
            Some(share(0, bytes - (256 << 20) * 95 / 100))
        );
    }

    #[test]
    fn a_warning_is_given_once_until_it_is_calm_again() {
        let mut bounds = Bounds::default();
        let mut news = |waiting| bounds.is_news("e", share(waiting, 0), SHARE);
        let said: Vec<bool> = [79_999, 80_000, 90_000, 75_000, 80_000, 69_999, 80_000]
            .map(&mut news)
            .to_vec();
        assert_eq!(said, [false, true, false, false, false, false, true]);
    }

    #[test]
    fn too_many_dead_letters_or_too_much_for_one_endpoint_make_work_and_nothing_else_does() {
        let mut bounds = Bounds::default();
        let shares = BTreeMap::from([
            ("calm".to_owned(), share(99_999, 0)),
            ("dead".to_owned(), share(100_500, 0)),
        ]);
        let held = Held {
            dead: 100_000,
            ..Held::default()
        };
        let cut = Job::Cut {
            endpoint: "dead".to_owned(),
            excess: share(5_500, 0),
        };
        assert_eq!(bounds.look(held, &shares), std::slice::from_ref(&cut));
        let held = Held {
            dead_bytes: (1 << 30) + 1,
            ..held
        };
        assert_eq!(bounds.look(held, &shares), [cut, Job::Letters]);
    }
}
