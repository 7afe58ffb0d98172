//! What a plugin uses, held against what its manifest declares.
//!
//! In: facts of all its files, its `[permissions]`. Out: findings for what is used and not declared, with the line to write;
//! notes for what is declared and never used. Must not say that something is unused if a name is only known when it runs.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::Kind;
use crate::script::permissions::{Declared, List, Permissions};

use super::facts::{Call, Facts, Spot, Term};
use super::finding::Finding;
use super::meaning::{Meaning, Meanings, shown};

/// Something that a call needs.
struct Need {
    list: List,
    /// What must be in the list; `None` if it is known only when it runs.
    name: Option<String>,
}

/// Findings and notes. `files`: name, facts and meanings of each; `manifest`: its name and text.
pub(super) fn look(
    files: &[(&str, &Facts, &Meanings<'_>)],
    declared: &Declared,
    manifest: (&str, &str),
) -> (Vec<Finding>, Vec<Finding>) {
    let may = Permissions::Declared(declared.clone());
    let (mut findings, mut notes) = (Vec::new(), Vec::new());
    let mut used: BTreeMap<List, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut missing: Vec<(&str, Spot, String, Need)> = Vec::new();
    for (file, facts, meanings) in files {
        for call in &facts.calls {
            for need in needs(call, meanings) {
                used.entry(need.list).or_default().insert(need.name.clone());
                let fine = match &need.name {
                    Some(name) => may.allows(need.list, name),
                    None => !declared.of(need.list).is_empty(),
                };
                if !fine {
                    let what = meanings.called(call).map(shown).unwrap_or_default();
                    missing.push((file, call.spot, what, need));
                }
            }
        }
    }
    for (file, spot, what, Need { list, .. }) in &missing {
        // One line that is right for everything that is missing in this list.
        let mut names: Vec<String> = declared.of(*list).to_vec();
        for (.., other) in missing.iter().filter(|(.., other)| other.list == *list) {
            let name = other.name.clone().unwrap_or_else(|| "*".to_owned());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let names = names
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        let list = list.key();
        let wrong = match (list, what.as_str()) {
            ("accounts", "wharf.on" | "wharf.gate") => "gets no event of any account",
            _ => "is not declared",
        };
        let message = format!("{what} {wrong}; in [permissions] of plugin.toml write {list} = [{names}]");
        findings.push(Finding::at(file, *spot, message));
    }
    findings.sort_by_key(|finding| (finding.file.clone(), finding.line, finding.column));
    let listens = used.contains_key(&List::Events);
    for list in List::ALL {
        let used = used.remove(&list).unwrap_or_default();
        // Accounts are also those whose events it gets.
        if used.contains(&None) || (list == List::Accounts && listens) {
            continue;
        }
        let names: Vec<String> = used.into_iter().flatten().collect();
        for entry in declared.of(list) {
            let mut only = Declared::default();
            *match list {
                List::Events => &mut only.events,
                List::Accounts => &mut only.accounts,
                List::Actions => &mut only.actions,
                List::Endpoints => &mut only.endpoints,
                List::Http => &mut only.http,
                List::Secrets => &mut only.secrets,
            } = vec![entry.clone()];
            let only = Permissions::Declared(only);
            if names.iter().all(|name| !only.allows(list, name)) {
                let list = list.key();
                let spot = place(manifest.1, list, entry);
                notes.push(Finding::at(
                    manifest.0,
                    spot,
                    format!("{list}: '{entry}' is declared and never used"),
                ));
            }
        }
    }
    (findings, notes)
}

fn needs(call: &Call, meanings: &Meanings<'_>) -> Vec<Need> {
    let Some(row) = meanings.called(call) else {
        return Vec::new();
    };
    let text = |at: usize| match call.arguments.get(at) {
        Some((Term::Text(text), _)) => Some(text.to_string()),
        _ => None,
    };
    let one = |list, name| vec![Need { list, name }];
    match row.name {
        "on" | "gate" => match text(0) {
            Some(name) if matches!(Kind::parse(&name), Some(Kind::Job(_)) | None) => Vec::new(),
            name => {
                // Without an account no event of one ever comes.
                let of_account = |name: &String| name.starts_with("message") || name.starts_with("account.");
                let account = name.as_ref().is_some_and(of_account).then_some(Need {
                    list: List::Accounts,
                    name: None,
                });
                one(List::Events, name).into_iter().chain(account).collect()
            }
        },
        "webhook.post" => one(List::Endpoints, text(0)),
        "journal" => one(List::Events, None),
        "secret" => one(List::Secrets, text(0)),
        "http.get" | "http.post" | "http.put" | "http.delete" => {
            one(List::Http, host(call.arguments.first().map(|(term, _)| term)))
        }
        name => {
            let (Some(permission), true) = (row.permission, name.contains(':')) else {
                return Vec::new();
            };
            // Of a message it is the account that it came to.
            let account = match meanings.what(&call.of) {
                Meaning::Account(id) => id.map(|id| id.to_string()),
                _ => None,
            };
            let mut needs = one(List::Accounts, account);
            // `actions = ["reply"]`
            if let Some(action) = permission.strip_prefix("actions = [\"") {
                needs.extend(one(List::Actions, Some(action.trim_end_matches("\"]").to_owned())));
            }
            needs
        }
    }
}

/// The host of an address, or of how it begins.
fn host(term: Option<&Term>) -> Option<String> {
    let (text, whole) = match term? {
        Term::Text(text) => (text, true),
        Term::Starts(text) => (text, false),
        _ => return None,
    };
    let (_, rest) = text.split_once("://")?;
    let end = rest.find(['/', '?', '#']);
    // What is added may still be a part of the host.
    if end.is_none() && !whole {
        return None;
    }
    let address = url::Url::parse(text).ok()?;
    address.host_str().map(str::to_owned)
}

/// Where an entry of a list stands in the manifest.
fn place(text: &str, list: &str, entry: &str) -> Spot {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let mut lines = lines.skip_while(|(_, line)| {
        let rest = line.trim_start().strip_prefix(list);
        !rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    });
    let quoted = format!("\"{entry}\"");
    let found = lines.find_map(|(at, line)| Some((at, line.get(..line.find(&quoted)?)?.chars().count() + 1)));
    let (line, column) = found.unwrap_or((1, 1));
    let number = |number: usize| u32::try_from(number).unwrap_or(1);
    Spot {
        line: number(line),
        column: number(column),
    }
}
