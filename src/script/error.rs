//! What went wrong in Lua, in words and with the place.
//!
//! In: mlua's errors. Out: [`Fault`], with the file and line of the first frame that is the script's own, and its text for
//! people: the cause, the lines around it, the stack. Must not decide what happens next.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use mlua::{Lua, Table, Value};

use crate::action::Failure;

use super::advice::advice;
use super::generation::Source;
use super::meter::Kill;
use super::vm::OURS;

/// Why a run or a load did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The class.
    pub(crate) kind: FaultKind,
    /// The file, as shown.
    pub(crate) file: String,
    /// The line in it, if one is known.
    pub(crate) line: Option<u32>,
    /// The cause, in one line.
    pub(crate) message: String,
    /// What to do about it, if it does not say so itself.
    pub(crate) advice: Option<String>,
    /// The line with its neighbours; empty if no line is known.
    pub(crate) excerpt: String,
    /// The frames, one a line; empty if not known.
    pub(crate) stack: String,
}

/// Classes of faults, by what the host does about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// The code raised.
    Raised,
    /// It used up its CPU or wall time and was stopped.
    Killed,
    /// The VM has no memory left and must be built anew.
    Memory,
    /// The VM ended although nobody asked it to, and must be built anew.
    Gone,
}

impl Fault {
    /// Reads mlua's error of code that was not stopped by the meter.
    pub(crate) fn of(error: &mlua::Error, source: &Source) -> Self {
        let (text, stack) = parts(error);
        if is_memory(error) {
            let message = "stopped: the memory of the script is used up".to_owned();
            return Self::at(FaultKind::Memory, message, stack, source);
        }
        Self::at(FaultKind::Raised, text, stack, source)
    }

    /// Code that the meter stopped, in the frames `place`.
    pub(crate) fn killed(kill: Kill, place: &str, source: &Source) -> Self {
        Self::at(FaultKind::Killed, kill.to_string(), own_frames(place), source)
    }

    /// A failure of a version that is gone.
    pub(crate) fn nowhere(message: String) -> Self {
        Self {
            kind: FaultKind::Raised,
            file: "a version that is gone".to_owned(),
            line: None,
            message,
            advice: None,
            excerpt: String::new(),
            stack: String::new(),
        }
    }

    /// A run that failed outside of Lua.
    pub(crate) fn told(kind: FaultKind, message: String, source: &Source) -> Self {
        Self::at(kind, message, String::new(), source)
    }

    fn at(kind: FaultKind, message: String, stack: String, source: &Source) -> Self {
        let (line, message) = match strip_place(&message, &source.file) {
            Some((line, rest)) => (Some(line), rest.to_owned()),
            // A mistake that C finds in a call that goes through a function of ours: the script's line is in the stack.
            None => match strip_place(&message, OURS) {
                Some((_, rest)) => (first_line(&stack, &source.file), rest.to_owned()),
                None => (first_line(&stack, &source.file), message),
            },
        };
        let message: String = in_words(&message)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let (message, stack) = (cut(message, MAX_MESSAGE), cut(stack, MAX_STACK));
        Self {
            kind,
            file: source.file.clone(),
            line,
            advice: advice(&message, code(&source.text, line)),
            excerpt: excerpt(&source.text, line),
            message,
            stack,
        }
    }

    /// The place and the cause, in one line.
    pub(crate) fn headline(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.file, self.message),
            None => format!("{}: {}", self.file, self.message),
        }
    }

    /// The whole story: headline, what to do, the line with its neighbours, the stack.
    pub(crate) fn render(&self, text: &str) -> String {
        let mut out = self.headline();
        let excerpt = excerpt(text, self.line);
        for part in self.advice.iter().chain((!excerpt.is_empty()).then_some(&excerpt)) {
            out.push('\n');
            out.push_str(part);
        }
        if !self.stack.is_empty() {
            out.push_str("\nstack:");
            for frame in self.stack.lines() {
                write!(out, "\n  {frame}").ok();
            }
        }
        out
    }
}

/// Longest line of an excerpt, in characters.
const MAX_CODE: usize = 160;

/// A line of a text; empty if there is none.
fn code(text: &str, line: Option<u32>) -> &str {
    let at = line
        .and_then(|line| usize::try_from(line).ok())
        .and_then(|line| line.checked_sub(1));
    at.and_then(|at| text.lines().nth(at)).unwrap_or_default()
}

/// A line of a text with its neighbours and their numbers, marked.
pub(crate) fn excerpt(text: &str, line: Option<u32>) -> String {
    let Some(line) = line.and_then(|line| usize::try_from(line).ok()) else {
        return String::new();
    };
    let lines = text.lines().enumerate().map(|(at, code)| (at + 1, code));
    let near = lines
        .skip(line.saturating_sub(2))
        .take_while(|(number, _)| *number <= line + 1);
    let shown = near.map(|(number, code)| {
        let mark = if number == line { '>' } else { ' ' };
        let code: String = code.chars().take(MAX_CODE).collect();
        format!("{mark} {number:>4} | {code}")
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// The text and the stack of an error, from however deep mlua has wrapped it.
fn parts(error: &mlua::Error) -> (String, String) {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let (text, inner) = parts(cause);
            (text, if inner.is_empty() { own_frames(traceback) } else { inner })
        }
        mlua::Error::WithContext { cause, .. } => parts(cause),
        mlua::Error::RuntimeError(text) => {
            let (text, stack) = text.split_once("\nstack traceback:").unwrap_or((text, ""));
            let (text, stack) = match stack.is_empty() {
                false => (text, stack),
                true => text.split_once('\n').unwrap_or((text, "")),
            };
            (text.to_owned(), own_frames(stack))
        }
        mlua::Error::SyntaxError { message, .. } => (message.clone(), String::new()),
        other => (other.to_string(), String::new()),
    }
}

/// What a script raised; of a value that has no text, which has only an address, its type.
fn in_words(message: &str) -> Cow<'_, str> {
    let kind = match message.split_once(": 0x") {
        Some((kind @ ("table" | "function" | "thread" | "userdata" | "buffer"), _)) => format!("a {kind}"),
        _ if message == "nil" => "nil".to_owned(),
        _ => return message.into(),
    };
    format!("raised {kind}, which has no text").into()
}

fn is_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } | mlua::Error::WithContext { cause, .. } => is_memory(cause),
        // A script that catches it and raises it again has it as text.
        mlua::Error::RuntimeError(text) => text
            .lines()
            .next()
            .is_some_and(|line| line.ends_with("not enough memory")),
        _ => false,
    }
}

/// The frames of a traceback without ours and the library's.
fn own_frames(traceback: &str) -> String {
    let frames = traceback.lines().map(str::trim);
    let own = frames.filter(|frame| !frame.is_empty() && !frame.starts_with(OURS) && !frame.starts_with("[C]"));
    own.filter(|frame| !frame.starts_with("stack traceback"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Longest cause, in bytes: it goes into events, views and rows of the store, and a script can raise all that it has.
const MAX_MESSAGE: usize = 4 * 1024;
/// Longest stack, in bytes.
const MAX_STACK: usize = 8 * 1024;

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

/// `file:12: text` without its place.
fn strip_place<'a>(text: &'a str, file: &str) -> Option<(u32, &'a str)> {
    let (line, rest) = text.strip_prefix(file)?.strip_prefix(':')?.split_once(':')?;
    Some((line.parse().ok()?, rest.trim_start()))
}

fn first_line(stack: &str, file: &str) -> Option<u32> {
    stack.lines().find_map(|frame| {
        let rest = frame.strip_prefix(file)?.strip_prefix(':')?;
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

/// Makes the table that scripts see when an action fails: `{kind, message, account}`, one clean line as text.
pub(crate) fn to_lua(lua: &Lua, failure: &Failure, metatable: &Rc<Table>) -> mlua::Result<Value> {
    let table = lua.create_table()?;
    table.raw_set("kind", failure.kind.as_str())?;
    table.raw_set("message", failure.message.as_str())?;
    table.raw_set("account", failure.account.as_ref().map(|id| id.as_str()))?;
    table.set_metatable(Some(Table::clone(metatable)))?;
    table.set_readonly(true);
    Ok(Value::Table(table))
}

/// Longest word, in bytes, for which a suggestion is looked for.
const MAX_WORD: usize = 64;

/// The closest of `known` to `word`, if any is close enough to be meant.
pub(crate) fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The comparison takes memory and time by the length; no name is that long.
    if word.len() > MAX_WORD {
        return None;
    }
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// `; did you mean 'x'?`, or nothing.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, known)
        .map(|found| format!("; did you mean '{found}'?"))
        .unwrap_or_default()
}
