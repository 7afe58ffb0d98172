//! What to do about an error, for people who do not know the language's own phrases.
//!
//! In: the message of an error and the line that it names. Out: a sentence in plain words, with the name of the variable where
//! the line says it. Must not change what the error says: it stands beside it.

/// What to do about an error; `None` if it says so itself. `code` is the line that it names.
pub(crate) fn advice(message: &str, code: &str) -> Option<String> {
    let code = without_comment(code);
    let after = |phrase: &str| message.find(phrase).and_then(|at| message.get(at + phrase.len()..));
    if let Some(rest) = after("attempt to index ") {
        return index(rest, code);
    }
    if let Some(rest) = after("attempt to call missing method '") {
        let (name, of) = rest.split_once("' of ")?;
        return Some(format!("a {of} has no method '{name}'; is its name spelled right?"));
    }
    if let Some(rest) = after("attempt to call a ") {
        return Some(call(rest.strip_suffix(" value").unwrap_or(rest), code));
    }
    if let Some(rest) = after("attempt to compare ") {
        return Some(compare(rest));
    }
    if let Some(rest) = after("attempt to perform arithmetic (") {
        let (name, kinds) = rest.split_once(") on ")?;
        return Some(operation(sign(name), kinds.split_once(" and "), kinds, code, "0"));
    }
    if let Some(rest) = after("attempt to concatenate ") {
        return Some(operation("..", rest.split_once(" with "), rest, code, "\"\""));
    }
    if message.contains("attempt to get length of a nil value") {
        let what = code
            .split_once('#')
            .map(|(_, rest)| starting(rest))
            .filter(|name| !name.is_empty());
        return Some(format!(
            "{} is nil, so it has no length",
            quoted(what, "what stands behind `#`")
        ));
    }
    if message.contains("attempt to iterate over a nil value") {
        let what = code
            .split_once(" in ")
            .map(|(_, rest)| starting(rest))
            .filter(|name| !name.is_empty());
        return Some(format!(
            "{} is nil, so there is nothing to go through",
            quoted(what, "what stands behind `in`")
        ));
    }
    fixed(message).map(str::to_owned)
}

/// Phrases that always mean the same.
fn fixed(message: &str) -> Option<&'static str> {
    const FIXED: &[(&str, &str)] = &[
        (
            "attempt to modify a readonly table",
            "libraries, `wharf`, events and settings cannot be changed; change a copy: `table.clone(t)`",
        ),
        (
            "stack overflow",
            "a function calls itself without end; in which case should it stop?",
        ),
        (
            "attempt to yield across metamethod",
            "what waits cannot be called in the function of `table.sort` or `gsub`, nor in a metamethod; call it before",
        ),
        ("index is nil", "the key between the brackets is nil"),
        ("got nil)", "that argument is nil; a misspelled variable is nil as well"),
        ("got no value)", "that argument is missing"),
        (
            "of CPU time",
            "a loop does not end, or it is too much work for one event: do less, or do it by `wharf.later`",
        ),
        (
            "not done after",
            "it waits too long: for what comes later there are `wharf.after` and `wharf.later`",
        ),
        (
            "memory of the script is used up",
            "it keeps more than `[scripts] memory` allows; does a table outside of the handler grow with each event?",
        ),
        (
            "which has no text",
            "give `error` a text, as in `error(\"there is no price for \" .. name)`",
        ),
    ];
    FIXED
        .iter()
        .find(|(phrase, _)| message.contains(phrase))
        .map(|(_, advice)| *advice)
}

/// `nil with 'x'`
fn index(rest: &str, code: &str) -> Option<String> {
    let (kind, field) = rest.split_once(" with ")?;
    let name = field.strip_prefix('\'').and_then(|field| field.strip_suffix('\''));
    let owner = name.and_then(|name| owner(code, name));
    let what = match (owner, name) {
        (Some(owner), _) => quoted(Some(owner), ""),
        (None, Some(name)) => format!("what stands before `{name}`"),
        (None, None) => "what stands before the brackets".to_owned(),
    };
    let field = name.map_or_else(String::new, |name| format!(", so it has no '{name}'"));
    Some(match kind {
        "nil" => format!(
            "{what} is nil{field}; check it first, as in `if {} then`",
            owner.unwrap_or("it")
        ),
        kind => format!("{what} is a {kind}{field}"),
    })
}

/// What stands before `.name`, `:name`, `["name"]` in a line, if that is a name and stands there once.
fn owner<'a>(code: &'a str, name: &str) -> Option<&'a str> {
    let forms = [
        format!(".{name}"),
        format!(":{name}"),
        format!("[\"{name}\"]"),
        format!("['{name}']"),
    ];
    let mut owners = forms.iter().flat_map(|form| {
        code.match_indices(form.as_str()).filter_map(move |(at, _)| {
            let whole = form.ends_with(']') || !code.get(at + form.len()..)?.starts_with(is_word);
            code.get(..at).filter(|_| whole)
        })
    });
    let before = ending(owners.next()?);
    (!before.is_empty() && owners.next().is_none()).then_some(before)
}

fn call(kind: &str, code: &str) -> String {
    let mut called = code.match_indices('(').filter_map(|(at, _)| code.get(..at)).map(ending);
    let named = called
        .next()
        .filter(|name| !name.is_empty() && called.all(str::is_empty));
    match (kind, named) {
        ("nil", Some(name)) => {
            format!("there is no function `{name}`; is its name spelled right, and is it defined above this line?")
        }
        ("nil", None) => {
            "there is no function of that name; is it spelled right, and is it defined above this line?".to_owned()
        }
        (kind, named) => format!("{} is a {kind}, not a function", quoted(named, "what is called")),
    }
}

fn compare(kinds: &str) -> String {
    let has = |kind: &str| kinds.split(' ').any(|word| word == kind);
    if has("nil") {
        "one side is nil, and what is not there cannot be compared; give it a value first, as in `(x or 0)`".to_owned()
    } else if has("string") && has("number") {
        "a text and a number cannot be compared; `tonumber(text)` makes a number of a text".to_owned()
    } else {
        "only two numbers, or two texts, can be compared".to_owned()
    }
}

fn sign(name: &str) -> &'static str {
    match name {
        "add" => "+",
        "sub" | "unm" => "-",
        "mul" => "*",
        "div" => "/",
        "idiv" => "//",
        "mod" => "%",
        "pow" => "^",
        _ => "the operator",
    }
}

/// `left` and `right` of an operator, of these kinds.
fn operation(sign: &str, kinds: Option<(&str, &str)>, all: &str, code: &str, instead: &str) -> String {
    let (left, right) = kinds.unwrap_or((all, all));
    let sides = code.split_once(sign).filter(|(_, rest)| !rest.contains(sign));
    let names = sides.map(|(before, after)| (ending(before.trim_end()), starting(after)));
    let side = |kind: &str| match (left == kind, right == kind) {
        (true, false) => names.map(|(name, _)| name),
        (false, true) => names.map(|(_, name)| name),
        _ => None,
    };
    let usable = |name: &&str| !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit());
    if left == "nil" || right == "nil" {
        let name = side("nil").filter(usable);
        let what = quoted(name, &format!("one side of `{sign}`"));
        return format!(
            "{what} is nil; give it a value first, as in `({} or {instead})`",
            name.unwrap_or("x")
        );
    }
    let other = [left, right]
        .into_iter()
        .find(|kind| !matches!(*kind, "number" | "string"))
        .unwrap_or("string");
    let what = quoted(side(other).filter(usable), &format!("one side of `{sign}`"));
    match (sign, other) {
        ("..", kind) => format!("{what} is a {kind}; `tostring(x)` makes a text of it"),
        (_, "string") => format!("{what} is a text that is no number"),
        (_, kind) => format!("{what} is a {kind}, with which nothing can be computed"),
    }
}

fn quoted(name: Option<&str>, else_what: &str) -> String {
    name.map_or_else(|| else_what.to_owned(), |name| format!("`{name}`"))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The name at the end of a text: `order.price`.
fn ending(text: &str) -> &str {
    let from = text.rfind(|c: char| !is_word(c) && c != '.').map_or(0, |at| at + 1);
    let name = text.get(from..).unwrap_or_default();
    match name.starts_with('.') {
        true => "",
        false => name,
    }
}

/// The name at the start of a text.
fn starting(text: &str) -> &str {
    let text = text.trim_start();
    let until = text.find(|c: char| !is_word(c) && c != '.').unwrap_or(text.len());
    // A call is not named by its function.
    match text.get(until..) {
        Some(rest) if rest.starts_with(['(', '[', ':']) => "",
        _ => text.get(..until).unwrap_or_default().trim_end_matches('.'),
    }
}

fn without_comment(code: &str) -> &str {
    code.split_once("--").map_or(code, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_where_they_are_certain_and_not_guessed_elsewhere() {
        assert_eq!(owner("local n = order.item.price + 1", "price"), Some("order.item"));
        assert_eq!(owner("msg:reply(price:upper())", "upper"), Some("price"));
        assert_eq!(owner("return t['x']", "x"), Some("t"));
        assert_eq!(owner("return a.x + b.x", "x"), None, "either may be meant");
        assert_eq!(owner("return f().x", "x"), None);
        assert_eq!(owner("return a.xy", "x"), None);
        assert_eq!(advice("this says it itself", "error()"), None);
    }
}
