//! A generation's own thread: the VM lives here, and only here.
//!
//! In: a file to load, then jobs. Out: what they came to, as plain values. The thread ends when nobody holds the [`Runner`]
//! any more and its jobs are done, or when it is cut off. Must not commit anything.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::Event;

use super::error::Fault;
use super::generation::{self, Generation, LoadError, Outline, Setup, Source};
use super::live::Live;
use super::permissions::Permissions;
use super::run::{Change, Effects, Place, Write};
use super::vm::Limits;

/// Jobs that may wait for the thread; when it is full its dispatch waits, and the journal is the buffer.
const MAILBOX: usize = 256;

/// What is loaded, and under which terms; another one is another generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The file.
    pub(crate) source: Source,
    /// What it may use.
    pub(crate) limits: Limits,
    /// `wharf.config`
    pub(crate) config: Map<String, Value>,
    /// What it may do.
    pub(crate) permissions: Permissions,
}

/// A generation in force, from outside its thread. Dropping the last handle lets the thread end.
pub(crate) struct Runner {
    number: u64,
    plan: Arc<Plan>,
    outline: Outline,
    jobs: mpsc::Sender<Job>,
    cut: CancellationToken,
    ended: CancellationToken,
}

/// Which part of the script's work a job is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// All handlers that match; `any_age`: the run was begun before.
    Handlers {
        /// Whether the age of a message is left aside.
        any_age: bool,
    },
    /// One gate.
    Gate(usize),
}

/// What a job came to.
pub(crate) struct Ran {
    /// What is to be kept.
    pub(crate) effects: Effects,
    /// Whether a gate stopped the event.
    pub(crate) stopped: bool,
    /// Who makes its updates again; `None` if it has none.
    updates: Option<mpsc::Sender<Again>>,
}

/// A key whose update is to be made again.
struct Again {
    key: String,
    answer: oneshot::Sender<Result<Write, Fault>>,
}

impl Ran {
    /// A run that nobody made, and that wants this kept.
    pub(crate) fn of(effects: Effects) -> Self {
        Self {
            effects,
            stopped: false,
            updates: None,
        }
    }

    /// After a commit that found another value of `key` than expected: makes the update of that key again, if it was one.
    /// `false`: it was not, the whole run must be run again.
    ///
    /// # Errors
    /// [`Gone`] if the VM ended; the inner error is of the function that makes the value.
    pub(crate) async fn update_again(&mut self, key: &str) -> Result<Result<bool, Fault>, Gone> {
        let write = self.effects.writes.iter_mut().find(|write| write.key == key);
        let write = write.filter(|write| matches!(write.change, Change::Update(_)));
        let (Some(write), Some(updates)) = (write, &self.updates) else {
            return Ok(Ok(false));
        };
        let (answer, answered) = oneshot::channel();
        let key = key.to_owned();
        updates.send(Again { key, answer }).await.map_err(|_| Gone)?;
        Ok(answered.await.map_err(|_| Gone)?.map(|made| {
            *write = made;
            true
        }))
    }
}

/// The thread ended before it answered: the job counts as not begun.
#[derive(Debug, thiserror::Error)]
#[error("the script's VM ended before the run did")]
pub(crate) struct Gone;

struct Job {
    event: Arc<Event>,
    work: Work,
    place: Option<(Arc<Semaphore>, OwnedSemaphorePermit)>,
    answer: oneshot::Sender<Result<Ran, Fault>>,
}

impl Runner {
    /// Loads a file in a thread of its own.
    ///
    /// # Errors
    /// As [`generation::load`] refuses it, or if the system gives no thread.
    pub(crate) async fn start(
        plan: Arc<Plan>,
        number: u64,
        world: Live,
        tracker: &TaskTracker,
    ) -> Result<Arc<Self>, LoadError> {
        let (jobs, mailbox) = mpsc::channel(MAILBOX);
        let (loaded, outline) = oneshot::channel();
        let cut = CancellationToken::new();
        let thread = Thread {
            plan: Arc::clone(&plan),
            mailbox,
            cut: cut.clone(),
        };
        // Held by the thread, so that shutdown waits for it.
        let token = tracker.token();
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        let name = format!("lua-{}", plan.source.name);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let (_token, _end) = (token, end);
            thread.work(world, loaded);
        });
        let refuse = |message: String| LoadError {
            file: plan.source.file.clone(),
            line: None,
            message,
        };
        spawned.map_err(|error| refuse(format!("no thread for it: {error}")))?;
        let outline = outline
            .await
            .map_err(|_| refuse("its thread ended while it loaded".to_owned()))??;
        Ok(Arc::new(Self {
            number,
            plan,
            outline,
            jobs,
            cut,
            ended,
        }))
    }

    /// Counts the versions of the script.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What was loaded.
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Its handlers and gates.
    pub(crate) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Is cancelled when the thread has ended.
    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Ends the thread although jobs are under way; they count as not begun.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }

    /// Has the script work on an event. `place` is its place among the runs at work.
    ///
    /// # Errors
    /// [`Gone`] if the thread ended first; the inner error is the run's own.
    pub(crate) async fn run(
        &self,
        event: &Arc<Event>,
        work: Work,
        place: Option<(Arc<Semaphore>, OwnedSemaphorePermit)>,
    ) -> Result<Result<Ran, Fault>, Gone> {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            event: Arc::clone(event),
            work,
            place,
            answer,
        };
        self.jobs.send(job).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }
}

struct Thread {
    plan: Arc<Plan>,
    mailbox: mpsc::Receiver<Job>,
    cut: CancellationToken,
}

impl Thread {
    fn work(self, world: Live, loaded: oneshot::Sender<Result<Outline, LoadError>>) {
        let refuse = |message: String| LoadError {
            file: self.plan.source.file.clone(),
            line: None,
            message,
        };
        let runtime = match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                loaded.send(Err(refuse(format!("no runtime for it: {error}")))).ok();
                return;
            }
        };
        let setup = Setup {
            limits: self.plan.limits.clone(),
            config: self.plan.config.clone(),
            permissions: self.plan.permissions.clone(),
            world: Rc::new(world),
        };
        let generation = match generation::load(&self.plan.source, setup) {
            Ok(generation) => Rc::new(generation),
            Err(error) => {
                loaded.send(Err(error)).ok();
                return;
            }
        };
        if loaded.send(Ok(generation.outline().clone())).is_ok() {
            let local = LocalSet::new();
            local.block_on(&runtime, serve(generation, self.mailbox, self.cut));
        }
    }
}

async fn serve(generation: Rc<Generation>, mut mailbox: mpsc::Receiver<Job>, cut: CancellationToken) {
    let under_way = TaskTracker::new();
    loop {
        let job = tokio::select! {
            job = mailbox.recv() => job,
            () = cut.cancelled() => return,
        };
        let Some(job) = job else { break };
        under_way.spawn_local(handle(Rc::clone(&generation), job));
    }
    under_way.close();
    tokio::select! {
        () = under_way.wait() => {}
        () = cut.cancelled() => {}
    }
}

async fn handle(generation: Rc<Generation>, mut job: Job) {
    let run = async {
        match job.work {
            Work::Handlers { any_age } => {
                if job.event.event.is_message() {
                    tracing::trace!(target: "wharf::path", event = job.event.id, "message in handler");
                }
                let place = job
                    .place
                    .take()
                    .map_or_else(Place::free, |(all, mine)| Place::taken(all, mine));
                let (effects, run) = generation.run_to_commit(&job.event, any_age, place).await?;
                Ok((false, effects, run))
            }
            Work::Gate(gate) => generation.gate_to_commit(&job.event, gate).await,
        }
    };
    let ran = tokio::select! {
        ran = run => ran,
        // Nobody waits for it any more.
        () = job.answer.closed() => return,
    };
    let (stopped, effects, run) = match ran {
        Ok(ran) => ran,
        Err(fault) => {
            // The asker is gone: so is the wish.
            job.answer.send(Err(fault)).ok();
            return;
        }
    };
    let (updates, asked) = match run.has_updates() {
        true => {
            let (updates, asked) = mpsc::channel(1);
            (Some(updates), Some(asked))
        }
        false => (None, None),
    };
    let ran = Ran {
        effects,
        stopped,
        updates,
    };
    job.answer.send(Ok(ran)).ok();
    let Some(mut asked) = asked else { return };
    // Until the run is committed, or given up.
    while let Some(Again { key, answer }) = asked.recv().await {
        answer.send(generation.update_again(&run, &key).await).ok();
    }
}
