//! `wharf.d.luau`: the API as Luau's own language server reads it, which calls such files definitions.
//!
//! In: the vocabulary. Out: the text. Must not know where it is written.

use std::fmt::Write as _;

use crate::script::signature::{SHAPES, Type, parse};

use super::vocabulary::{self, Entry, FILTER, OBJECTS, class};

/// Types that have a name of their own here.
const NAMES: &[(&str, &str)] = &[
    ("message", "Message"),
    ("event", "Event"),
    ("account", "Account"),
    ("bot", "Bot"),
    ("secret", "Secret"),
    ("stop", "Stop"),
    ("answer", "Answer"),
    ("file", "File"),
    ("time", "Time"),
    // Tables of a script are of any shape, and Luau takes no narrower one for a wider.
    ("table", "any"),
    ("handler", "(any) -> any"),
];

/// The file.
pub(super) fn file() -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    write_all(&mut out).ok();
    out
}

fn write_all(out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "-- Made by `wharf types` {}; changes are lost.\n",
        env!("CARGO_PKG_VERSION")
    )?;
    for (name, shape, _) in SHAPES {
        writeln!(out, "type {} = {}\n", named(name), luau(&parse(shape).unwrap_or(any())))?;
    }
    writeln!(out, "type Stop = {{ stop: \"stop\" }}\n")?;
    // It is joined to texts, and is one.
    writeln!(out, "type Secret = any\n")?;
    let keys: Vec<&str> = FILTER.iter().map(|(key, _)| *key).collect();
    writeln!(
        out,
        "-- Keys: {}.\ntype Filter = {{ [string]: any }}\n",
        keys.join(", ")
    )?;
    object(out, "Event", vocabulary::envelope(), &vocabulary::methods("event"))?;
    let message = with_envelope(vocabulary::message_fields());
    object(out, "Message", message, &vocabulary::methods("message"))?;
    for event in vocabulary::other_events() {
        let fields = with_envelope(vocabulary::fields(event));
        object(out, &class(event.name), fields, &vocabulary::methods("event"))?;
    }
    writeln!(out, "type Job = {{ [string]: any }}\n")?;
    for name in OBJECTS.iter().filter(|name| !matches!(**name, "event" | "message")) {
        let fields = match *name {
            "account" => vec![("id", Type::Named("string".to_owned()))],
            _ => Vec::new(),
        };
        object(out, named(name), fields, &vocabulary::methods(name))?;
    }
    writeln!(out, "declare wharf: {{")?;
    for entry in vocabulary::root() {
        let kind = match entry.name {
            "on" | "gate" => REGISTERING.to_owned(),
            _ => luau(&entry.kind),
        };
        writeln!(out, "  -- {}\n  {}: {kind},", entry.doc, entry.name)?;
    }
    for (module, entries) in vocabulary::modules() {
        writeln!(out, "  {module}: {{")?;
        for entry in entries {
            writeln!(out, "    -- {}\n    {}: {},", entry.doc, entry.name, luau(&entry.kind))?;
        }
        writeln!(out, "  }},")?;
    }
    writeln!(out, "}}")
}

/// The envelope, without what an event's own fields say anew, and those.
fn with_envelope(own: Vec<(&'static str, Type)>) -> Vec<(&'static str, Type)> {
    let mut all = vocabulary::envelope();
    all.retain(|(name, _)| own.iter().all(|(known, _)| known != name));
    all.extend(own);
    all
}

fn any() -> Type {
    Type::Named("any".to_owned())
}

fn named(name: &str) -> &str {
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map_or(name, |(_, luau)| luau)
}

fn object(out: &mut String, name: &str, fields: Vec<(&str, Type)>, methods: &[Entry]) -> std::fmt::Result {
    writeln!(out, "type {name} = {{")?;
    for (field, kind) in fields {
        writeln!(out, "  {field}: {},", luau(&kind))?;
    }
    for method in methods {
        let parameters = method.kind.parameters().iter().skip(1).map(|(name, kind)| {
            let name = name.as_deref().unwrap_or("argument");
            format!(", {name}: {}", luau(kind))
        });
        let parameters: String = parameters.collect();
        let answer = method.kind.answer().map_or_else(|| "()".to_owned(), luau);
        writeln!(
            out,
            "  -- {}\n  {}: (self: {name}{parameters}) -> {answer},",
            method.doc, method.name
        )?;
    }
    writeln!(out, "}}\n")
}

/// `wharf.on` and `wharf.gate`. Luau does not tell a handler's parameter from the event's name, and would call it unknown if it
/// had to choose; who wants it checked writes `function(msg: Message)`.
const REGISTERING: &str = "((event: string, handler: (any) -> ...any) -> ()) & ((event: string, filter: Filter, handler: (any) -> ...any) -> ())";

/// A type in Luau.
fn luau(kind: &Type) -> String {
    match kind {
        Type::Named(name) => named(name).to_owned(),
        Type::Optional(inner) => format!("{}?", grouped(inner)),
        Type::Union(all) => all.iter().map(grouped).collect::<Vec<_>>().join(" | "),
        Type::Record(fields) => {
            let fields = fields.iter().map(|(name, kind)| format!("{name}: {}", luau(kind)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::List(inner) => format!("{{ {} }}", luau(inner)),
        Type::Function { parameters, answer } => {
            let parameter = |(name, kind): &(Option<String>, Type)| match name {
                Some(name) => format!("{name}: {}", luau(kind)),
                None => luau(kind),
            };
            let parameters = parameters.iter().map(parameter).collect::<Vec<_>>().join(", ");
            let answer = answer.as_ref().map_or_else(|| "()".to_owned(), |answer| luau(answer));
            format!("({parameters}) -> {answer}")
        }
    }
}

fn grouped(kind: &Type) -> String {
    let text = luau(kind);
    match kind {
        Type::Union(_) | Type::Function { .. } | Type::Optional(_) => format!("({text})"),
        Type::Named(_) if text.contains("->") => format!("({text})"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "nothing runs in it")]
    fn luau_itself_takes_the_definitions() {
        let lua = mlua::Lua::new();
        // Only a definition file may declare; as a local it is the same syntax.
        let text = file().replace("declare wharf: {", "local wharf: {") + " = nil :: any\nreturn wharf";
        if let Err(error) = lua.load(text.as_str()).into_function() {
            panic!("{error}\n{text}");
        }
    }
}
