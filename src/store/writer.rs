//! The writer: one thread that turns batches into durable commits.
//!
//! In: the queue of batches. Out: answers, after the disk has synced; then the journal's head, the tail in memory and the
//! outbox's watch move. Must not do anything that waits on the outside world but the disk.
//!
//! A commit is what has gathered while the one before was synced: at most 64 batches and about 128 rows, written by one
//! `apply_batch`, then synced. No timer delays it. While the database is closed after a failure of the disk, batches are
//! answered with [`Error::Down`] at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{Batch, Committed, ROWS_PER_COMMIT};
use super::disk::Disk;
use super::journal::Numbered;
use super::layout::Table;
use super::lock::{self, Lock};
use super::stage::{self, Head, Layer, Rows};
use super::sweep::{self, Sweep};
use super::{Error, FOLDER, Shared, durable, unpoisoned};

/// The schema that this program writes and reads.
const SCHEMA: u32 = 1;

/// Batches in one commit.
const BATCHES: usize = 64;

/// Waits before the database is opened again: the first, doubled up to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// When the first round of the sweep begins, and the time from one round to the next.
const ROUNDS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));

/// Time between two steps of work in the background.
const STEP: Duration = Duration::from_millis(50);

type Answer = oneshot::Sender<Result<Committed, Error>>;
type ClosedAnswer = oneshot::Sender<Result<(), Error>>;

/// What the writer is asked.
pub(super) enum Command {
    Commit { batch: Box<Batch>, answer: Answer },
    Close { answer: ClosedAnswer },
}

/// Takes the folder, opens the database and starts the thread.
pub(super) fn start(dir: &Path, cache_bytes: u64, queue: mpsc::Receiver<Command>) -> Result<Arc<Shared>, Error> {
    durable::make_folder(dir)?;
    let lock = lock::take(dir)?;
    let folder = dir.join(FOLDER);
    let disk = Disk::open(&folder, cache_bytes)?;
    let head = inspect(&disk, &folder)?;
    let removed = sweep::removed_accounts(&disk)?;
    let shared = Arc::new(Shared {
        disk: Some(disk).into(),
        down: Error::Closed.into(),
        head: watch::Sender::new(head.offset),
        outbox: watch::Sender::new(0),
        durable_id: head.ids.last().into(),
        tail: Default::default(),
    });
    let clock = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let writer = Writer {
        folder,
        cache_bytes,
        shared: shared.clone(),
        queue,
        clock: clock.map_err(|err| Error::folder("make a timer for", dir, err))?,
        head,
        removed,
        sweep: Sweep::default(),
        next_step: Instant::now() + ROUNDS.0,
        carry: None,
        closing: None,
    };
    std::thread::Builder::new()
        .name("wharf-store".to_owned())
        .spawn(move || writer.run(lock))
        .map_err(|err| Error::folder("start the writer of", dir, err))?;
    Ok(shared)
}

/// Checks schema and numbering of a database that was just opened; a new one gets its schema.
fn inspect(disk: &Disk, folder: &Path) -> Result<Head, Error> {
    let key = Table::Schema.prefix();
    match disk.get::<u32>(&key)? {
        Some(SCHEMA) => {}
        Some(found) if found > SCHEMA => {
            return Err(Error::NewerSchema {
                dir: folder.to_owned(),
                found,
                known: SCHEMA,
            });
        }
        Some(found) => return Err(Error::corrupt(format!("schema {found} was never written by any wharf"))),
        None if disk.is_empty() => {
            let nothing = Rows::new();
            let mut layer = Layer::over(disk, &nothing, Head::default());
            layer.put(key, &SCHEMA)?;
            disk.apply(layer.into_rows())?;
            disk.sync()?;
        }
        None => return Err(Error::corrupt("it has rows and no schema")),
    }
    let head = Head::read(disk)?;
    let mut beyond = disk.scan_from(&Table::Journal.prefix(), &Table::Journal.numbered(head.offset));
    if let Some(row) = beyond.next() {
        let what = format!(
            "its head is {}, and there is row {}",
            head.offset,
            row?.0.escape_ascii()
        );
        return Err(Error::corrupt(what));
    }
    Ok(head)
}

struct Writer {
    folder: PathBuf,
    cache_bytes: u64,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Command>,
    /// Only for waiting on the queue with a deadline.
    clock: tokio::runtime::Runtime,
    /// The numbering as it is durable.
    head: Head,
    /// Accounts whose removal is not finished.
    removed: Vec<String>,
    sweep: Sweep,
    next_step: Instant,
    /// A batch that did not fit into the last commit.
    carry: Option<(Box<Batch>, Answer)>,
    closing: Option<ClosedAnswer>,
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
    removed: Vec<String>,
}

impl Writer {
    fn run(mut self, lock: Lock) {
        while self.closing.is_none() {
            let result = match self.wait(self.next_step) {
                Wake::Command(Command::Commit { batch, answer }) => self.commit(batch, answer),
                Wake::Command(Command::Close { answer }) => {
                    self.closing = Some(answer);
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
                self.recover(err);
            }
        }
        let last = self.shut(Error::Closed);
        drop(lock);
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
            removed: Vec::new(),
        };
        let done = self.gather(&mut group, batch, answer).and_then(|()| self.write(&group));
        if let Err(err) = done {
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
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// Stages a batch. One that is refused gets its answer and leaves nothing.
    fn add(&self, group: &mut Group, batch: Box<Batch>, answer: Answer) -> Result<(), Error> {
        let estimate = batch.rows();
        let posts = !batch.posts.is_empty();
        let gone = batch.accounts.iter().filter(|(_, record)| record.is_none());
        let removed: Vec<String> = gone.map(|(id, _)| id.to_string()).collect();
        let disk = unpoisoned(self.shared.disk.read());
        let Some(disk) = disk.as_ref() else {
            return Err(Error::Closed);
        };
        let staged = match stage::stage(disk, &group.rows, group.head, *batch, super::now()) {
            Ok(staged) => staged,
            Err(err) => {
                // Whoever asked may have gone.
                drop(answer.send(Err(err.clone())));
                return if err.is_of_the_disk() { Err(err) } else { Ok(()) };
            }
        };
        group.rows.extend(staged.rows);
        group.head = staged.head;
        group.estimate += estimate;
        group.events.extend(staged.events.iter().flatten().cloned());
        group.event_bytes += staged.event_bytes;
        group.posts |= posts;
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

    fn write(&self, group: &Group) -> Result<(), Error> {
        if group.rows.is_empty() {
            return Ok(());
        }
        let disk = unpoisoned(self.shared.disk.read());
        let Some(disk) = disk.as_ref() else {
            return Err(Error::Closed);
        };
        disk.apply(group.rows.clone())?;
        if group.events.iter().any(|(_, event)| event.event.is_message()) {
            tracing::trace!(target: "wharf::path", "message in commit");
        }
        disk.sync()
    }

    /// Tells everybody of a commit that is durable: readers first, so that who gets the answer finds what it promises.
    fn publish(&mut self, group: Group) {
        self.head = group.head;
        self.removed.extend(group.removed);
        if !self.removed.is_empty() {
            self.next_step = self.next_step.min(Instant::now() + STEP);
        }
        *unpoisoned(self.shared.durable_id.lock()) = group.head.ids.last();
        if !group.events.is_empty() {
            self.shared.tail().push(group.events, group.event_bytes);
            self.shared.head.send_replace(group.head.offset);
        }
        if group.posts {
            self.shared.outbox.send_modify(|changes| *changes += 1);
        }
        for (answer, committed) in group.made {
            // Whoever asked may have gone; the batch is kept all the same.
            drop(answer.send(Ok(committed)));
        }
    }

    /// A step of what goes by itself.
    fn background(&mut self) -> Result<(), Error> {
        if let Some(account) = self.removed.first().cloned() {
            self.next_step = Instant::now() + STEP;
            return self.remove_step(&account);
        }
        let mut sweep = std::mem::take(&mut self.sweep);
        let over = self.write_layer(|layer| sweep.step(layer, super::now()))?;
        self.sweep = sweep;
        self.next_step = Instant::now() + if over { ROUNDS.1 } else { STEP };
        Ok(())
    }

    /// Removes all that is left of an account.
    fn remove(&mut self, account: &str) -> Result<(), Error> {
        while self.removed.iter().any(|removed| removed == account) {
            self.remove_step(account)?;
        }
        Ok(())
    }

    fn remove_step(&mut self, account: &str) -> Result<(), Error> {
        if self.write_layer(|layer| sweep::remove_account(layer, account))? {
            self.removed.retain(|removed| removed != account);
        }
        Ok(())
    }

    /// A commit of the writer's own. A row that cannot be read ends this round and no more: it is found again where it
    /// matters.
    fn write_layer(&self, work: impl FnOnce(&mut Layer<'_>) -> Result<bool, Error>) -> Result<bool, Error> {
        let disk = unpoisoned(self.shared.disk.read());
        let Some(disk) = disk.as_ref() else {
            return Err(Error::Closed);
        };
        let nothing = Rows::new();
        let mut layer = Layer::over(disk, &nothing, self.head);
        let over = match work(&mut layer) {
            Ok(over) => over,
            Err(err) if err.is_of_the_disk() => return Err(err),
            Err(err) => {
                tracing::error!(error = %err, "the store could not be swept");
                return Ok(true);
            }
        };
        let rows = layer.into_rows();
        if !rows.is_empty() {
            disk.apply(rows)?;
            disk.sync()?;
        }
        Ok(over)
    }

    /// Closes the database; what waited for it fails with `why` from now on.
    fn shut(&self, why: Error) -> Result<(), Error> {
        *unpoisoned(self.shared.down.lock()) = why;
        let disk = unpoisoned(self.shared.disk.write()).take();
        let Some(disk) = disk else { return Ok(()) };
        let last = disk.sync();
        disk.close();
        last
    }

    /// After a failure of the disk: closes and opens again until it works or the store is closed.
    fn recover(&mut self, why: Error) {
        tracing::error!(error = %why, "the store failed; it is closed and opened again");
        *unpoisoned(self.shared.down.lock()) = why;
        if let Some(disk) = unpoisoned(self.shared.disk.write()).take() {
            disk.close();
        }
        let mut pause = BACK_OFF.0;
        loop {
            self.refuse_until(Instant::now() + pause);
            if self.closing.is_some() {
                return;
            }
            match self.reopen() {
                Ok(()) => return tracing::info!("the store is open again"),
                Err(err) => {
                    pause = (pause * 2).min(BACK_OFF.1);
                    tracing::error!(error = %err, retry_in = ?pause, "the store does not open");
                    *unpoisoned(self.shared.down.lock()) = Error::down(err);
                }
            }
        }
    }

    fn refuse_until(&mut self, until: Instant) {
        loop {
            match self.wait(until) {
                Wake::Command(Command::Commit { answer, .. }) => {
                    let why = unpoisoned(self.shared.down.lock()).clone();
                    drop(answer.send(Err(why)));
                }
                Wake::Command(Command::Close { answer }) => {
                    self.closing = Some(answer);
                    return;
                }
                Wake::Deadline => return,
                Wake::NoHandles => return self.closing = Some(oneshot::channel().0),
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Error> {
        let disk = Disk::open(&self.folder, self.cache_bytes)?;
        let head = inspect(&disk, &self.folder)?;
        if head.commit < self.head.commit || head.offset < self.head.offset {
            disk.close();
            let what = format!(
                "commit {} was acknowledged, the disk ends at {}",
                self.head.commit, head.commit
            );
            return Err(Error::corrupt(what));
        }
        self.removed = sweep::removed_accounts(&disk)?;
        self.sweep = Sweep::default();
        self.head = head;
        *unpoisoned(self.shared.durable_id.lock()) = head.ids.last();
        // What the failed commit held was never given out; readers take it from the disk.
        *self.shared.tail() = Default::default();
        *unpoisoned(self.shared.disk.write()) = Some(disk);
        self.shared.head.send_replace(head.offset);
        self.shared.outbox.send_modify(|changes| *changes += 1);
        Ok(())
    }
}

/// The account that a batch makes while rows of an earlier one of that name are still to be removed.
fn makes(batch: &Batch, removed: &[String]) -> Option<String> {
    let made = batch.accounts.iter().filter(|(_, record)| record.is_some());
    made.map(|(id, _)| id.as_str())
        .find(|id| removed.iter().any(|gone| gone == id))
        .map(str::to_owned)
}
