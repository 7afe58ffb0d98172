//! `wharf.d.lua`: the API in LuaCATS, as lua-language-server and EmmyLua read it.
//!
//! In: the vocabulary. Out: the text. Must not know where it is written.

use std::fmt::Write as _;

use crate::script::signature::{SHAPES, Type, parse};

use super::vocabulary::{self, Entry, FILTER, OBJECTS, class};

/// What Luau has beside the libraries of Lua 5.1, which language servers for Lua do not know.
const LUAU: &str = include_str!("luau.lua");

/// Types that have a class of their own.
const CLASSES: &[&str] = &["message", "event", "account", "bot", "secret", "stop"];

/// The file.
pub(super) fn file() -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    write_all(&mut out).ok();
    out
}

fn write_all(out: &mut String) -> std::fmt::Result {
    writeln!(out, "---@meta wharf")?;
    writeln!(
        out,
        "-- Made by `wharf types` {}; changes are lost.\n",
        env!("CARGO_PKG_VERSION")
    )?;
    for (name, shape, doc) in SHAPES {
        record(
            out,
            name,
            doc,
            parse(shape).and_then(|shape| shape.fields()).unwrap_or_default(),
        )?;
    }
    let filter = FILTER
        .iter()
        .map(|(key, kind)| ((*key).to_owned(), parse(kind).unwrap_or(any())));
    record(
        out,
        "filter",
        "Which events a handler gets; all keys must hold.",
        filter.collect(),
    )?;
    writeln!(
        out,
        "---What a gate returns to keep the event from all handlers.\n---@class wharf.stop\n"
    )?;
    writeln!(
        out,
        "---A value of `[secrets]`, shown as `***`.\n---@class wharf.secret"
    )?;
    writeln!(out, "---@operator concat(string): wharf.secret\n")?;
    event(out, "event", None, "An event.", &vocabulary::envelope())?;
    event(
        out,
        "message",
        Some("event"),
        "A message.",
        &vocabulary::message_fields(),
    )?;
    for named in vocabulary::other_events() {
        let fields = vocabulary::fields(named);
        event(out, &class(named.name), Some("event"), named.meaning, &fields)?;
    }
    writeln!(
        out,
        "---A job of `wharf.later`, with its data as fields.\n---@class wharf.Job: wharf.event\n---@field [string] any\n"
    )?;
    writeln!(out, "---An account.\n---@class wharf.account\n---@field id string\n")?;
    writeln!(out, "---A script under test.\n---@class wharf.bot\n")?;
    for object in OBJECTS {
        writeln!(out, "---@class wharf.{object}\nlocal {object} = {{}}\n")?;
        for entry in vocabulary::methods(object) {
            function(out, &format!("{object}:"), &entry, 1)?;
        }
    }
    writeln!(out, "---The API of wharf.\n---@class wharf\nwharf = {{}}\n")?;
    for entry in vocabulary::root() {
        match entry.name {
            "on" => registering(out, &entry, "nil")?,
            "gate" => registering(out, &entry, "any")?,
            _ => function(out, "wharf.", &entry, 0)?,
        }
    }
    for (module, entries) in vocabulary::modules() {
        writeln!(out, "---@class wharf.{module}_module\nwharf.{module} = {{}}\n")?;
        for entry in entries {
            function(out, &format!("wharf.{module}."), &entry, 0)?;
        }
    }
    for entry in vocabulary::globals() {
        function(out, "", &entry, 0)?;
    }
    out.push_str(LUAU);
    Ok(())
}

fn any() -> Type {
    Type::Named("any".to_owned())
}

fn record(out: &mut String, name: &str, doc: &str, fields: Vec<(String, Type)>) -> std::fmt::Result {
    writeln!(out, "---{doc}\n---@class wharf.{name}")?;
    for (field, kind) in fields {
        writeln!(out, "---@field {field} {}", cats(&kind))?;
    }
    writeln!(out)
}

fn event(out: &mut String, name: &str, parent: Option<&str>, doc: &str, fields: &[(&str, Type)]) -> std::fmt::Result {
    let parent = parent.map(|parent| format!(": wharf.{parent}")).unwrap_or_default();
    writeln!(out, "---{doc}\n---@class wharf.{name}{parent}")?;
    for (field, kind) in fields {
        writeln!(out, "---@field {field} {}", cats(kind))?;
    }
    writeln!(out)
}

/// `wharf.on` and `wharf.gate`: the event's name says what the handler gets.
fn registering(out: &mut String, entry: &Entry, answer: &str) -> std::fmt::Result {
    writeln!(out, "---{}", entry.doc)?;
    let messages = vocabulary::messages()
        .into_iter()
        .map(|name| (format!("{name:?}"), "message".to_owned()));
    let others = vocabulary::other_events().map(|event| (format!("{:?}", event.name), class(event.name)));
    for (name, class) in messages.chain(others) {
        let handler = format!("fun(event: wharf.{class}): {answer}");
        writeln!(out, "---@overload fun(event: {name}, handler: {handler})")?;
        writeln!(
            out,
            "---@overload fun(event: {name}, filter: wharf.filter, handler: {handler})"
        )?;
    }
    writeln!(out, "---@param event string")?;
    writeln!(out, "---@param filter wharf.filter|fun(job: wharf.Job): {answer}")?;
    writeln!(out, "---@param handler? fun(job: wharf.Job): {answer}")?;
    writeln!(out, "function wharf.{}(event, filter, handler) end\n", entry.name)
}

/// A function, or a value; `skip`: the first parameter is the object before the colon.
fn function(out: &mut String, before: &str, entry: &Entry, skip: usize) -> std::fmt::Result {
    writeln!(out, "---{}", entry.doc)?;
    let Type::Function { answer, .. } = &entry.kind else {
        return writeln!(out, "---@type {}\n{before}{} = nil\n", cats(&entry.kind), entry.name);
    };
    let mut names = Vec::new();
    for (at, (name, kind)) in entry.kind.parameters().iter().enumerate().skip(skip) {
        let name = name.clone().unwrap_or_else(|| format!("argument{at}"));
        let (mark, kind) = match kind {
            Type::Optional(inner) => ("?", &**inner),
            Type::Named(any) if any == "any" => ("?", kind),
            kind => ("", kind),
        };
        writeln!(out, "---@param {name}{mark} {}", cats(kind))?;
        names.push(name);
    }
    if let Some(answer) = answer {
        writeln!(out, "---@return {}", cats(answer))?;
    }
    writeln!(out, "function {before}{}({}) end\n", entry.name, names.join(", "))
}

/// A type in LuaCATS.
fn cats(kind: &Type) -> String {
    match kind {
        Type::Named(name) if CLASSES.contains(&name.as_str()) => format!("wharf.{name}"),
        Type::Named(name) if SHAPES.iter().any(|(shape, ..)| shape == name) => format!("wharf.{name}"),
        Type::Named(name) if name == "handler" => "function".to_owned(),
        Type::Named(name) => name.clone(),
        Type::Optional(inner) => match &**inner {
            Type::Named(_) | Type::Record(_) | Type::List(_) => format!("{}?", cats(inner)),
            _ => format!("({})?", cats(inner)),
        },
        Type::Union(all) => all.iter().map(grouped).collect::<Vec<_>>().join("|"),
        Type::Record(fields) => {
            let fields = fields.iter().map(|(name, kind)| format!("{name}: {}", cats(kind)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Type::List(inner) => format!("{}[]", grouped(inner)),
        Type::Function { parameters, answer } => {
            let named = |(at, (name, kind)): (usize, &(Option<String>, Type))| {
                let name = name.clone().unwrap_or_else(|| format!("argument{}", at + 1));
                format!("{name}: {}", cats(kind))
            };
            let parameters = parameters.iter().enumerate().map(named).collect::<Vec<_>>().join(", ");
            let answer = answer.as_ref().map(|answer| format!(": {}", cats(answer)));
            format!("fun({parameters}){}", answer.unwrap_or_default())
        }
    }
}

fn grouped(kind: &Type) -> String {
    match kind {
        Type::Union(_) | Type::Function { .. } | Type::Optional(_) => format!("({})", cats(kind)),
        kind => cats(kind),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What Lua 5.1 has, as far as it is here.
    const LUA: &str = "_G _VERSION assert error getmetatable ipairs next newproxy pairs pcall print rawequal rawget rawset \
        select setmetatable tonumber tostring type unpack xpcall require \
        math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp math.floor math.fmod \
        math.frexp math.huge math.ldexp math.log math.log10 math.max math.min math.modf math.pi math.pow math.rad math.random \
        math.randomseed math.sin math.sinh math.sqrt math.tan math.tanh os.clock os.date os.difftime os.time string.byte \
        string.char string.find string.format string.gmatch string.gsub string.len string.lower string.match string.rep \
        string.reverse string.sub string.upper table.concat table.foreach table.foreachi table.getn table.insert table.maxn \
        table.remove table.sort";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "no code of a script runs in it")]
    fn what_luau_has_beside_lua_is_declared() {
        let lua: BTreeSet<&str> = LUA.split_whitespace().collect();
        let vm = mlua::Lua::new();
        let names: Vec<String> = vm
            .load(
                r#"local names = {}
                for name, value in _G do
                  if type(value) ~= "table" or name == "_G" then table.insert(names, name) continue end
                  for field in value do table.insert(names, name .. "." .. field) end
                end
                return names"#,
            )
            .eval()
            .unwrap();
        let gone = [
            "coroutine",
            "debug",
            "collectgarbage",
            "gcinfo",
            "getfenv",
            "setfenv",
            "loadstring",
        ];
        let (mut seen, mut missing) = (0, Vec::new());
        for name in names {
            let library = name.split('.').next().unwrap_or_default();
            if gone.contains(&library) || lua.contains(name.as_str()) {
                continue;
            }
            seen += 1;
            let declared = LUAU.contains(&format!("function {name}("))
                || LUAU.contains(&format!("\n{name} = "))
                || LUAU.contains(&format!("\n{library} = {{}}"));
            missing.extend((!declared).then_some(name.clone()));
        }
        assert_eq!(missing, Vec::<String>::new(), "not in src/script/types/luau.lua");
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn a_type_is_written_as_luacats_has_it() {
        let written = |text: &str| cats(&parse(text).unwrap());
        assert_eq!(written("(string | number)?"), "(string|number)?");
        assert_eq!(
            written("{ { key: string, value: any } }"),
            "{ key: string, value: any }[]"
        );
        assert_eq!(written("{ () -> any }"), "(fun(): any)[]");
        assert_eq!(
            written("(message, seconds: string | number) -> ()"),
            "fun(argument1: wharf.message, seconds: string|number)"
        );
        let file = file();
        for line in [
            "---@return wharf.account\nfunction wharf.account(id) end",
            "---@param options? { ttl: (string|number)? }\n",
            "function message:reply(text) end",
            "---@field sender { id: string?, lid: string?, phone: string?, name: string? }",
            "---@overload fun(event: \"account.ready\", handler: fun(event: wharf.AccountReady): nil)",
            "---@class wharf.AccountReady: wharf.event\n---@field phone string?\n",
        ] {
            assert!(file.contains(line), "{line}\n{file}");
        }
    }
}
