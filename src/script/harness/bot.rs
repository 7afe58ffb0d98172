//! A script under test: events go in, what it does is asked for.
//!
//! In: a file, options, the calls of the test. Out: runs with the real semantics: gates first, one commit, lanes for each
//! chat, the schedule of tries. Time passes by `advance` only.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mlua::Value as LuaValue;
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::event::{Event, Kind, Origin, SCHEMA};
use crate::script::api::convert;
use crate::script::error::suggestion;
use crate::script::filter::parse_duration;
use crate::script::generation::{self, Generation, Setup};
use crate::script::jobs;
use crate::script::listing;
use crate::script::run::{Later, Place};
use crate::script::timer::Due;
use crate::script::times::Times;
use crate::script::vm::Limits;
use crate::script::world::World;
use crate::store::Job;

use super::world::{Invented, OWN};

/// An event that waits in its chat's lane: for its next try, or for the one before it.
struct Waiting {
    event: Arc<Event>,
    tries: usize,
    due: i64,
}

/// One script under test.
pub(super) struct Bot {
    generation: Generation,
    /// Where its file lies.
    pub(super) folder: PathBuf,
    pub(super) world: Rc<Invented>,
    lanes: RefCell<BTreeMap<String, VecDeque<Waiting>>>,
    /// What the gates said to the last event.
    pub(super) verdict: Cell<Option<Verdict>>,
    pub(super) fault: RefCell<Option<String>>,
    events: Cell<u64>,
}

/// What the gates said to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// One stopped it.
    Stopped,
    /// At least one was asked, and all let it pass.
    Passed,
    /// No gate wanted it.
    NotAsked,
}

const OPTIONS: &[&str] = &["config", "now", "zone", "accounts", "endpoints", "secrets"];

/// Fields of `bot:message{…}` that are not fields of the message.
const ABOUT: &[&str] = &["account", "age", "name", "origin", "file"];

/// What a test got wrong, which may have several lines: those of a plain runtime error would be taken for a stack.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);

pub(super) fn wrong(text: impl Into<String>) -> mlua::Error {
    mlua::Error::external(Wrong(text.into()))
}

pub(super) fn object_of(value: &LuaValue, what: &str) -> mlua::Result<Map<String, Value>> {
    match convert::to_json(value).map_err(wrong)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        Value::Array(list) if list.is_empty() => Ok(Map::new()),
        other => Err(wrong(format!("{what} is a table with names, not {other}"))),
    }
}

fn texts(options: &Map<String, Value>, name: &str, default: &[&str]) -> Vec<String> {
    let Some(list) = options.get(name).and_then(Value::as_array) else {
        return default.iter().map(|text| (*text).to_owned()).collect();
    };
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Bot {
    /// Loads the file into an invented world.
    pub(super) fn start(file: &Path, options: &LuaValue, limits: &Limits, host: &Config) -> mlua::Result<Rc<Self>> {
        let options = object_of(options, "the options of wharf.test")?;
        if let Some(key) = options.keys().find(|key| !OPTIONS.contains(&key.as_str())) {
            return Err(wrong(format!(
                "wharf.test has no option '{key}'{}",
                suggestion(key, OPTIONS.iter().copied())
            )));
        }
        let given = match options.get("config") {
            Some(Value::Object(config)) => config.clone(),
            _ => Map::new(),
        };
        let plan = listing::plan(file, limits, |_, _| given.clone()).map_err(|error| wrong(error.to_string()))?;
        // Not the script's own setting of that name: the host does not look at it either.
        let zone = options.get("zone").and_then(Value::as_str).unwrap_or("UTC");
        let zone = TimeZone::get(zone).map_err(|_| wrong(format!("there is no time zone '{zone}'")))?;
        let now = options.get("now").and_then(Value::as_str).unwrap_or("2026-01-05T12:00");
        let now: DateTime = now
            .parse()
            .map_err(|_| wrong(format!("now = \"{now}\" is not like \"2026-01-05T07:30\"")))?;
        let now = zone.to_timestamp(now).map_err(|error| wrong(error.to_string()))?;
        let endpoints = host.endpoint.keys().map(String::as_str).collect::<Vec<_>>();
        let secrets = options.get("secrets").and_then(Value::as_object).into_iter().flatten();
        let secrets = secrets.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        let secrets = secrets.collect();
        let world = Rc::new(Invented::new(
            now.as_millisecond(),
            zone,
            texts(&options, "accounts", &["main"]),
            texts(&options, "endpoints", &endpoints),
            secrets,
        ));
        let setup = Setup {
            limits: plan.limits,
            config: plan.config,
            permissions: plan.permissions,
            world: Rc::clone(&world) as Rc<dyn World>,
        };
        let generation = generation::load(&plan.source, setup).map_err(|error| wrong(error.headline()))?;
        generation.timers().arm_file(world.now());
        Ok(Rc::new(Self {
            generation,
            folder: file.parent().map(Path::to_owned).unwrap_or_default(),
            world,
            lanes: RefCell::default(),
            verdict: Cell::new(None),
            fault: RefCell::default(),
            events: Cell::new(0),
        }))
    }

    /// Whether any event can be stopped.
    pub(super) fn has_gate(&self) -> bool {
        !self.generation.outline().gates.is_empty()
    }

    /// A failed run that the test did not ask about.
    pub(super) fn unasked(&self) -> Option<String> {
        self.fault
            .take()
            .map(|fault| format!("a handler or gate failed: {fault}"))
    }

    pub(super) fn still_fine(&self) -> mlua::Result<()> {
        self.unasked().map_or(Ok(()), |text| Err(wrong(text)))
    }

    /// An event happens: its lane works on it as soon as those before it have ended.
    pub(super) async fn happen(
        &self,
        kind: Kind,
        account: Option<String>,
        timestamp: i64,
        origin: Origin,
        data: Map<String, Value>,
    ) -> mlua::Result<()> {
        self.still_fine()?;
        let number = self.events.get() + 1;
        self.events.set(number);
        let account = account.map(|id| id.parse()).transpose();
        let event = Arc::new(Event {
            schema: SCHEMA.to_owned(),
            id: format!("evt_{number:026}"),
            seq: number,
            event: kind,
            account: account.map_err(|error: crate::event::BadAccountId| wrong(error.to_string()))?,
            timestamp,
            origin,
            data,
        });
        self.world
            .past
            .borrow_mut()
            .push((self.world.now(), Arc::clone(&event)));
        let lane = event.chat().unwrap_or_default().to_owned();
        let waiting = Waiting {
            event,
            tries: 0,
            due: self.world.now(),
        };
        self.lanes
            .borrow_mut()
            .entry(lane.clone())
            .or_default()
            .push_back(waiting);
        self.work(&lane).await
    }

    /// Works on a lane until it is empty or its first event has to wait.
    async fn work(&self, lane: &str) -> mlua::Result<()> {
        loop {
            let head = {
                let lanes = self.lanes.borrow();
                let head = lanes.get(lane).and_then(VecDeque::front);
                head.filter(|head| head.due <= self.world.now())
                    .map(|head| (Arc::clone(&head.event), head.tries))
            };
            let Some((event, tries)) = head else { return Ok(()) };
            let mut gate_fault = None;
            let fault = self.run(&event, tries, &mut gate_fault).await;
            let mut lanes = self.lanes.borrow_mut();
            let Some(queue) = lanes.get_mut(lane) else {
                return Ok(());
            };
            match (fault, Times::default().retries.get(tries), queue.front_mut()) {
                (Err(fault), Some(wait), Some(head)) => {
                    head.tries += 1;
                    head.due = self.world.now() + millis(*wait);
                    self.fault.replace(Some(fault));
                }
                (fault, _, _) => {
                    self.fault.replace(fault.err().or(gate_fault));
                    queue.pop_front();
                }
            }
        }
    }

    async fn run(&self, event: &Arc<Event>, tries: usize, gate_fault: &mut Option<String>) -> Result<(), String> {
        if tries == 0 {
            self.verdict.set(Some(Verdict::NotAsked));
            for gate in self.generation.outline().gates_for(event, self.world.now()) {
                self.verdict.set(Some(Verdict::Passed));
                match self.generation.gate_to_commit(event, gate).await {
                    Ok((stopped, effects, run)) => {
                        self.world.commit(effects)?;
                        self.generation.committed(&run);
                        if stopped {
                            self.verdict.set(Some(Verdict::Stopped));
                            return Ok(());
                        }
                    }
                    // A gate that fails lets the event pass; a test wants to know.
                    Err(fault) => *gate_fault = Some(fault.headline()),
                }
            }
        }
        let ran = self.generation.run_to_commit(event, tries > 0, Place::free()).await;
        let (effects, run) = ran.map_err(|fault| fault.headline())?;
        self.world.commit(effects)?;
        self.generation.committed(&run);
        Ok(())
    }

    /// A job is due.
    async fn job(&self, job: Later) -> mlua::Result<()> {
        let event = jobs::event(&Job {
            id: String::new(),
            script: self.generation.name().to_owned(),
            name: job.name,
            due: job.due,
            data: job.data,
        });
        self.happen(event.event, None, event.timestamp, event.origin, event.data)
            .await
    }

    /// Calls a timer, once.
    async fn fire(&self, due: Due) {
        let number = self.events.get() + 1;
        self.events.set(number);
        let ended = self.generation.fire(&due.timer, &format!("timer_{number}")).await;
        let kept = ended.map_err(|fault| fault.headline()).and_then(|(effects, run)| {
            self.world.commit(effects)?;
            self.generation.committed(&run);
            Ok(())
        });
        self.fault.replace(kept.err());
        self.generation.timers().again(due, self.world.now());
    }

    pub(super) async fn message(&self, fields: Map<String, Value>) -> mlua::Result<()> {
        let text = |name: &str| fields.get(name).and_then(Value::as_str);
        let age = text("age")
            .map(parse_duration)
            .transpose()
            .map_err(wrong)?
            .unwrap_or_default();
        let timestamp = self.world.now() - millis(age);
        let chat = text("chat").unwrap_or("491700000002@c.us").to_owned();
        let own = format!("{OWN}@c.us");
        let from_me = fields.get("from_me") == Some(&Value::Bool(true));
        let (from, to) = if from_me {
            (own, chat.clone())
        } else {
            (chat.clone(), own)
        };
        let phone = from.strip_suffix("@c.us").map(str::to_owned);
        let mut data = json!({
            "id": format!("{from_me}_{chat}_{}", self.events.get() + 1),
            "chat": chat, "from": from, "to": to, "author": null,
            "sender": { "id": from, "lid": null, "phone": phone, "name": text("name") },
            "from_me": from_me, "source": null, "type": "chat", "body": null, "caption": null, "media": null,
            "quoted": null, "mentions": [], "timestamp": timestamp, "ack": 1,
        });
        for (name, value) in fields.iter().filter(|(name, _)| !ABOUT.contains(&name.as_str())) {
            let Some(slot) = data.get_mut(name) else {
                let known = crate::event::MESSAGE_FIELDS.iter().chain(ABOUT).copied();
                return Err(wrong(format!(
                    "a message has no field '{name}'{}",
                    suggestion(name, known)
                )));
            };
            match (slot, value) {
                (Value::Object(parts), Value::Object(given)) => parts.extend(given.clone()),
                (slot, value) => *slot = value.clone(),
            }
        }
        if let Some(file) = fields.get("file") {
            self.attach(file, &mut data)?;
        }
        let kind = if from_me { Kind::MESSAGE_ANY } else { Kind::MESSAGE };
        let origin = if text("origin") == Some("history") {
            Origin::History
        } else {
            Origin::Live
        };
        let account = text("account").map_or_else(|| self.world.first_account(), str::to_owned);
        let Value::Object(data) = data else { return Ok(()) };
        self.happen(kind, Some(account), timestamp, origin, data).await
    }

    pub(super) async fn event(&self, name: &str, data: Map<String, Value>) -> mlua::Result<()> {
        let known = crate::event::names();
        let kind = Kind::parse(name).ok_or_else(|| wrong(format!("no event '{name}'{}", suggestion(name, known))))?;
        let mut data = data;
        if matches!(kind, Kind::Job(_)) {
            data.insert(jobs::OWNER.to_owned(), self.generation.name().into());
        }
        let of_account = name.starts_with("account.") || name.starts_with("message.");
        let account = of_account.then(|| self.world.first_account());
        self.happen(kind, account, self.world.now(), Origin::Live, data).await
    }

    /// Lets time pass: whatever becomes due on the way is worked on at its time.
    pub(super) async fn advance(&self, by: Duration) -> mlua::Result<()> {
        let end = self.world.now() + millis(by);
        loop {
            let due = {
                let lanes = self.lanes.borrow();
                let heads = lanes
                    .iter()
                    .filter_map(|(lane, queue)| Some((queue.front()?.due, lane.clone())));
                heads.min().filter(|(due, _)| *due <= end)
            };
            let (job, first) = (self.world.next_job().filter(|at| *at <= end), due.as_ref());
            if let Some(at) = job.filter(|at| first.is_none_or(|(due, _)| at <= due)) {
                self.still_fine()?;
                self.world.set_now(at.max(self.world.now()));
                if let Some(job) = self.world.take_job() {
                    self.job(job).await?;
                }
                continue;
            }
            let timer = self.generation.timers().next().filter(|at| *at <= end);
            if let Some(at) = timer.filter(|at| due.as_ref().is_none_or(|(due, _)| at <= due)) {
                self.still_fine()?;
                self.world.set_now(at.max(self.world.now()));
                if let Some(due) = self.generation.timers().take(self.world.now()) {
                    self.fire(due).await;
                }
                continue;
            }
            let Some((due, lane)) = due else { break };
            self.fault.take();
            self.world.set_now(due.max(self.world.now()));
            self.work(&lane).await?;
        }
        self.world.set_now(end.max(self.world.now()));
        Ok(())
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
