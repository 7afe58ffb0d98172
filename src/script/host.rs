//! A generation's own thread: the VM lives here, and only here.
//!
//! In: a file to load, then jobs. Out: what they came to, as plain values. The thread ends when nobody holds the [`Runner`]
//! any more and its jobs are done, or when it is cut off. Must not commit anything.

use std::rc::Rc;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::runtime::Builder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::event::Event;

use super::error::Fault;
use super::generation::{self, Generation, LoadError, Outline, Setup, Source};
use super::live::Live;
use super::permissions::Permissions;
use super::run::{Change, Effects, Place, Run, Write};
use super::vm::Limits;

mod talk;
mod timers;

use talk::{Talk, hear};
pub(crate) use timers::Fired;
use timers::Phase;

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
    talk: mpsc::Sender<Talk>,
    phase: watch::Sender<Phase>,
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
    /// Who waits for what becomes of it; `None` if nobody does.
    asked: Option<mpsc::Sender<Ask>>,
}

/// What the VM is asked after a run has ended.
enum Ask {
    /// To make the update of a key again.
    Update {
        key: String,
        answer: oneshot::Sender<Result<Write, Fault>>,
    },
    /// To arm the timers that it made.
    Committed,
}

impl Ran {
    /// A run that nobody made, and that wants this kept.
    pub(crate) fn of(effects: Effects) -> Self {
        Self {
            effects,
            stopped: false,
            asked: None,
        }
    }

    fn new(stopped: bool, effects: Effects, run: &Run) -> (Self, Option<mpsc::Receiver<Ask>>) {
        let (asked, asks) = match run.is_awaited() {
            true => {
                let (asked, asks) = mpsc::channel(1);
                (Some(asked), Some(asks))
            }
            false => (None, None),
        };
        let ran = Self {
            effects,
            stopped,
            asked,
        };
        (ran, asks)
    }

    /// Its commit is kept: what it wanted done then is done.
    pub(crate) fn committed(&self) {
        if let Some(asked) = &self.asked {
            // Each question is answered before the next, so there is room; a VM that has ended has no timers.
            asked.try_send(Ask::Committed).ok();
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
        let (Some(write), Some(asked)) = (write, &self.asked) else {
            return Ok(Ok(false));
        };
        let (answer, answered) = oneshot::channel();
        let key = key.to_owned();
        asked.send(Ask::Update { key, answer }).await.map_err(|_| Gone)?;
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
    ) -> Result<(Arc<Self>, mpsc::Receiver<Fired>), LoadError> {
        let (jobs, mailbox) = mpsc::channel(MAILBOX);
        let (fired, calls) = mpsc::channel(MAILBOX);
        let (talk, talked) = mpsc::channel(1);
        let phase = watch::Sender::new(Phase::Loaded);
        let (loaded, outline) = oneshot::channel();
        let cut = CancellationToken::new();
        let thread = Thread {
            plan: Arc::clone(&plan),
            mailbox,
            talked,
            phase: phase.subscribe(),
            fired,
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
        let runner = Arc::new(Self {
            number,
            plan,
            outline,
            jobs,
            talk,
            phase,
            cut,
            ended,
        });
        Ok((runner, calls))
    }

    /// It is in force: its timers run from now on.
    pub(crate) fn put_in_force(&self) {
        self.phase.send_replace(Phase::InForce);
    }

    /// It is not in force any more: its timers are gone, its runs may end.
    pub(crate) fn retire(&self) {
        self.phase.send_replace(Phase::Retired);
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
    talked: mpsc::Receiver<Talk>,
    phase: watch::Receiver<Phase>,
    fired: mpsc::Sender<Fired>,
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
            let under_way = TaskTracker::new();
            let clock = timers::run(Rc::clone(&generation), self.phase, self.fired, under_way.clone());
            local.spawn_local(clock);
            local.block_on(
                &runtime,
                serve(generation, self.mailbox, self.talked, self.cut, under_way),
            );
        }
    }
}

async fn serve(
    generation: Rc<Generation>,
    mut mailbox: mpsc::Receiver<Job>,
    mut talked: mpsc::Receiver<Talk>,
    cut: CancellationToken,
    under_way: TaskTracker,
) {
    loop {
        let job = tokio::select! {
            job = mailbox.recv() => job,
            Some(talk) = talked.recv() => {
                under_way.spawn_local(hear(Rc::clone(&generation), talk));
                continue;
            }
            () = cut.cancelled() => return,
        };
        let Some(job) = job else { break };
        under_way.spawn_local(handle(Rc::clone(&generation), job));
    }
    generation.timers().close();
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
    let (ran, asks) = Ran::new(stopped, effects, &run);
    job.answer.send(Ok(ran)).ok();
    until_committed(&generation, &run, asks).await;
}

/// Answers for a run that has ended until it is committed, or given up.
async fn until_committed(generation: &Generation, run: &Rc<Run>, asks: Option<mpsc::Receiver<Ask>>) {
    let Some(mut asks) = asks else { return };
    while let Some(ask) = asks.recv().await {
        match ask {
            Ask::Update { key, answer } => {
                answer.send(generation.update_again(run, &key).await).ok();
            }
            Ask::Committed => return generation.committed(run),
        }
    }
}
