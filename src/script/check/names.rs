//! Names that are not there: of the API, of messages and accounts, of what calls answer, of the language's libraries; and
//! globals that nothing sets.
//!
//! In: facts and meanings. Out: findings with what was probably meant. Must not report what is not certain.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::event::Kind;
use crate::script::api::event::ENVELOPE;
use crate::script::api::rows;
use crate::script::error::{closest, suggestion};

use super::facts::{Facts, How, Term, Use};
use super::finding::Finding;
use super::lacks;
use super::meaning::{Meaning, Meanings, object};

/// What the language has here: globals, and the names in those that are tables.
pub(super) type Known = BTreeMap<String, BTreeSet<String>>;

/// Looks at every member that is used, and at every global that is read. `set`: globals that other files of the script set.
pub(super) fn look(
    file: &str,
    facts: &Facts,
    meanings: &Meanings<'_>,
    known: &Known,
    set: &BTreeSet<Rc<str>>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for used in &facts.uses {
        let wrong = match meanings.what(&used.of) {
            Meaning::Wharf => of_table("wharf", names_of_wharf(), used),
            Meaning::Module(module) => of_table(&format!("wharf.{module}"), names_of(module, '.'), used),
            Meaning::Event(kinds) => of_event(&kinds, used, facts),
            Meaning::Account(_) => of_account(used, facts),
            Meaning::Record(what, fields) => {
                let fields: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
                of_record(&what, &fields, used, facts)
            }
            Meaning::Entry(_) | Meaning::Unknown => of_library(used, known, &facts.set),
        };
        found.extend(wrong.map(|message| Finding::at(file, used.spot, message)));
    }
    for read in &facts.globals {
        let name = &*read.name;
        if known.contains_key(name) || facts.set.contains(name) || set.contains(name) {
            continue;
        }
        let message = match lacks::library(name) {
            Some(way) => format!("there is no '{name}' here; {way}"),
            None => {
                let near = read.near.iter().map(|name| &**name);
                let hint = suggestion(name, near.chain(known.keys().map(String::as_str)));
                format!("nothing sets '{name}'{hint}")
            }
        };
        found.push(Finding::at(file, read.spot, message));
    }
    found
}

fn names_of_wharf() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows().filter(|row| !row.name.contains(':') && !row.name.starts_with("_G.")) {
        let name = row.name.split('.').next().unwrap_or_default();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Names of the rows of a module or an object.
fn names_of(of: &str, separator: char) -> Vec<&'static str> {
    let rows = rows().filter_map(|row| row.name.split_once(separator));
    rows.filter(|(before, _)| *before == of).map(|(_, name)| name).collect()
}

fn of_table(title: &str, names: Vec<&str>, used: &Use) -> Option<String> {
    let name = &*used.name;
    match used.how {
        How::Write => Some(format!("wharf is read-only: '{name}' cannot be set")),
        _ if !names.contains(&name) => Some(format!("{title} has no '{name}'{}", suggestion(name, names))),
        How::Method => Some(format!("call it with a dot: {title}.{name}(…)")),
        _ => None,
    }
}

fn of_event(kinds: &[Kind], used: &Use, facts: &Facts) -> Option<String> {
    let name = &*used.name;
    let first = kinds.first()?;
    if used.how == How::Write {
        return Some(format!("an event is read-only: '{name}' cannot be set"));
    }
    let mut methods: Vec<&str> = Vec::new();
    let mut fields: Vec<&str> = ENVELOPE.to_vec();
    for kind in kinds {
        methods.extend(names_of(object(kind), ':'));
        // The fields of a job are what the script gave it.
        fields.extend(kind.fields()?);
        if kind.is_message() {
            fields.push("is_group");
        }
    }
    let is_method = methods.contains(&name);
    match used.how {
        How::Method if fields.contains(&name) && !is_method => Some(format!("'{name}' is a field: write .{name}")),
        How::Method if !is_method => {
            let hint = suggestion(name, methods);
            Some(format!("a `{first}` event has no method '{name}'{hint}"))
        }
        How::Call if is_method => with_a_dot(used, facts),
        _ if !is_method && !fields.contains(&name) => {
            let hint = suggestion(name, fields.into_iter().chain(methods));
            Some(format!("a `{first}` event has no field '{name}'{hint}"))
        }
        _ => None,
    }
}

fn of_account(used: &Use, facts: &Facts) -> Option<String> {
    let name = &*used.name;
    let methods = names_of("account", ':');
    match used.how {
        How::Write => Some(format!("an account is read-only: '{name}' cannot be set")),
        _ if name == "id" => (used.how == How::Method).then(|| "'id' is a field: write .id".to_owned()),
        _ if !methods.contains(&name) => {
            let hint = suggestion(name, methods.into_iter().chain(["id"]));
            Some(format!("an account has no '{name}'{hint}"))
        }
        How::Call => with_a_dot(used, facts),
        _ => None,
    }
}

/// A method that is called with a dot, and not given its object.
fn with_a_dot(used: &Use, facts: &Facts) -> Option<String> {
    let call = facts.calls.iter().find(|call| call.spot == used.spot)?;
    let given = call.arguments.first().is_some_and(|(first, _)| *first == used.of);
    (!given).then(|| format!("'{0}' is a method: call it with a colon, as in :{0}(…)", used.name))
}

fn of_record(what: &str, fields: &[&str], used: &Use, facts: &Facts) -> Option<String> {
    let name = &*used.name;
    // A script may put more into a table that is its own.
    let written = facts
        .uses
        .iter()
        .any(|other| other.how == How::Write && other.name == used.name);
    if written || fields.contains(&name) {
        return None;
    }
    let hint = suggestion(name, fields.iter().copied());
    Some(format!("{what} has no '{name}'{hint}; there are {}", fields.join(", ")))
}

/// A name in a library of the language.
fn of_library(used: &Use, known: &Known, set: &BTreeSet<Rc<str>>) -> Option<String> {
    let Term::Global(library) = &used.of else { return None };
    let name = &*used.name;
    if set.contains(library) {
        return None;
    }
    let full = format!("{library}.{name}");
    let names = known.get(&**library).filter(|names| !names.is_empty())?;
    if used.how == How::Write {
        return Some(format!("'{library}' is read-only: '{name}' cannot be set"));
    }
    if names.contains(name) {
        return None;
    }
    if let Some(way) = lacks::library(&full) {
        return Some(format!("there is no '{full}' here; {way}"));
    }
    let hint = closest(name, names.iter().map(String::as_str));
    let hint = hint
        .map(|name| format!("; did you mean '{library}.{name}'?"))
        .unwrap_or_default();
    Some(format!("there is no '{full}'{hint}"))
}
