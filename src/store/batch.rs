//! What one commit may hold, and what it answers.
//!
//! In: rooms fill a [`Batch`]. Out: [`Committed`]. Must not decide anything; the writer does, by the rules written here.

use std::sync::Arc;

use crate::event::{AccountId, Draft, Event};

use super::accounts::AccountRecord;
use super::endpoints::EndpointRecord;
use super::intents::Intent;
use super::jobs::{Job, NewJob};
use super::keys::KeyRecord;
use super::kv::{Expect, KvWrite};
use super::outbox::{OutboxChange, Post};
use super::position::Position;
use super::replay::Replay;
use super::runs::{DeadRun, FailedRun, Verdict};

/// Rows after which the writer closes a commit; one batch with more than that is a commit of its own. Larger commits let
/// sled's log grow without bound (guard G3 in `durable`).
pub const ROWS_PER_COMMIT: usize = 128;

/// Rows that one batch may have; a larger one is refused as [`super::Error::TooLarge`]. The largest run that the limits of
/// scripts allow (64 keys, 16 posts of 256 KiB) has about 240.
pub const ROWS_PER_BATCH: usize = 512;

/// Events that fit into one batch without passing [`ROWS_PER_COMMIT`]: a message takes its own row, one for its id and one
/// for the mark of its chat. Who has more makes several batches.
pub const EVENTS_PER_BATCH: usize = 40;

/// Changes that become durable together or not at all.
///
/// Order of effect: `expect` is checked against the store as it was before the batch; then accounts, intents, positions and
/// the other rows, kv writes in their order, posts and events in their order.
#[derive(Debug, Default)]
pub struct Batch {
    /// Events to journal, numbered in this order.
    pub events: Vec<NewEvent>,
    /// Jobs to keep.
    pub jobs: Vec<NewJob>,
    /// Jobs that are removed, since their events are journaled with this batch.
    pub jobs_done: Vec<Job>,
    /// How far the page has been journaled with this batch.
    pub page: Option<PageMark>,
    /// Kv entries that must not have changed.
    pub expect: Vec<Expect>,
    /// Kv entries to write.
    pub kv: Vec<KvWrite>,
    /// Deliveries to make.
    pub posts: Vec<Post>,
    /// What scripts have finished, added to what is kept of them: batches of one commit that do not know of each other lose
    /// nothing. A script without a position gets this one.
    pub positions: Vec<(String, Position)>,
    /// Script, journal offset, and the failed run there; `None` removes it.
    pub tries: Vec<(String, u64, Option<FailedRun>)>,
    /// Runs that were given up.
    pub dead_runs: Vec<DeadRun>,
    /// Ids of dead runs that ended well after all, or that nobody wants any more.
    pub revived: Vec<String>,
    /// Journal offset, and what the gates said of it.
    pub verdicts: Vec<(u64, Verdict)>,
    /// Send intents by key; `None` removes.
    pub intents: Vec<(String, Option<Intent>)>,
    /// Accounts; `None` removes the record at once, and what is keyed by the account (marks, compared ids, intents) in
    /// bounded commits that follow, also after a restart. The account's `seq` counter stays, so that a later account of
    /// the same name goes on counting.
    pub accounts: Vec<(AccountId, Option<AccountRecord>)>,
    /// What became of deliveries.
    pub outbox: Vec<OutboxChange>,
    /// Deliveries to make once more. By [`super::Store::replay`], which also tells the dispatcher.
    pub replays: Vec<Replay>,
    /// What is kept of endpoints, by name; `None` removes.
    pub endpoints: Vec<(String, Option<EndpointRecord>)>,
    /// Keys of the admin by id; `None` removes.
    pub keys: Vec<(String, Option<KeyRecord>)>,
}

impl Batch {
    /// Whether a commit of it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.jobs.is_empty()
            && self.jobs_done.is_empty()
            && self.page.is_none()
            && self.kv.is_empty()
            && self.posts.is_empty()
            && self.positions.is_empty()
            && self.tries.is_empty()
            && self.dead_runs.is_empty()
            && self.revived.is_empty()
            && self.verdicts.is_empty()
            && self.intents.is_empty()
            && self.accounts.is_empty()
            && self.outbox.is_empty()
            && self.replays.is_empty()
            && self.endpoints.is_empty()
            && self.keys.is_empty()
    }

    /// Whether it brings what is not in the store yet, so that it can wait while the disk is almost full. What became of a
    /// delivery, a run or a send is no new work: it frees more than it takes.
    pub(super) fn is_new_work(&self) -> bool {
        // What is told of a delivery that was given up belongs to its end.
        let told = self.events.is_empty() || !self.outbox.is_empty();
        !(told && self.posts.is_empty() && self.replays.is_empty() && self.jobs.is_empty() && self.kv.is_empty())
    }

    /// About how many rows it takes, for the bound on a commit; rather too many than too few.
    pub(super) fn rows(&self) -> usize {
        let parts: usize = self
            .posts
            .iter()
            .map(|post| post.body.len() / super::record::PART_MAX)
            .sum();
        self.events.len() * 3
            + self.kv.len()
            + self.posts.len() * 5
            + parts
            + self.jobs.len() * 2
            + self.jobs_done.len() * 2
            + self.positions.len()
            + self.tries.len()
            + self.dead_runs.len()
            + self.revived.len()
            + self.verdicts.len()
            + self.intents.len()
            + self.accounts.len() * 2
            + self.outbox.len() * 5
            + self.replays.len() * 6
            + self.endpoints.len()
            + self.keys.len()
            + 2
    }
}

/// An event to journal.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened.
    pub draft: Draft,
    /// What makes it the same as another one.
    pub once: Option<Once>,
}

impl From<Draft> for NewEvent {
    /// An event that is journaled whatever was journaled before.
    fn from(draft: Draft) -> Self {
        NewEvent { draft, once: None }
    }
}

/// The name under which an event is journaled once only: a second one is dropped in its commit. Kept 15 days from that
/// commit, longer than any sweep of the page reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Whose message.
    pub account: AccountId,
    /// The canonical chat.
    pub chat: String,
    /// The raw message id.
    pub message_id: String,
    /// What of the message, and which revision of it. `message` also moves the chat's mark to the draft's
    /// `data.timestamp`.
    pub kind: String,
}

/// How far the events of one document of a page are journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMark {
    /// Whose page.
    pub account: AccountId,
    /// The document.
    pub page_id: String,
    /// The last number of it that this batch holds. The mark never goes backwards.
    pub page_seq: u64,
}

/// What a commit made.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its number; commits count up, not without gaps. It is the version of the kv entries written in it.
    pub commit: u64,
    /// For each event of the batch its offset and itself; `None` if it was seen before and dropped.
    pub events: Vec<Option<(u64, Arc<Event>)>>,
    /// The delivery ids, one for each post; then those of what is delivered once more.
    pub deliveries: Vec<String>,
}
