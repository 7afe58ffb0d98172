//! What Lua has elsewhere and Luau, or wharf, does not: each with the way round it.
//!
//! In: a source that Luau refused; a name. Out: findings for the syntax of Lua 5.2 to 5.4; the way round a missing function.
//! Every row is held against the VM by a test.

use full_moon::ast::lua52::{Goto, Label};
use full_moon::ast::{BinOp, Expression, LocalAssignment, LuaVersion, UnOp};
use full_moon::tokenizer::TokenReference;
use full_moon::visitors::Visitor;

use super::facts::Spot;
use super::finding::Finding;
use super::tree::spot;

/// Functions and libraries that are not here, and what to do instead.
const LIBRARY: &[(&str, &str)] = &[
    (
        "io",
        "files are out of reach: keep values in wharf.kv, log with wharf.log, and read settings from wharf.config",
    ),
    (
        "os.execute",
        "a script starts no programs: ask a service with wharf.http",
    ),
    ("os.exit", "a script cannot end the host: return from the handler"),
    (
        "os.getenv",
        "put settings into [script.NAME] of config.toml (wharf.config), secrets into [secrets] (wharf.secret)",
    ),
    ("os.remove", "files are out of reach: keep values in wharf.kv"),
    ("os.rename", "files are out of reach: keep values in wharf.kv"),
    ("os.tmpname", "files are out of reach: keep values in wharf.kv"),
    ("os.setlocale", "format times with wharf.time.format"),
    (
        "load",
        "code is not made while it runs: put it into a file and require it",
    ),
    (
        "loadstring",
        "code is not made while it runs: put it into a file and require it",
    ),
    (
        "loadfile",
        "take in a file of the script's folder with require(\"./lib/name\")",
    ),
    (
        "dofile",
        "take in a file of the script's folder with require(\"./lib/name\")",
    ),
    ("module", "let the file return a table, and take it in with require"),
    (
        "coroutine",
        "do several things at a time with wharf.all or wharf.spawn, wait with wharf.sleep",
    ),
    (
        "package",
        "take in a file of the script's folder with require(\"./lib/name\")",
    ),
    ("debug", "log with wharf.log; an error has its stack by itself"),
    (
        "collectgarbage",
        "memory is collected by itself, and limited by [scripts] memory",
    ),
    (
        "gcinfo",
        "memory is collected by itself, and limited by [scripts] memory",
    ),
    ("getfenv", "hand values over as parameters"),
    ("setfenv", "hand values over as parameters"),
    ("newproxy", "use a table with setmetatable"),
    ("_ENV", "hand values over as parameters"),
    ("warn", "log with wharf.log.warn"),
    ("jit", "the language is Luau; there is nothing to set"),
    ("ffi", "the language is Luau; there are no C libraries"),
    ("bit", "the library is bit32"),
    (
        "string.dump",
        "code is not made while it runs: put it into a file and require it",
    ),
    ("string.gfind", "it is string.gmatch"),
    (
        "math.type",
        "there is one kind of number: math.floor(x) == x tells whether it is whole",
    ),
    ("math.tointeger", "there is one kind of number: use math.floor"),
    ("math.ult", "there is one kind of number: compare with <"),
    ("math.maxinteger", "whole numbers are exact up to 2^53"),
    ("math.mininteger", "whole numbers are exact up to 2^53"),
];

/// The way round a missing global or `library.function`.
pub(super) fn library(name: &str) -> Option<&'static str> {
    LIBRARY.iter().find(|(known, _)| *known == name).map(|(_, way)| *way)
}

/// The syntax of other versions of Lua in a source that Luau refused.
pub(super) fn syntax(file: &str, text: &str) -> Vec<Finding> {
    let read = full_moon::parse_fallible(text, LuaVersion::lua54().with_luau());
    // A tree that is only a part has places that are not in the text.
    if !read.errors().is_empty() {
        return Vec::new();
    }
    let mut looker = Looker {
        file,
        found: Vec::new(),
    };
    looker.visit_ast(read.ast());
    looker.found.sort_by_key(|finding| (finding.line, finding.column));
    looker.found
}

struct Looker<'a> {
    file: &'a str,
    found: Vec<Finding>,
}

impl Looker<'_> {
    fn add(&mut self, token: &TokenReference, message: &str) {
        let Spot { line, column } = spot(token);
        self.found.push(Finding::at(self.file, Spot { line, column }, message));
    }
}

impl Visitor for Looker<'_> {
    fn visit_goto(&mut self, node: &Goto) {
        let label = node.label_name().token().to_string();
        let way = match label.as_str() {
            "continue" => "Luau has no goto; write `continue`, which is a statement here".to_owned(),
            _ => format!("Luau has no goto '{label}'; use `continue`, `break`, or a function that returns early"),
        };
        self.add(node.goto_token(), &way);
    }

    fn visit_label(&mut self, node: &Label) {
        self.add(
            node.left_colons(),
            "Luau has no labels; use `continue`, `break`, or a function that returns early",
        );
    }

    fn visit_local_assignment(&mut self, node: &LocalAssignment) {
        for attribute in node.attributes().flatten() {
            let name = attribute.name().token().to_string();
            let way = match name.as_str() {
                "close" => "Luau has no <close>; call what ends it yourself, before each return".to_owned(),
                name => format!("Luau has no <{name}>; leave it out"),
            };
            self.add(attribute.name(), &way);
        }
    }

    fn visit_expression(&mut self, node: &Expression) {
        let function = match node {
            Expression::BinaryOperator { binop, .. } => match binop {
                BinOp::Ampersand(token) => Some((token, "&", "bit32.band(a, b)")),
                BinOp::Pipe(token) => Some((token, "|", "bit32.bor(a, b)")),
                BinOp::Tilde(token) => Some((token, "~", "bit32.bxor(a, b)")),
                BinOp::DoubleLessThan(token) => Some((token, "<<", "bit32.lshift(a, n)")),
                BinOp::DoubleGreaterThan(token) => Some((token, ">>", "bit32.rshift(a, n)")),
                _ => None,
            },
            Expression::UnaryOperator {
                unop: UnOp::Tilde(token),
                ..
            } => Some((token, "~", "bit32.bnot(a)")),
            _ => None,
        };
        if let Some((token, operator, way)) = function {
            self.add(token, &format!("Luau has no operator {operator}; write {way}"));
        }
    }
}

/// All names of [`library`].
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.iter().map(|(name, _)| *name)
}
