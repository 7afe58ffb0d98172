//! The sources of one script: its file and the libraries that it requires.
//!
//! In: the texts, the permissions of a plugin. Out: findings and notes. Must not run the file: a source that Luau refuses is
//! searched for the syntax of other versions of Lua, one that it takes is read as a tree.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mlua::{Lua, Table, Value};

use crate::script::api::{self, Desk};
use crate::script::generation::Source;
use crate::script::meter::Meter;
use crate::script::permissions::{Declared, Permissions};
use crate::script::vm::{self, Limits};

use super::dry::Dry;
use super::facts::{Facts, Spot};
use super::finding::Finding;
use super::meaning::Meanings;
use super::names::{self, Known};
use super::{lacks, literals, needs, tree};

/// The permissions of a plugin, with the name and the text of its manifest.
type Manifest<'a> = Option<(&'a Declared, &'a str, &'a str)>;

/// Looks at a script and its libraries.
pub(super) fn look(source: &Source, limits: &Limits, manifest: Manifest<'_>) -> (Vec<Finding>, Vec<Finding>) {
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    let Ok(lua) = machine(limits) else {
        return (findings, notes);
    };
    let libraries = source.libraries.values().flatten();
    let texts = libraries.map(|library| (library.file.as_str(), library.text.as_str()));
    let texts = [(source.file.as_str(), source.text.as_str())].into_iter().chain(texts);
    let mut read: Vec<(&str, Facts)> = Vec::new();
    let mut all = true;
    for (file, text) in texts {
        if vm::chunk(&lua, text, file).into_function().is_err() {
            all = false;
            findings.extend(lacks::syntax(file, text));
        } else if let Some(facts) = tree::read(text) {
            read.push((file, facts));
        } else {
            all = false;
            let spot = Spot { line: 1, column: 1 };
            let message = "it was loaded, but not looked into: it has syntax that the check cannot read yet";
            notes.push(Finding::at(file, spot, message));
        }
    }
    let known = known(&lua).unwrap_or_default();
    let meanings: Vec<Meanings<'_>> = read.iter().map(|(_, facts)| Meanings::of(facts)).collect();
    let files: Vec<(&str, &Facts, &Meanings<'_>)> = read
        .iter()
        .zip(&meanings)
        .map(|((file, facts), meanings)| (*file, facts, meanings))
        .collect();
    let set: BTreeSet<Rc<str>> = read.iter().flat_map(|(_, facts)| facts.set.iter().cloned()).collect();
    for (file, facts, meanings) in &files {
        findings.extend(names::look(file, facts, meanings, &known, &set));
        findings.extend(literals::look(file, facts, meanings));
    }
    if all {
        let pairs: Vec<(&Facts, &Meanings<'_>)> =
            files.iter().map(|(_, facts, meanings)| (*facts, *meanings)).collect();
        for (name, at, spot) in literals::jobs_without_a_handler(&pairs) {
            let file = files.get(at).map(|(file, ..)| *file).unwrap_or_default();
            let message = format!("no handler takes this job; wharf.on(\"job.{name}\", …) would");
            notes.push(Finding::at(file, spot, message));
        }
    }
    if let Some((declared, name, text)) = manifest {
        let (missing, unused) = needs::look(&files, declared, (name, text));
        findings.extend(missing);
        notes.extend(unused.into_iter().filter(|_| all));
    }
    (findings, notes)
}

/// A VM as scripts have it.
fn machine(limits: &Limits) -> mlua::Result<Lua> {
    let meter = Rc::new(Meter::default());
    let world = Rc::new(Dry::default());
    let desk = Rc::new(Desk::new(Rc::clone(&meter), world, Permissions::All, BTreeMap::new()));
    vm::build(limits, &meter, |lua| api::install(lua, &desk, &serde_json::Map::new()))
}

/// What the language has in a VM.
fn known(lua: &Lua) -> mlua::Result<Known> {
    let mut known = Known::new();
    // The globals of a sandbox lie behind those that a script sets.
    let globals = lua.globals();
    let behind = globals
        .metatable()
        .map(|behind| behind.raw_get::<Table>("__index"))
        .transpose()?;
    behind.unwrap_or(globals).for_each(|name: String, value: Value| {
        let mut names = BTreeSet::new();
        if let Value::Table(table) = value
            && name != "wharf"
            && name != "_G"
        {
            table.for_each(|name: Value, _: Value| {
                names.extend(name.as_string().map(|name| name.to_string_lossy()));
                Ok(())
            })?;
        }
        known.insert(name, names);
        Ok(())
    })?;
    Ok(known)
}

#[cfg(test)]
mod tests;
