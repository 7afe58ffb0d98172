//! One loaded version of a script: its VM and the handlers that its top level registered.
//!
//! In: source text, limits, a [`World`]. Out: which handlers match an event, and runs of them. The set of handlers is
//! constant once the file has loaded. Must not decide about retries, commits or order.

use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua};
use serde_json::{Map, Value};

use crate::event::{Event, Kind};

use super::api::{self, Desk, event::event_object};
use super::error::{Fault, FaultKind};
use super::filter::Filter;
use super::manifest::Permissions;
use super::meter::{Kill, Meter, Tally};
use super::run::{Effects, Part, Place, Run};
use super::vm::{self, Limits};
use super::world::World;

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
}

/// What a generation is given beside its source.
pub(crate) struct Setup {
    /// Counts the loaded versions of the script.
    pub(crate) number: u64,
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

/// What a top level registered.
#[derive(Clone)]
pub(crate) struct Handler {
    /// Which event.
    pub(crate) event: Kind,
    /// Which of them.
    pub(crate) filter: Filter,
    function: Function,
}

impl Handler {
    /// A handler for events that pass `filter`.
    pub(crate) fn new(event: Kind, filter: Filter, function: Function) -> Self {
        Self { event, filter, function }
    }

    fn wants(&self, event: &Event) -> bool {
        event.event.answers_to(&self.event) && self.filter.matches(event)
    }
}

/// Handlers and gates, as they are registered.
#[derive(Default)]
pub(crate) struct Registered {
    /// `wharf.on`, in order.
    pub(crate) handlers: Vec<Handler>,
    /// `wharf.gate`, in order.
    pub(crate) gates: Vec<Handler>,
}

/// Which handlers and gates a generation has, without Lua: can be sent anywhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outline {
    /// Event and filter of each handler.
    pub(crate) handlers: Vec<(Kind, Filter)>,
    /// Event and filter of each gate.
    pub(crate) gates: Vec<(Kind, Filter)>,
}

impl Outline {
    /// `on message {is_group=false}`, one for each.
    pub(crate) fn describe(&self) -> Vec<String> {
        let gates = self.gates.iter().map(|(event, filter)| format!("gate {event}{filter}"));
        gates.chain(self.handlers.iter().map(|(event, filter)| format!("on {event}{filter}"))).collect()
    }
}

/// One loaded version of a script.
pub(crate) struct Generation {
    source: Source,
    script: Rc<str>,
    desk: Rc<Desk>,
    registered: Registered,
    limits: Rc<Limits>,
    // Last: what is above refers into it.
    lua: Lua,
}

/// Compiles a file, runs its top level and keeps what it registered.
///
/// # Errors
/// With file and line: too large, a syntax error, an error or an endless loop at the top level, no handler.
pub(crate) fn load(source: &Source, setup: Setup) -> Result<Generation, LoadError> {
    let refuse = |line, message| LoadError { file: source.file.clone(), line, message };
    if source.text.len() > MAX_SOURCE {
        return Err(refuse(None, format!("it has {} bytes; at most {MAX_SOURCE} are allowed", source.text.len())));
    }
    let script: Rc<str> = source.name.as_str().into();
    let limits = Rc::new(setup.limits);
    let meter = Rc::new(Meter::default());
    let desk = Rc::new(Desk::new(Rc::clone(&meter), setup.world, setup.permissions));
    let lua = vm::build(&limits, &meter, |lua| api::install(lua, &desk, &setup.config))
        .map_err(|error| refuse(None, format!("the VM cannot be made: {error}")))?;
    let tally = Tally::new(limits.load);
    let chunk = lua.load(source.text.as_str()).set_name(format!("={}", source.file));
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
    if registered.handlers.is_empty() && registered.gates.is_empty() {
        return Err(refuse(None, "it registers no handler: nothing calls wharf.on or wharf.gate".to_owned()));
    }
    Ok(Generation { source: source.clone(), script, desk, registered, limits, lua })
}

impl Generation {
    /// Which handlers and gates it has.
    pub(crate) fn outline(&self) -> Outline {
        let pairs = |handlers: &[Handler]| handlers.iter().map(|h| (h.event.clone(), h.filter.clone())).collect();
        Outline { handlers: pairs(&self.registered.handlers), gates: pairs(&self.registered.gates) }
    }

    /// Its source.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Handlers that match an event, in order. `any_age`: a run that was begun before is not asked for its age again.
    pub(crate) fn matching(&self, event: &Event, any_age: bool) -> Vec<usize> {
        matching(&self.registered.handlers, event, self.desk.world().now(), any_age)
    }

    /// Gates that match an event, in order.
    pub(crate) fn matching_gates(&self, event: &Event, any_age: bool) -> Vec<usize> {
        matching(&self.registered.gates, event, self.desk.world().now(), any_age)
    }

    /// Runs all matching handlers of an event, one after the other.
    ///
    /// # Errors
    /// The fault of the first that fails; then nothing of the run may be kept.
    pub(crate) async fn run(&self, event: &Arc<Event>, any_age: bool, place: Place) -> Result<Effects, Fault> {
        let handlers = self.matching(event, any_age);
        let run = self.begin(event, Part::Handlers, place);
        let object = event_object(&self.lua, &self.desk, event).map_err(|error| self.fault(&error))?;
        for at in handlers {
            let Some(handler) = self.registered.handlers.get(at) else { continue };
            run.tally().refill();
            self.drive(&run, self.limits.wall, handler.function.call_async::<()>(object.clone())).await?;
        }
        Ok(run.finish())
    }

    /// Runs one gate; `true` means that it stopped the event.
    ///
    /// # Errors
    /// Its fault; the event passes then.
    pub(crate) async fn gate(&self, event: &Arc<Event>, gate: usize) -> Result<(bool, Effects), Fault> {
        let run = self.begin(event, Part::Gate(gate), Place::free());
        let Some(handler) = self.registered.gates.get(gate) else { return Ok((false, run.finish())) };
        let object = event_object(&self.lua, &self.desk, event).map_err(|error| self.fault(&error))?;
        let call = handler.function.call_async::<mlua::Value>(object);
        let answer = self.drive(&run, self.limits.gate_wall, call).await?;
        Ok((self.desk.is_stop(&answer), run.finish()))
    }

    /// Bytes that the VM uses.
    pub(crate) fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    fn begin(&self, event: &Arc<Event>, part: Part, place: Place) -> Rc<Run> {
        Run::new(&self.script, Arc::clone(event), part, &self.limits, self.desk.world(), place)
    }

    async fn drive<T>(
        &self,
        run: &Rc<Run>,
        wall: std::time::Duration,
        work: impl Future<Output = mlua::Result<T>>,
    ) -> Result<T, Fault> {
        let work = self.desk.within(run, work);
        match self.desk.meter().watch(run.tally(), wall, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fault(&error)),
            Err(kill) => Err(Fault::killed(kill, &run.tally().place(), &self.source)),
        }
    }

    fn fault(&self, error: &mlua::Error) -> Fault {
        let fault = Fault::of(error, &self.source);
        if fault.kind == FaultKind::Memory {
            // Luau stays at the brink until it is told to collect.
            self.lua.gc_collect().ok();
        }
        fault
    }
}

fn matching(handlers: &[Handler], event: &Event, now: i64, any_age: bool) -> Vec<usize> {
    let wants = |handler: &Handler| handler.wants(event) && (any_age || handler.filter.young_enough(event, now));
    handlers.iter().enumerate().filter(|(_, handler)| wants(handler)).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests;
