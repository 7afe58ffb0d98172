//! What a test expected beside what there is, field by field, in two columns.
//!
//! In: the value that the test named, and the one that there is. Out: `None` if it is as expected, else a table for a
//! terminal in which the lines that differ are marked. Must not know what the values are of.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Letters of a column of values; what is longer goes on in the next line.
const WIDTH: usize = 34;
/// Letters of the names of fields.
const NAMES: usize = 22;
/// Lines of one value.
const LINES: usize = 6;

/// One line of the table.
struct Line {
    name: String,
    expected: String,
    found: String,
    differs: bool,
}

/// How much of the two has to be the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Tables may have more fields than the test names; lists and plain values are equal.
    Part,
    /// Everything.
    Whole,
}

/// Two values under comparison.
#[derive(Default)]
pub(super) struct Comparison {
    lines: Vec<Line>,
    also: Vec<String>,
}

impl Comparison {
    /// Adds a value that the test names.
    pub(super) fn add(&mut self, name: &str, expected: &Value, found: &Value, extent: Extent) {
        match (expected, found) {
            (Value::Object(wanted), Value::Object(there)) if !(wanted.is_empty() && there.is_empty()) => {
                self.add_fields(name, wanted, there, extent);
            }
            (Value::Array(wanted), Value::Array(there)) if !wanted.is_empty() && !there.is_empty() => {
                let none = || String::new();
                for at in 0..wanted.len().max(there.len()) {
                    let name = format!("{name}[{}]", at + 1);
                    match (wanted.get(at), there.get(at)) {
                        (Some(wanted), Some(there)) => self.add(&name, wanted, there, Extent::Whole),
                        (Some(wanted), None) => self.push(name, told(wanted), none(), true),
                        (None, there) => self.push(name, none(), there.map_or_else(none, told), true),
                    }
                }
            }
            _ => self.push(name.to_owned(), told(expected), told(found), !same(expected, found)),
        }
    }

    /// Adds a value that the test does not name, for the reader.
    pub(super) fn add_unnamed(&mut self, name: &str, found: &Value) {
        if !found.is_null() {
            self.push(name.to_owned(), String::new(), told(found), false);
        }
    }

    fn add_fields(&mut self, name: &str, wanted: &Map<String, Value>, there: &Map<String, Value>, extent: Extent) {
        let within = |field: &str| format!("{name}.{field}");
        for (field, wanted) in wanted {
            match there.get(field) {
                Some(there) => self.add(&within(field), wanted, there, extent),
                // A field that is not there is nil.
                None => self.push(within(field), told(wanted), String::new(), !wanted.is_null()),
            }
        }
        for (field, there) in there.iter().filter(|(field, _)| !wanted.contains_key(*field)) {
            match extent {
                Extent::Part => self.also.push(within(field)),
                Extent::Whole => self.push(within(field), String::new(), told(there), true),
            }
        }
    }

    fn push(&mut self, name: String, expected: String, found: String, differs: bool) {
        self.lines.push(Line {
            name,
            expected,
            found,
            differs,
        });
    }

    /// The table, if anything differs.
    pub(super) fn difference(&self) -> Option<String> {
        self.lines.iter().any(|line| line.differs).then(|| self.table())
    }

    fn table(&self) -> String {
        let widest = |text: fn(&Line) -> &str, least: usize, most: usize| {
            let widths = self.lines.iter().map(|line| text(line).chars().count());
            widths.max().unwrap_or_default().clamp(least, most)
        };
        let names = widest(|line| &line.name, 0, NAMES);
        let expected = widest(|line| &line.expected, "expected".len(), WIDTH);
        let mut out = format!("  {:names$}  {:expected$}  actual", "", "expected");
        for line in &self.lines {
            let columns = [
                folded(&line.name, names),
                folded(&line.expected, WIDTH),
                folded(&line.found, WIDTH),
            ];
            let height = columns.iter().map(Vec::len).max().unwrap_or_default();
            for at in 0..height {
                let cell = |column: usize| {
                    let cell = columns.get(column).and_then(|cells| cells.get(at));
                    cell.map(String::as_str).unwrap_or_default()
                };
                let mark = if line.differs && at == 0 { '>' } else { ' ' };
                let row = format!("{mark} {:names$}  {:expected$}  {}", cell(0), cell(1), cell(2));
                // Writing to a string does not fail.
                write!(out, "\n{}", row.trim_end()).ok();
            }
        }
        if !self.also.is_empty() {
            write!(out, "\n  not compared: {}", shortened(&self.also.join(", "), 2 * WIDTH)).ok();
        }
        out
    }
}

/// Whether two values are the same; Lua has one kind of number.
pub(super) fn same(expected: &Value, found: &Value) -> bool {
    expected == found || (expected.is_number() && expected.as_f64() == found.as_f64())
}

fn shortened(text: &str, most: usize) -> String {
    match text.chars().nth(most) {
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// A text in pieces of a width, after a space where there is one.
fn folded(text: &str, width: usize) -> Vec<String> {
    let text = shortened(text, width * LINES);
    let letters: Vec<char> = text.chars().collect();
    let (mut rest, mut pieces) = (letters.as_slice(), Vec::new());
    while rest.len() > width {
        let line = rest.get(..width).unwrap_or(rest);
        let space = line
            .iter()
            .rposition(|letter| *letter == ' ')
            .filter(|at| at * 2 > width);
        let (piece, after) = rest.split_at(space.map_or(width, |at| at + 1).max(1));
        pieces.push(piece.iter().collect());
        rest = after;
    }
    pieces.push(rest.iter().collect());
    pieces
}

/// A value as Lua says it, where that is another word.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compared(expected: &Value, found: &Value, extent: Extent) -> Option<String> {
        let mut comparison = Comparison::default();
        comparison.add("body", expected, found, extent);
        comparison.difference()
    }

    #[test]
    fn a_part_of_a_table_is_enough_but_must_be_right() {
        let found = json!({ "event": "message", "data": { "body": "hi", "n": 1, "list": [1, { "a": 1 }] } });
        for part in [
            json!({ "data": { "body": "hi" } }),
            json!({ "data": { "n": 1.0 } }),
            json!({ "data": { "list": [1, { "a": 1 }] } }),
            json!({ "missing": null }),
        ] {
            assert_eq!(compared(&part, &found, Extent::Part), None);
        }
        for wrong in [
            json!({ "data": { "body": "ho" } }),
            json!({ "missing": 1 }),
            json!({ "data": { "list": [1] } }),
            json!({ "data": { "list": [1, {}] } }),
            json!({ "data": 1 }),
        ] {
            assert!(compared(&wrong, &found, Extent::Part).is_some(), "{wrong}");
        }
        assert!(compared(&json!({}), &json!({ "a": 1 }), Extent::Whole).is_some());
        assert!(compared(&json!([]), &json!([1]), Extent::Part).is_some());
    }

    #[test]
    fn both_sides_stand_beside_each_other_and_what_differs_is_marked() {
        let expected = json!({ "data": { "body": "bye" }, "event": "message", "tags": ["a", "b"] });
        let found = json!({ "data": { "body": "hello", "id": 1 }, "event": "message", "tags": ["a"] });
        let table = compared(&expected, &found, Extent::Part).unwrap();
        let wanted = [
            "                  expected   actual",
            "> body.data.body  \"bye\"      \"hello\"",
            "  body.event      \"message\"  \"message\"",
            "  body.tags[1]    \"a\"        \"a\"",
            "> body.tags[2]    \"b\"",
            "  not compared: body.data.id",
        ];
        assert_eq!(table, wanted.join("\n"));
    }

    #[test]
    fn a_long_text_goes_on_in_the_next_line() {
        let table = compared(&json!("a".repeat(50)), &json!("short"), Extent::Whole).unwrap();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(
            lines[1].ends_with("\"short\"") && lines[2].trim() == format!("{}\"", "a".repeat(17)),
            "{table}"
        );
    }
}
