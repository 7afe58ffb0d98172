//! What a check found: one line each, with its place.
//!
//! In: a file, a place, a sentence that says what is wrong and what to do. Out: `file:line:column: sentence`. Must not look for
//! anything.

use std::fmt;

use super::facts::Spot;
use crate::script::generation::LoadError;

/// A mistake, or a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) file: String,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    pub(super) message: String,
}

impl Finding {
    pub(super) fn at(file: &str, spot: Spot, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: Some(spot.line),
            column: Some(spot.column),
            message: message.into(),
        }
    }

    /// What loading says; the column is looked for in the text, where there is one.
    pub(super) fn of_load(error: &LoadError, text: Option<&str>) -> Self {
        let line = error.line.and_then(|line| usize::try_from(line).ok());
        let line = line.and_then(|line| text?.lines().nth(line.checked_sub(1)?));
        Self {
            file: error.file.clone(),
            line: error.line,
            column: line.map(|line| column(line, &error.message)),
            message: error.message.clone(),
        }
    }
}

/// Where in a line the first word stands that a message quotes; else where the line begins.
fn column(line: &str, message: &str) -> u32 {
    let quoted = message
        .split(['\'', '`', '"'])
        .skip(1)
        .step_by(2)
        .filter(|word| !word.is_empty());
    let words = quoted.filter_map(|word| whole_word(line, word));
    let start = || line.len() - line.trim_start().len();
    let at = words.into_iter().next().unwrap_or_else(start);
    let before = line.get(..at).unwrap_or_default().chars().count();
    u32::try_from(before + 1).unwrap_or(1)
}

/// Where a word stands in a line, not as a part of another.
fn whole_word(line: &str, word: &str) -> Option<usize> {
    let joins = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = line.get(..*at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let begins = !word.starts_with(joins) || !before.is_some_and(joins);
        begins && (!word.ends_with(joins) || !after.is_some_and(joins))
    })
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        write!(f, " {}", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_that_of_the_word_that_the_message_quotes() {
        assert_eq!(
            column("  wharf.logg.info()", "wharf has no 'logg'; did you mean 'log'?"),
            9
        );
        assert_eq!(column("names = { \"name\" }", "no event \"name\""), 12);
        assert_eq!(column("  über(x, wal)", "unknown field `wal`"), 11);
        assert_eq!(column("    end", "expected something"), 5);
        assert_eq!(column("", "nothing 'x'"), 1);
    }
}
