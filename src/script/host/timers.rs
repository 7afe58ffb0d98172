//! A generation's clock: calls its timers when they are due, in the thread of its VM.
//!
//! In: the phase of the generation. Out: [`Fired`], what a callback came to, for whoever commits it. A timer whose callback is
//! at work is not due. Must not commit anything.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::task::TaskTracker;

use super::super::error::Fault;
use super::super::generation::Generation;
use super::super::live::now;
use super::super::timer::Due;
use super::Ran;

/// Callbacks of one script that are at work at a time; the others wait, and are late.
const AT_WORK: usize = 64;
/// The clock is looked at this often at least: the machine may have slept, or somebody has set it.
const LOOK: Duration = Duration::from_secs(60);

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has loaded.
    Loaded,
    /// It is in force: its timers run.
    InForce,
    /// It is not any more: its timers are gone, its runs may end.
    Retired,
}

/// What one call of a timer came to.
pub(crate) struct Fired {
    /// The id of the run, which stands for the event in the keys of its sends.
    pub(crate) id: String,
    /// The timer, for people.
    pub(crate) title: String,
    /// What it came to.
    pub(crate) ran: Result<Ran, Fault>,
}

/// Runs the timers of a generation while it is in force. `under_way` counts the callbacks.
pub(super) async fn run(
    generation: Rc<Generation>,
    mut phase: watch::Receiver<Phase>,
    fired: mpsc::Sender<Fired>,
    under_way: TaskTracker,
) {
    let timers = Rc::clone(generation.timers());
    // If nobody holds it any more, it will never be in force.
    let begun = phase.wait_for(|phase| *phase != Phase::Loaded).await;
    if begun.is_ok_and(|phase| *phase == Phase::InForce) {
        timers.arm_file(now());
        tokio::select! {
            () = work(&generation, &fired, &under_way) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Retired) => {}
        }
    }
    timers.close();
}

async fn work(generation: &Rc<Generation>, fired: &mpsc::Sender<Fired>, under_way: &TaskTracker) {
    let timers = generation.timers();
    let places = Arc::new(Semaphore::new(AT_WORK));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let due = loop {
            if let Some(due) = timers.take(now()) {
                break due;
            }
            let wait = timers.next().map_or(LOOK, |due| {
                Duration::from_millis(u64::try_from(due.saturating_sub(now())).unwrap_or(0))
            });
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK)) => {}
                () = timers.changed() => {}
            }
        };
        let (generation, fired) = (Rc::clone(generation), fired.clone());
        under_way.spawn_local(async move {
            call(&generation, due, &fired).await;
            drop(place);
        });
    }
}

async fn call(generation: &Rc<Generation>, due: Due, fired: &mpsc::Sender<Fired>) {
    let id = format!("timer_{}", ulid::Ulid::generate());
    let title = due.timer.title.clone();
    let ended = generation.fire(&due.timer, &id).await;
    generation.timers().again(due, now());
    let (ran, later) = match ended {
        Ok((effects, run)) => {
            let (ran, asked) = Ran::new(false, effects, &run);
            (Ok(ran), Some((run, asked)))
        }
        Err(fault) => (Err(fault), None),
    };
    // If the host is stopping, what was not committed did not happen.
    if fired.send(Fired { id, title, ran }).await.is_ok()
        && let Some((run, asked)) = later
    {
        super::until_committed(generation, &run, asked).await;
    }
}
