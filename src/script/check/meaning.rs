//! What the terms of a source are in the API: which is `wharf.kv`, which the message that a handler gets.
//!
//! In: facts, the rows of the API. Out: a [`Meaning`] for each term. Says `Unknown` where it is not certain: a check that is
//! wrong once is not believed again.

use std::collections::HashMap;
use std::rc::Rc;

use crate::event::Kind;
use crate::script::api::{Row, rows};
use crate::script::fields;
use crate::script::signature::{self, Type};

use super::facts::{Call, Facts, Term};

/// What a term is.
#[derive(Clone)]
pub(super) enum Meaning {
    /// It cannot be told.
    Unknown,
    /// The table `wharf`.
    Wharf,
    /// A module of it.
    Module(&'static str),
    /// An entry of the API.
    Entry(&'static Row),
    /// The event that a handler gets: one of these.
    Event(Vec<Kind>),
    /// What `wharf.account` answers, with the id if it is written there.
    Account(Option<Rc<str>>),
    /// A table with fields that are known; what it is, in words.
    Record(String, Vec<(String, Type)>),
}

/// What the terms of one source are.
pub(super) struct Meanings<'a> {
    facts: &'a Facts,
    /// The events of functions that are handlers and nothing else.
    handlers: HashMap<usize, Vec<Kind>>,
}

/// How far a term is followed.
const DEPTH: usize = 32;

/// The row of a name, such as `kv.get` or `message:reply`.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    rows().find(|row| row.name == name)
}

impl<'a> Meanings<'a> {
    pub(super) fn of(facts: &'a Facts) -> Self {
        let mut meanings = Self {
            facts,
            handlers: HashMap::new(),
        };
        let mut passed: HashMap<usize, (Vec<Kind>, usize)> = HashMap::new();
        for call in &facts.calls {
            if !matches!(meanings.called(call), Some(row) if matches!(row.name, "on" | "gate")) {
                continue;
            }
            let Some((Term::Text(name), _)) = call.arguments.first() else {
                continue;
            };
            let kind = Kind::parse(name);
            let handler = call.arguments.iter().skip(1).map(|(term, _)| term);
            for term in handler {
                match (term, &kind) {
                    (Term::Function(id), Some(kind)) => meanings.handlers.entry(*id).or_default().push(kind.clone()),
                    (Term::Local(at), kind) => {
                        let (kinds, count) = passed.entry(*at).or_default();
                        kinds.extend(kind.clone());
                        *count += 1;
                    }
                    _ => {}
                }
            }
        }
        // A named function is a handler alone if it is not used for anything else.
        for (at, (kinds, count)) in passed {
            let Some(local) = facts.locals.get(at) else { continue };
            if let Term::Function(id) = local.value
                && !local.assigned
                && local.reads == count
                && kinds.len() == count
            {
                meanings.handlers.insert(id, kinds);
            }
        }
        meanings
    }

    /// What a term is.
    pub(super) fn what(&self, term: &Term) -> Meaning {
        self.follow(term, DEPTH)
    }

    /// The entry of the API that a call is of; methods as well.
    pub(super) fn called(&self, call: &Call) -> Option<&'static Row> {
        let Some(method) = &call.method else {
            return match self.what(&call.of) {
                Meaning::Entry(row) => Some(row),
                _ => None,
            };
        };
        self.method(&self.what(&call.of), method)
    }

    /// Functions that run in a run of their own, not while the file loads.
    pub(super) fn runs_later(&self) -> Vec<usize> {
        let mut found = Vec::new();
        for call in &self.facts.calls {
            let later = self.called(call).is_some_and(|row| {
                matches!(
                    row.name,
                    "on" | "gate" | "after" | "every" | "cron" | "spawn" | "on_reload"
                )
            });
            let functions = call.arguments.iter().filter_map(|(term, _)| match term {
                Term::Function(id) => Some(*id),
                _ => None,
            });
            found.extend(functions.filter(|_| later));
        }
        found
    }

    fn method(&self, of: &Meaning, name: &str) -> Option<&'static Row> {
        match of {
            Meaning::Account(_) => row(&format!("account:{name}")),
            Meaning::Event(kinds) => kinds.iter().find_map(|kind| row(&format!("{}:{name}", object(kind)))),
            _ => None,
        }
    }

    fn follow(&self, term: &Term, depth: usize) -> Meaning {
        let Some(depth) = depth.checked_sub(1) else {
            return Meaning::Unknown;
        };
        match term {
            Term::Global(name) if **name == *"wharf" && !self.facts.set.contains(name) => Meaning::Wharf,
            Term::Local(at) => match self.facts.locals.get(*at) {
                Some(local) if !local.assigned => self.follow(&local.value, depth),
                _ => Meaning::Unknown,
            },
            Term::Parameter(function, 0) => match self.handlers.get(function) {
                Some(kinds) => Meaning::Event(kinds.clone()),
                None => Meaning::Unknown,
            },
            Term::Member(of, name) => self.member(&self.follow(of, depth), name),
            Term::Answer(of, first) => match self.follow(of, depth) {
                Meaning::Entry(row) if row.name == "account" => Meaning::Account(first.clone()),
                Meaning::Entry(row) => answered(row),
                _ => Meaning::Unknown,
            },
            Term::MethodAnswer(of, name) => {
                let row = self.method(&self.follow(of, depth), name);
                row.map_or(Meaning::Unknown, answered)
            }
            _ => Meaning::Unknown,
        }
    }

    fn member(&self, of: &Meaning, name: &str) -> Meaning {
        match of {
            Meaning::Wharf => {
                let module = rows().find_map(|row| {
                    let (module, _) = row.name.split_once('.')?;
                    (module == name && module != "_G").then_some(module)
                });
                let entry = || row(name).map_or(Meaning::Unknown, Meaning::Entry);
                module.map_or_else(entry, Meaning::Module)
            }
            Meaning::Module(module) => row(&format!("{module}.{name}")).map_or(Meaning::Unknown, Meaning::Entry),
            Meaning::Event(kinds) if kinds.iter().all(Kind::is_message) => match fields::parts(name) {
                Some(parts) => Meaning::Record(format!("'{name}' of a message"), parts),
                None => Meaning::Unknown,
            },
            _ => Meaning::Unknown,
        }
    }
}

/// What an entry answers.
fn answered(row: &'static Row) -> Meaning {
    let signature = signature::parse(row.signature);
    let answer = signature.as_ref().and_then(Type::answer);
    match answer {
        Some(answer) => match answer.fields() {
            Some(fields) => Meaning::Record(format!("what {} answers", shown(row)), fields),
            None => Meaning::Unknown,
        },
        None => Meaning::Unknown,
    }
}

/// A row as it is written in a script: `wharf.kv.get`, `account:send`.
pub(super) fn shown(row: &Row) -> String {
    match row.name.contains(':') {
        true => row.name.to_owned(),
        false => format!("wharf.{}", row.name),
    }
}

/// The kind of object that an event is.
pub(super) fn object(kind: &Kind) -> &'static str {
    if kind.is_message() { "message" } else { "event" }
}
