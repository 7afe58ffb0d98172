//! How fast a VM works through events, for the benches.
//!
//! In: the text of a script and an event. Out: the time that its handlers took. Everything of a run but its way from the journal
//! and its commit: filter, event object, limits, effects. Must not be used by anything but benches.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Map;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Semaphore;

use crate::event::Event;

use super::Deps;
use super::generation::{self, Setup, Source};
use super::library::Libraries;
use super::live::Live;
use super::permissions::Permissions;
use super::run::Place;
use super::vm::Limits;

/// Loads a script in this thread and hands it an event so often. `runtime` is the program's.
///
/// # Errors
/// A sentence, if it does not load or a handler fails.
pub fn throughput(
    deps: &Deps,
    runtime: &Handle,
    text: &str,
    event: &Arc<Event>,
    count: usize,
) -> Result<Duration, String> {
    let source = Source {
        name: "bench".to_owned(),
        file: "scripts/bench.lua".to_owned(),
        text: text.to_owned(),
        libraries: Libraries::new(),
    };
    let world = Live {
        script: "bench".into(),
        generation: 1,
        store: deps.store.clone(),
        config: deps.config.clone(),
        host: Arc::clone(&deps.host),
        tracker: deps.tracker.clone(),
        runtime: runtime.clone(),
        flood: Arc::default(),
        listing: Arc::new(Semaphore::new(1)),
        calling: Arc::new(Semaphore::new(1)),
    };
    let setup = Setup {
        limits: Limits::of(&deps.config.borrow().scripts),
        config: Map::new(),
        permissions: Permissions::All,
        world: Rc::new(world),
    };
    let own = Builder::new_current_thread().enable_time().build();
    let own = own.map_err(|error| error.to_string())?;
    own.block_on(async {
        let generation = generation::load(&source, setup).map_err(|error| error.headline())?;
        let begun = Instant::now();
        for _ in 0..count {
            let ran = generation.run_to_commit(event, true, Place::free()).await;
            ran.map_err(|fault| fault.headline())?;
        }
        Ok(begun.elapsed())
    })
}
