//! Values of Lua as a person reads them: texts in quotes, tables by their fields.
//!
//! In: a value. Out: a text of bounded length. Must not run Lua: a table's own way to show itself is the script's code.

use mlua::{Table, Value};

/// How deep tables are shown.
const DEPTH: usize = 4;
/// How many entries of a table.
const ENTRIES: usize = 50;
/// Longest text, in bytes; beyond it, its length is told.
const TEXT: usize = 2_000;
/// A table that fits into so many letters stands in one line.
const LINE: usize = 72;
/// Longest answer, in bytes.
const WHOLE: usize = 32 * 1024;

/// The value as text.
pub(super) fn value(value: &Value) -> String {
    let mut text = shown(value, 0, &mut Vec::new());
    if text.len() > WHOLE {
        text.truncate(text.floor_char_boundary(WHOLE));
        text.push('…');
    }
    text
}

fn shown(value: &Value, depth: usize, above: &mut Vec<*const std::ffi::c_void>) -> String {
    match value {
        Value::String(text) => quoted(&text.to_string_lossy()),
        Value::Table(table) => {
            let at = table.to_pointer();
            if above.contains(&at) {
                return "(itself)".to_owned();
            }
            if depth >= DEPTH {
                return "{…}".to_owned();
            }
            above.push(at);
            let text = entries(table, depth, above);
            above.pop();
            text
        }
        Value::Function(_) => "function".to_owned(),
        // An object of the host, whose text is made by the host.
        other => other.to_string().unwrap_or_else(|_| other.type_name().to_owned()),
    }
}

fn quoted(text: &str) -> String {
    match text.len() > TEXT {
        true => {
            let part = text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default();
            format!("{part:?}… ({} bytes)", text.len())
        }
        false => format!("{text:?}"),
    }
}

fn entries(table: &Table, depth: usize, above: &mut Vec<*const std::ffi::c_void>) -> String {
    let length = table.raw_len();
    let (mut list, mut named, mut left) = (Vec::new(), Vec::new(), 0);
    let each = table.for_each(|key: Value, value: Value| {
        if list.len() + named.len() == ENTRIES {
            left += 1;
            return Ok(());
        }
        let text = shown(&value, depth + 1, above);
        match &key {
            Value::Integer(at) if usize::try_from(*at).is_ok_and(|at| (1..=length).contains(&at)) => {
                list.push((*at, text))
            }
            Value::Number(at) if *at >= 1.0 && *at <= length as f64 && at.fract() == 0.0 => {
                list.push((*at as i64, text))
            }
            Value::String(name) if is_name(&name.to_string_lossy()) => {
                named.push(format!("{} = {text}", name.to_string_lossy()));
            }
            other => named.push(format!("[{}] = {text}", shown(other, DEPTH, above))),
        }
        Ok(())
    });
    if each.is_err() {
        return "{…}".to_owned();
    }
    list.sort_by_key(|(at, _)| *at);
    named.sort();
    let mut all: Vec<String> = list.into_iter().map(|(_, text)| text).chain(named).collect();
    if left > 0 {
        all.push(format!("… {left} more"));
    }
    let line = all.join(", ");
    match all.is_empty() {
        true if table.metatable().is_some() => "table".to_owned(),
        true => "{}".to_owned(),
        false if line.chars().count() <= LINE && !line.contains('\n') => format!("{{ {line} }}"),
        false => {
            let indent = "  ".repeat(depth + 1);
            let lines: String = all.iter().map(|entry| format!("{indent}{entry},\n")).collect();
            format!("{{\n{lines}{}}}", "  ".repeat(depth))
        }
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(plain) && !text.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "no code of a script runs in it")]
    fn of(code: &str) -> String {
        let lua = mlua::Lua::new();
        value(&lua.load(code).eval::<Value>().unwrap())
    }

    #[test]
    fn values_are_shown_as_they_would_be_written() {
        assert_eq!(of("1.5"), "1.5");
        assert_eq!(of("'a\"b\\n'"), r#""a\"b\n""#);
        assert_eq!(of("nil"), "nil");
        assert_eq!(
            of("{ 2, 1, b = { c = true }, a = 'x', ['d e'] = 1 }"),
            r#"{ 2, 1, ["d e"] = 1, a = "x", b = { c = true } }"#
        );
        assert_eq!(of("{}"), "{}");
        assert_eq!(
            of("(function() local t = {} t.t = t return t end)()"),
            "{ t = (itself) }"
        );
        assert_eq!(of("{ { { { {} } } } }"), "{ { { { {…} } } } }");
        let long = of("{ name = string.rep('a', 40), more = string.rep('b', 40) }");
        assert_eq!(long.lines().count(), 4, "{long}");
        assert!(of("string.rep('x', 5000)").ends_with("… (5000 bytes)"));
        let many = of("(function() local t = {} for i = 1, 60 do t[i] = i end return t end)()");
        assert!(many.contains("… 10 more"), "{many}");
    }
}
