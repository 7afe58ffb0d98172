//! The reference page of the Lua API, made from the tables that the API itself is installed from.
//!
//! In: the rows of [`super::api`], the events, the keys of filters. Out: Markdown, which stands in `docs/scripting.md` and is
//! held against this by a test. Must not say anything that a table of the program could say.

use std::fmt::Write as _;

use crate::event::{EVENTS, MESSAGE_FIELDS};

use super::api::{Body, Row, rows};
use super::fields::FIELDS;
use super::filter;
use super::signature::SHAPES;

/// The part of `docs/scripting.md` between its marks.
#[must_use]
pub fn reference() -> String {
    let mut page = String::new();
    page.push_str("### Functions\n\n");
    page.push_str("*Waits* means that other runs go on meanwhile. Functions that wait, and those that write, work in handlers only.\n");
    let mut parts: Vec<&str> = rows().map(part_of).collect();
    let mut seen = Vec::new();
    parts.retain(|part| {
        !seen.contains(part) && {
            seen.push(*part);
            true
        }
    });
    for part in parts {
        write!(page, "\n#### {}\n\n", heading(part)).ok();
        for row in rows().filter(|row| part_of(row) == part) {
            let waits = if matches!(row.body, Body::Later(_)) {
                " *Waits.*"
            } else {
                ""
            };
            let needs = row
                .permission
                .map(|needs| format!(" *Plugins declare `{needs}`.*"))
                .unwrap_or_default();
            writeln!(page, "- `{}`: {}{waits}{needs}", shown(row), row.doc).ok();
        }
    }
    page.push_str("\n#### What they answer\n\n");
    for (name, shape, meaning) in SHAPES {
        writeln!(page, "- `{name}` is `{shape}`. {meaning}").ok();
    }
    page.push_str("\n### Filters\n\n| key | an event passes if |\n|---|---|\n");
    for (key, meaning) in filter::KEYS {
        writeln!(page, "| `{key}` | {meaning} |").ok();
    }
    page.push_str("\n### Events\n\n| event | meaning | fields |\n|---|---|---|\n");
    for event in EVENTS {
        let fields = if event.fields == MESSAGE_FIELDS {
            "[those of a message](#fields)".to_owned()
        } else {
            event
                .fields
                .iter()
                .map(|field| format!("`{field}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        writeln!(page, "| `{}` | {} | {fields} |", event.name, event.meaning).ok();
    }
    page.push_str("\n### Fields\n\nEvery event has the first six, a message all of them.\n\n| field | |\n|---|---|\n");
    for (name, _, meaning) in FIELDS {
        writeln!(page, "| `{name}` | {meaning} |").ok();
    }
    page
}

/// What a row belongs to: a module, an object, or `wharf` itself.
fn part_of(row: &Row) -> &'static str {
    match row.name.find([':', '.']) {
        Some(at) => row.name.get(..at).unwrap_or_default(),
        None => "",
    }
}

fn heading(part: &str) -> String {
    match part {
        "" => "wharf".to_owned(),
        "message" => "A message".to_owned(),
        "event" => "Any other event".to_owned(),
        "account" => "An account".to_owned(),
        "_G" => "Globals".to_owned(),
        module => format!("wharf.{module}"),
    }
}

/// A row as it is written in a script: `wharf.kv.get(key: string) -> any`, `message:reply(…)`.
fn shown(row: &Row) -> String {
    let method = row.name.contains(':');
    let name = if let Some(name) = row.name.strip_prefix("_G.") {
        name.to_owned()
    } else if method {
        row.name.to_owned()
    } else {
        format!("wharf.{}", row.name)
    };
    if !row.signature.starts_with('(') {
        return format!("{name}: {}", row.signature);
    }
    if !method {
        return format!("{name}{}", row.signature);
    }
    // The object before the colon is the first parameter.
    let (first, rest) = row.signature.split_once([',', ')']).unwrap_or((row.signature, ""));
    let has_more = row
        .signature
        .get(first.len()..)
        .is_some_and(|after| after.starts_with(','));
    let open = if has_more { "(" } else { "() " };
    format!("{name}{open}{}", rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_shown_without_its_object() {
        let find = |name: &str| shown(rows().find(|row| row.name == name).unwrap());
        assert_eq!(find("message:json"), "message:json() -> table");
        assert!(find("account:send").starts_with("account:send(chat: string, text: "));
        assert_eq!(find("kv.get"), "wharf.kv.get(key: string) -> any");
        assert_eq!(find("version"), "wharf.version: string");
    }
}
