//! One loaded version of a script: its VM and the handlers that its top level registered.
//!
//! In: source text, limits, a [`World`]. Out: which handlers match an event, and runs of them. The set of handlers is
//! constant once the file has loaded. Must not decide about retries, commits or order.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua};
use serde_json::{Map, Value};

use crate::event::{Event, Kind};

use super::api::{self, Desk, branch::Current, event::event_object};
use super::error::{Fault, FaultKind};
use super::filter::Filter;
use super::library::Libraries;
use super::meter::{Kill, Meter, Tally};
use super::permissions::Permissions;
use super::run::{Cause, Effects, Part, Place, Refusal, Run, Write};
use super::timer::{Timer, Timers};
use super::vm::{self, Limits};
use super::world::World;

mod handover;
mod repl;

pub(crate) use repl::Typed;

/// Bytes that a source file may have: the compiler is not metered.
pub(crate) const MAX_SOURCE: usize = 256 * 1024;

/// A file to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The script's name: a file stem, or a plugin's folder.
    pub(crate) name: String,
    /// The file as people see it: `scripts/bot.lua`.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
    /// What it can require.
    pub(crate) libraries: Libraries,
}

/// What a generation is given beside its source.
pub(crate) struct Setup {
    /// What it may use.
    pub(crate) limits: Limits,
    /// `wharf.config`
    pub(crate) config: Map<String, Value>,
    /// What it may do.
    pub(crate) permissions: Permissions,
    /// What stands behind its API.
    pub(crate) world: Rc<dyn World>,
}

/// A file that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.headline())]
pub(crate) struct LoadError {
    /// The file, as shown.
    pub(crate) file: String,
    /// The line, if one is known.
    pub(crate) line: Option<u32>,
    /// Why.
    pub(crate) message: String,
}

impl LoadError {
    /// `file:line: message`
    pub(crate) fn headline(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.file, self.message),
            None => format!("{}: {}", self.file, self.message),
        }
    }
}

/// What a top level registers, as it goes.
#[derive(Default)]
pub(crate) struct Registered {
    outline: Outline,
    handlers: Vec<Function>,
    gates: Vec<Function>,
}

impl Registered {
    /// Handlers and gates so far.
    pub(crate) fn len(&self) -> usize {
        self.handlers.len() + self.gates.len()
    }

    /// `wharf.on`, or `wharf.gate`.
    pub(crate) fn add(&mut self, event: Kind, filter: Filter, function: Function, gate: bool) {
        let (entries, functions) = match gate {
            true => (&mut self.outline.gates, &mut self.gates),
            false => (&mut self.outline.handlers, &mut self.handlers),
        };
        entries.push((event, filter));
        functions.push(function);
    }
}

/// Which handlers and gates a generation has, without Lua: can be sent anywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outline {
    /// Event and filter of each handler.
    pub(crate) handlers: Vec<(Kind, Filter)>,
    /// Event and filter of each gate.
    pub(crate) gates: Vec<(Kind, Filter)>,
    /// Timers that the file makes: `every 5m`.
    pub(crate) timers: Vec<String>,
    /// What it may see.
    permissions: Permissions,
}

impl Outline {
    /// Whether any handler wants an event. `any_age`: a run that was begun before is not asked for its age again.
    pub(crate) fn wants(&self, event: &Event, now: i64, any_age: bool) -> bool {
        self.permissions.sees(event) && self.handlers.iter().any(|entry| passes(entry, event, now, any_age))
    }

    /// The handlers that want an event, by their place.
    fn handlers_for(&self, event: &Event, now: i64, any_age: bool) -> Vec<usize> {
        let handlers = self.handlers.iter().enumerate();
        handlers
            .filter(|(_, entry)| self.permissions.sees(event) && passes(entry, event, now, any_age))
            .map(|(at, _)| at)
            .collect()
    }

    /// The gates that want an event, by their place.
    pub(crate) fn gates_for(&self, event: &Event, now: i64) -> Vec<usize> {
        let gates = self.gates.iter().enumerate();
        gates
            .filter(|(_, entry)| self.permissions.sees(event) && passes(entry, event, now, false))
            .map(|(at, _)| at)
            .collect()
    }

    /// `on message {is_group=false}`, one for each.
    pub(crate) fn describe(&self) -> Vec<String> {
        let gates = self.gates.iter().map(|(event, filter)| format!("gate {event}{filter}"));
        gates
            .chain(
                self.handlers
                    .iter()
                    .map(|(event, filter)| format!("on {event}{filter}")),
            )
            .chain(self.timers.iter().cloned())
            .collect()
    }
}

/// One loaded version of a script.
pub(crate) struct Generation {
    source: Source,
    script: Rc<str>,
    desk: Rc<Desk>,
    outline: Outline,
    handlers: Vec<Function>,
    gates: Vec<Function>,
    limits: Rc<Limits>,
    // Last: what is above refers into it.
    lua: Lua,
}

/// Compiles a file, runs its top level and keeps what it registered.
///
/// # Errors
/// With file and line: too large, a syntax error, an error or an endless loop at the top level, no handler.
pub(crate) fn load(source: &Source, setup: Setup) -> Result<Generation, LoadError> {
    let refuse = |line, message| LoadError {
        file: source.file.clone(),
        line,
        message,
    };
    if source.text.len() > MAX_SOURCE {
        return Err(refuse(
            None,
            format!("it has {} bytes; at most {MAX_SOURCE} are allowed", source.text.len()),
        ));
    }
    let script: Rc<str> = source.name.as_str().into();
    let limits = Rc::new(setup.limits);
    let meter = Rc::new(Meter::default());
    let permissions = setup.permissions.clone();
    let desk = Rc::new(Desk::new(
        Rc::clone(&meter),
        setup.world,
        setup.permissions,
        source.libraries.clone(),
    ));
    let lua = vm::build(&limits, &meter, |lua| api::install(lua, &desk, &setup.config))
        .map_err(|error| refuse(None, format!("the VM cannot be made: {error}")))?;
    let tally = Tally::new(limits.load);
    let chunk = vm::chunk(&lua, &source.text, &source.file);
    let loaded = meter.slice(&tally, || chunk.exec());
    let registered = desk.close_registration();
    let fault = match (tally.killed(), loaded) {
        (Some(_), _) => Some(Fault::killed(Kill::Load(limits.load), &tally.place(), source)),
        (None, Err(error)) => Some(Fault::of(&error, source)),
        (None, Ok(())) => None,
    };
    if let Some(fault) = fault {
        return Err(refuse(fault.line, fault.message));
    }
    let Registered {
        mut outline,
        handlers,
        gates,
    } = registered;
    for (kind, filter) in outline.handlers.iter_mut().chain(&mut outline.gates) {
        if matches!(kind, Kind::Job(_)) {
            *filter = std::mem::take(filter).of_script(&source.name);
        }
    }
    outline.timers = desk.timers().describe();
    outline.permissions = permissions;
    if handlers.is_empty() && gates.is_empty() && outline.timers.is_empty() {
        return Err(refuse(
            None,
            "it registers no handler: nothing calls wharf.on, wharf.gate or a timer".to_owned(),
        ));
    }
    Ok(Generation {
        source: source.clone(),
        script,
        desk,
        outline,
        handlers,
        gates,
        limits,
        lua,
    })
}

impl Generation {
    /// The script's name.
    pub(crate) fn name(&self) -> &str {
        &self.script
    }

    /// Which handlers and gates it has.
    pub(crate) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// Handlers that match an event, in order. `any_age`: a run that was begun before is not asked for its age again.
    pub(crate) fn matching(&self, event: &Event, any_age: bool) -> Vec<usize> {
        self.outline.handlers_for(event, self.desk.world().now(), any_age)
    }

    /// [`Generation::run_to_commit`], for tests that look at the effects alone.
    #[cfg(test)]
    pub(crate) async fn run(&self, event: &Arc<Event>, any_age: bool, place: Place) -> Result<Effects, Fault> {
        Ok(self.run_to_commit(event, any_age, place).await?.0)
    }

    /// Runs all matching handlers of an event, one after the other. Answers the run itself as well, which
    /// [`Generation::update_again`] asks if its commit conflicts.
    ///
    /// # Errors
    /// The fault of the first that fails; then nothing of the run may be kept.
    pub(crate) async fn run_to_commit(
        &self,
        event: &Arc<Event>,
        any_age: bool,
        place: Place,
    ) -> Result<(Effects, Rc<Run>), Fault> {
        let handlers = self.matching(event, any_age);
        let run = self.begin(Cause::Event(Arc::clone(event)), Part::Handlers, place);
        let object = event_object(&self.lua, &self.desk, event).map_err(|error| self.fault(&error))?;
        for at in handlers {
            let Some(handler) = self.handlers.get(at) else { continue };
            run.tally().refill();
            self.drive(&run, self.limits.wall, handler.call_async::<()>(object.clone()))
                .await?;
        }
        Ok((run.finish(), run))
    }

    /// Makes the value of a key anew that an ended run has updated and another one was faster to write.
    ///
    /// # Errors
    /// The fault of the function that makes it; nothing of the run may be kept then.
    pub(crate) async fn update_again(&self, run: &Rc<Run>, key: &str) -> Result<Write, Fault> {
        run.tally().refill();
        let work = async { Ok(run.kv_again(key).await) };
        let refused = match self.drive(run, self.limits.wall, work).await? {
            Ok(write) => return Ok(write),
            Err(Refusal::Misuse(text)) => text,
            Err(Refusal::Failed(failure)) => failure.message,
            Err(Refusal::Raised(value)) => value.to_string().unwrap_or_default(),
        };
        Err(self.fault(&mlua::Error::RuntimeError(refused)))
    }

    /// Runs one gate; `true` means that it stopped the event.
    ///
    /// # Errors
    /// Its fault; the event passes then.
    #[cfg(test)]
    pub(crate) async fn gate(&self, event: &Arc<Event>, gate: usize) -> Result<(bool, Effects), Fault> {
        let (stopped, effects, _) = self.gate_to_commit(event, gate).await?;
        Ok((stopped, effects))
    }

    /// Asks one gate: whether it stops the event, what it wants kept, and the run itself, as
    /// [`Generation::run_to_commit`].
    ///
    /// # Errors
    /// Its fault; the event passes then.
    pub(crate) async fn gate_to_commit(
        &self,
        event: &Arc<Event>,
        gate: usize,
    ) -> Result<(bool, Effects, Rc<Run>), Fault> {
        let run = self.begin(Cause::Event(Arc::clone(event)), Part::Gate(gate), Place::free());
        let Some(handler) = self.gates.get(gate) else {
            return Ok((false, run.finish(), run));
        };
        let object = event_object(&self.lua, &self.desk, event).map_err(|error| self.fault(&error))?;
        let call = handler.call_async::<mlua::Value>(object);
        let answer = self.drive(&run, self.limits.gate_wall, call).await?;
        Ok((self.desk.is_stop(&answer), run.finish(), run))
    }

    /// Runs the callback of a timer. `id` stands for this call in the keys of its sends.
    ///
    /// # Errors
    /// Its fault; nothing of the run may be kept.
    pub(crate) async fn fire(&self, timer: &Timer, id: &str) -> Result<(Effects, Rc<Run>), Fault> {
        let run = self.begin(Cause::Timer(id.to_owned()), Part::Timer, Place::free());
        let call = timer.function.call_async::<()>(());
        self.drive(&run, self.limits.wall, call).await?;
        Ok((run.finish(), run))
    }

    /// Its timers.
    pub(crate) fn timers(&self) -> &Rc<Timers> {
        self.desk.timers()
    }

    /// A run has been committed: arms the timers that it made.
    pub(crate) fn committed(&self, run: &Run) {
        self.timers().arm(run.take_timers(), self.desk.world().now());
    }

    fn begin(&self, cause: Cause, part: Part, place: Place) -> Rc<Run> {
        Run::new(&self.script, cause, part, &self.limits, self.desk.world(), place)
    }

    async fn drive<T>(
        &self,
        run: &Rc<Run>,
        wall: std::time::Duration,
        work: impl Future<Output = mlua::Result<T>>,
    ) -> Result<T, Fault> {
        self.drive_of(&self.source, run, wall, work).await
    }

    /// [`Generation::drive`], of code that lies in another source.
    async fn drive_of<T>(
        &self,
        source: &Source,
        run: &Rc<Run>,
        wall: std::time::Duration,
        work: impl Future<Output = mlua::Result<T>>,
    ) -> Result<T, Fault> {
        let current = Current::of(run);
        let work = current.through(self.desk.within(&current, work));
        match self.desk.meter().watch(run.tally(), wall, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault_of(&error, source)),
            Err(kill) => Err(Fault::killed(kill, &run.tally().place(), source)),
        }
    }

    fn fault(&self, error: &mlua::Error) -> Fault {
        self.fault_of(error, &self.source)
    }

    fn fault_of(&self, error: &mlua::Error, source: &Source) -> Fault {
        let fault = Fault::of(error, source);
        if fault.kind == FaultKind::Memory {
            // Luau stays at the brink until it is told to collect.
            self.lua.gc_collect().ok();
        }
        fault
    }
}

fn passes((kind, filter): &(Kind, Filter), event: &Event, now: i64, any_age: bool) -> bool {
    event.event.answers_to(kind) && filter.matches(event) && (any_age || filter.young_enough(event, now))
}

#[cfg(test)]
mod tests;
