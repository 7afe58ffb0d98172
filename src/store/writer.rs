//! The writer: one thread that turns batches into durable commits.
//!
//! In: the queue of batches. Out: answers, after the disk has synced; then the journal's head, the tail in memory and the
//! outbox's watch move. Must not do anything that waits on the outside world but the disk.
//!
//! A commit is what has gathered while the one before was synced: at most 64 batches and about 128 rows, written by one
//! `apply_batch`, then synced. No timer delays it. While the database is closed after a failure of the disk, batches are
//! answered with [`Error::Down`] at once.

mod background;
mod recovery;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::backup::{self, Fence};
use super::batch::{Batch, Committed, ROWS_PER_COMMIT};
use super::disk::Disk;
use super::engine::{Medium, Rows};
use super::journal::Numbered;
use super::lock::Lock;
use super::retention::Retention;
use super::space::Level;
use super::stage::{self, Head};
use super::sweep::Sweep;
use super::{Error, Options, Rounds, Shared, unpoisoned};

/// Batches in one commit.
const BATCHES: usize = 64;

type Answer = oneshot::Sender<Result<Committed, Error>>;
type FenceAnswer = oneshot::Sender<Result<Arc<Fence>, Error>>;
type ClosedAnswer = oneshot::Sender<Result<(), Error>>;

/// What the writer is asked.
pub(super) enum Command {
    Commit {
        batch: Box<Batch>,
        answer: Answer,
    },
    Close {
        answer: ClosedAnswer,
    },
    /// Begin a backup between two commits.
    Fence {
        answer: FenceAnswer,
    },
}

/// The thread's own state.
pub(super) struct Writer {
    medium: Box<dyn Medium>,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    /// Only for waiting on the queue with a deadline.
    clock: tokio::runtime::Runtime,
    /// The numbering as it is durable.
    head: Head,
    /// Accounts whose removal is not finished.
    removed: Vec<String>,
    sweep: Sweep,
    retention: Retention,
    next_step: Instant,
    next_round: Instant,
    next_look: Instant,
    /// What the disk had when it was looked at last.
    level: Level,
    /// A batch that did not fit into the last commit.
    carry: Option<(Box<Batch>, Answer)>,
    closing: Option<ClosedAnswer>,
    /// Bytes below which new work is refused, if it was said.
    kept_free: Option<u64>,
    rounds: Rounds,
}

/// What woke the writer.
enum Wake {
    Command(Command),
    Deadline,
    NoHandles,
}

/// Batches on their way into one commit.
struct Group {
    rows: Rows,
    head: Head,
    estimate: usize,
    made: Vec<(Answer, Committed)>,
    events: Vec<Numbered>,
    event_bytes: usize,
    posts: bool,
    jobs: bool,
    removed: Vec<String>,
}

impl Writer {
    /// A writer for a database that was just opened and lies in `shared`.
    pub(super) fn new(
        medium: Box<dyn Medium>,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Command>,
        head: Head,
        removed: Vec<String>,
        options: &Options,
    ) -> Result<Writer, Error> {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let now = Instant::now();
        let mut writer = Writer {
            clock: clock.map_err(|err| Error::folder("make a timer for the store in", medium.place().as_ref(), err))?,
            medium,
            shared,
            queue,
            head,
            removed,
            sweep: Sweep::default(),
            retention: Retention::after_opening(),
            next_step: now + options.rounds.first,
            next_round: now + options.rounds.first,
            next_look: now,
            level: Level::Enough,
            carry: None,
            closing: None,
            kept_free: options.kept_free,
            rounds: options.rounds,
        };
        writer.look_at_space();
        Ok(writer)
    }

    /// Works until the store is closed or has no handles any more; the folder is let go of at the end, and the
    /// mark of an open store removed, if it is this one's.
    pub(super) fn run(mut self, lock: Option<(Lock, Option<PathBuf>)>) {
        while self.closing.is_none() {
            let result = match self.wait(self.next_step) {
                Wake::Command(Command::Commit { batch, answer }) => {
                    self.look_at_space();
                    self.commit(batch, answer)
                }
                Wake::Command(Command::Close { answer }) => {
                    self.closing = Some(answer);
                    Ok(())
                }
                Wake::Command(Command::Fence { answer }) => {
                    self.fence(answer);
                    Ok(())
                }
                Wake::Deadline => Ok(()),
                Wake::NoHandles => break,
            };
            let result = result.and_then(|()| {
                if Instant::now() < self.next_step {
                    Ok(())
                } else {
                    self.background()
                }
            });
            if let Err(err) = result {
                self.recover(&err);
            }
        }
        let last = self.shut(Error::Closed);
        if let Some((lock, mark)) = lock {
            // One that failed is looked at whole before it is opened again.
            if let Some(mark) = mark.filter(|_| last.is_ok()) {
                std::fs::remove_file(mark).ok();
            }
            drop(lock);
        }
        if let Some(answer) = self.closing {
            // Whoever asked may have gone.
            drop(answer.send(last));
        }
    }

    fn wait(&mut self, until: Instant) -> Wake {
        if let Some((batch, answer)) = self.carry.take() {
            return Wake::Command(Command::Commit { batch, answer });
        }
        if let Ok(command) = self.queue.try_recv() {
            return Wake::Command(command);
        }
        let next = async { tokio::time::timeout_at(until.into(), self.queue.recv()).await };
        match self.clock.block_on(next) {
            Ok(Some(command)) => Wake::Command(command),
            Ok(None) => Wake::NoHandles,
            Err(_) => Wake::Deadline,
        }
    }

    /// One commit: this batch and what else waits. An error is the disk's; the batches have their answers then.
    fn commit(&mut self, batch: Box<Batch>, answer: Answer) -> Result<(), Error> {
        let mut group = Group {
            rows: Rows::new(),
            head: self.head,
            estimate: 0,
            made: Vec::new(),
            events: Vec::new(),
            event_bytes: 0,
            posts: false,
            jobs: false,
            removed: Vec::new(),
        };
        let done = self
            .gather(&mut group, batch, answer)
            .and_then(|()| self.write(&mut group));
        if let Err(err) = done {
            self.out_of_service(&err);
            for (answer, _) in group.made {
                drop(answer.send(Err(err.clone())));
            }
            return Err(err);
        }
        self.publish(group);
        Ok(())
    }

    fn gather(&mut self, group: &mut Group, batch: Box<Batch>, answer: Answer) -> Result<(), Error> {
        while let Some(account) = makes(&batch, &self.removed) {
            if let Err(err) = self.remove(&account) {
                self.out_of_service(&err);
                drop(answer.send(Err(err.clone())));
                return Err(err);
            }
        }
        self.add(group, batch, answer)?;
        while group.made.len() < BATCHES && group.estimate < ROWS_PER_COMMIT {
            match self.queue.try_recv() {
                Ok(Command::Commit { batch, answer }) => {
                    let full = group.estimate + batch.rows() > ROWS_PER_COMMIT;
                    if full || makes(&batch, &self.removed).is_some() || makes(&batch, &group.removed).is_some() {
                        self.carry = Some((batch, answer));
                        break;
                    }
                    self.add(group, batch, answer)?;
                }
                Ok(Command::Close { answer }) => {
                    self.closing = Some(answer);
                    break;
                }
                // What is gathered here is not committed: the moment is before it.
                Ok(Command::Fence { answer }) => self.fence(answer),
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Stages a batch. One that is refused gets its answer and leaves nothing.
    fn add(&self, group: &mut Group, batch: Box<Batch>, answer: Answer) -> Result<(), Error> {
        if self.level == Level::Full && batch.is_new_work() {
            // Whoever asked may have gone.
            drop(answer.send(Err(self.full())));
            return Ok(());
        }
        let estimate = batch.rows();
        let posts = !batch.posts.is_empty();
        let jobs = !batch.jobs.is_empty();
        let gone = batch.accounts.iter().filter(|(_, record)| record.is_none());
        let removed: Vec<String> = gone.map(|(id, _)| id.to_string()).collect();
        let guard = unpoisoned(self.shared.disk.read());
        let Some(disk) = guard.as_ref() else {
            return Err(Error::Closed);
        };
        let staged = match stage::stage(disk, &group.rows, group.head, *batch, super::now()) {
            Ok(staged) => staged,
            Err(err) if err.is_of_the_disk() => {
                drop(guard);
                self.out_of_service(&err);
                drop(answer.send(Err(err.clone())));
                return Err(err);
            }
            Err(err) => {
                // Whoever asked may have gone.
                drop(answer.send(Err(err)));
                return Ok(());
            }
        };
        group.rows.extend(staged.rows);
        group.head = staged.head;
        group.estimate += estimate;
        group.events.extend(staged.events.iter().flatten().cloned());
        group.event_bytes += staged.event_bytes;
        group.posts |= posts;
        group.jobs |= jobs;
        group.removed.extend(removed);
        let commit = staged.head.commit;
        group.made.push((
            answer,
            Committed {
                commit,
                events: staged.events,
                deliveries: staged.deliveries,
            },
        ));
        Ok(())
    }

    fn write(&self, group: &mut Group) -> Result<(), Error> {
        if group.rows.is_empty() {
            return Ok(());
        }
        let disk = unpoisoned(self.shared.disk.read());
        let Some(disk) = disk.as_ref() else {
            return Err(Error::Closed);
        };
        self.apply(disk, std::mem::take(&mut group.rows))?;
        if group.events.iter().any(|(_, event)| event.event.is_message()) {
            tracing::trace!(target: "wharf::path", "message in commit");
        }
        tracing::trace!(target: "wharf::path", "rows before the sync");
        disk.sync()?;
        tracing::trace!(target: "wharf::path", "rows synced");
        Ok(())
    }

    /// Writes rows, after a backup under way has noted what they replace.
    fn apply(&self, disk: &Disk, rows: Rows) -> Result<(), Error> {
        let fence = unpoisoned(self.shared.fence.lock()).upgrade();
        if let Some(fence) = fence {
            fence.note(disk.engine(), &rows)?;
        }
        disk.apply(rows)
    }

    fn fence(&self, answer: FenceAnswer) {
        let mut fence = unpoisoned(self.shared.fence.lock());
        let made = if fence.upgrade().is_some() {
            Err(backup::busy())
        } else {
            let made = Arc::default();
            *fence = Arc::downgrade(&made);
            Ok(made)
        };
        // Whoever asked may have gone; the moment ends with the one who holds it.
        drop(answer.send(made));
    }

    /// Tells everybody of a commit that is durable: readers first, so that who gets the answer finds what it promises.
    fn publish(&mut self, group: Group) {
        self.head = group.head;
        if let Some(reached) = self.medium.reached() {
            reached.note(self.head.commit);
        }
        self.removed.extend(group.removed);
        if !self.removed.is_empty() {
            self.next_step = self.next_step.min(Instant::now() + background::STEP);
        }
        *unpoisoned(self.shared.durable_id.lock()) = group.head.ids.last();
        self.shared.note_held(group.head.held);
        self.tell(group.events, group.event_bytes);
        if group.posts {
            self.shared.outbox.send_modify(|changes| *changes += 1);
        }
        if group.jobs {
            self.shared.jobs.send_modify(|changes| *changes += 1);
        }
        for (answer, committed) in group.made {
            // Whoever asked may have gone; the batch is kept all the same.
            drop(answer.send(Ok(committed)));
        }
    }

    /// Shows events that are durable to those that follow the journal.
    fn tell(&self, events: Vec<Numbered>, bytes: usize) {
        if !events.is_empty() {
            self.shared.tail().push(events, bytes);
            self.shared.head.send_replace(self.head.offset);
        }
    }
}

/// The account that a batch makes while rows of an earlier one of that name are still to be removed.
fn makes(batch: &Batch, removed: &[String]) -> Option<String> {
    let made = batch.accounts.iter().filter(|(_, record)| record.is_some());
    made.map(|(id, _)| id.as_str())
        .find(|id| removed.iter().any(|gone| gone == id))
        .map(str::to_owned)
}
