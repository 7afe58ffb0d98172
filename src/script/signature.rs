//! The types of the API's rows, read from their signatures.
//!
//! In: a signature in the notation of the rows: `(key: string, options: { ttl: number? }?) -> any`. Out: a [`Type`], from which
//! the files for editors are written and by which `wharf check` knows what a call answers. Must not know what a type is for.

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// `string`, `any`, `message`, …
    Named(String),
    /// It, or nil.
    Optional(Box<Type>),
    /// One of them.
    Union(Vec<Type>),
    /// A table with these fields.
    Record(Vec<(String, Type)>),
    /// A list of it.
    List(Box<Type>),
    /// A function; without a type it answers nothing.
    Function {
        /// Names and types; a name may be missing.
        parameters: Vec<(Option<String>, Type)>,
        /// What it answers.
        answer: Option<Box<Type>>,
    },
}

/// Types with names of their own that functions answer.
pub(crate) const SHAPES: &[(&str, &str, &str)] = &[
    (
        "answer",
        "{ status: number, headers: table, body: string, json: any }",
        "What a service answered; `json` is nil if the body is none.",
    ),
    (
        "file",
        "{ mimetype: string, filename: string?, size: number, sha256: string }",
        "A file that stays outside of the script; `send`, `reply` and `http` take it.",
    ),
    (
        "time",
        "{ year: number, month: number, day: number, hour: number, minute: number, second: number, weekday: number, yearday: number, offset: number, zone: string, ms: number }",
        "A time in parts: weekday 1 is Monday, `ms` counts from 1970, `offset` is seconds east of UTC.",
    ),
];

/// Types that are named elsewhere: of the language, and objects of the API.
#[cfg(test)]
pub(crate) const NAMES: &[&str] = &[
    "string", "number", "boolean", "any", "table", "handler", "event", "message", "account", "secret", "stop", "bot",
];

/// Reads a signature; `None` if it is not in the notation.
pub(crate) fn parse(text: &str) -> Option<Type> {
    let mut reader = Reader { rest: text.trim() };
    let parsed = reader.union()?;
    reader.rest.is_empty().then_some(parsed)
}

impl Type {
    /// The fields, if it is a table with fields or one of those; of a named shape as well.
    pub(crate) fn fields(&self) -> Option<Vec<(String, Type)>> {
        match self {
            Type::Record(fields) => Some(fields.clone()),
            Type::Optional(inner) => inner.fields(),
            Type::Union(all) => all.iter().find_map(Type::fields),
            Type::Named(name) => {
                let shape = SHAPES.iter().find(|(known, ..)| known == name);
                shape.and_then(|(_, text, _)| parse(text)?.fields())
            }
            _ => None,
        }
    }

    /// The parameters, if it is a function.
    pub(crate) fn parameters(&self) -> &[(Option<String>, Type)] {
        match self {
            Type::Function { parameters, .. } => parameters,
            _ => &[],
        }
    }

    /// What it answers, if it is a function.
    pub(crate) fn answer(&self) -> Option<&Type> {
        match self {
            Type::Function { answer, .. } => answer.as_deref(),
            _ => None,
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn word(&mut self) -> Option<&'a str> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// `name:` before a type, if it is there.
    fn name(&mut self) -> Option<String> {
        let before = self.rest;
        if let Some(word) = self.word()
            && self.eat(":")
        {
            return Some(word.to_owned());
        }
        self.rest = before;
        None
    }

    fn union(&mut self) -> Option<Type> {
        let mut all = vec![self.postfix()?];
        while self.eat("|") {
            all.push(self.postfix()?);
        }
        if all.len() == 1 {
            all.pop()
        } else {
            Some(Type::Union(all))
        }
    }

    fn postfix(&mut self) -> Option<Type> {
        let mut found = self.primary()?;
        while self.eat("?") {
            found = Type::Optional(Box::new(found));
        }
        Some(found)
    }

    fn primary(&mut self) -> Option<Type> {
        if self.eat("{") {
            return self.table();
        }
        if !self.eat("(") {
            return Some(Type::Named(self.word()?.to_owned()));
        }
        let mut parameters = Vec::new();
        while !self.eat(")") {
            parameters.push((self.name(), self.union()?));
            if !self.eat(",") && !self.rest.starts_with(')') {
                return None;
            }
        }
        if self.eat("->") {
            let answer = if self.eat("()") {
                None
            } else {
                Some(Box::new(self.postfix()?))
            };
            // `-> string | secret`
            let answer = match answer {
                Some(first) if self.rest.starts_with('|') => {
                    let mut all = vec![*first];
                    while self.eat("|") {
                        all.push(self.postfix()?);
                    }
                    Some(Box::new(Type::Union(all)))
                }
                answer => answer,
            };
            return Some(Type::Function { parameters, answer });
        }
        // A group.
        match (parameters.pop(), parameters.is_empty()) {
            (Some((None, inner)), true) => Some(inner),
            _ => None,
        }
    }

    fn table(&mut self) -> Option<Type> {
        let mut fields = Vec::new();
        while !self.eat("}") {
            match self.name() {
                Some(name) => fields.push((name, self.union()?)),
                None if fields.is_empty() => {
                    let element = self.union()?;
                    return self.eat("}").then(|| Type::List(Box::new(element)));
                }
                None => return None,
            }
            if !self.eat(",") && !self.rest.starts_with('}') {
                return None;
            }
        }
        Some(Type::Record(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::api::{Body, rows};

    #[test]
    fn every_signature_and_shape_is_in_the_notation() {
        for row in rows() {
            let parsed = parse(row.signature).unwrap_or_else(|| panic!("{}: {}", row.name, row.signature));
            let is_function = matches!(parsed, Type::Function { .. });
            assert_eq!(is_function, !matches!(row.body, Body::Value(_)), "{}", row.name);
            // Types that editors are told of under this name, and no other.
            let words = row
                .signature
                .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':'));
            for word in words.filter(|word| !word.is_empty() && !word.ends_with(':')) {
                let known = NAMES.contains(&word) || SHAPES.iter().any(|(name, ..)| *name == word);
                assert!(known, "{}: no type '{word}'", row.name);
            }
        }
        for (name, shape, _) in SHAPES {
            assert!(parse(shape).and_then(|shape| shape.fields()).is_some(), "{name}");
        }
    }

    #[test]
    fn the_notation_is_read_as_it_is_meant() {
        let named = |name: &str| Type::Named(name.to_owned());
        let read = parse("(key: string, options: { ttl: (string | number)? }?) -> { { key: string } }").unwrap();
        let ttl = Type::Optional(Box::new(Type::Union(vec![named("string"), named("number")])));
        assert_eq!(read.parameters().len(), 2);
        assert_eq!(read.parameters()[1].1.fields(), Some(vec![("ttl".to_owned(), ttl)]));
        let element = Type::Record(vec![("key".to_owned(), named("string"))]);
        assert_eq!(read.answer(), Some(&Type::List(Box::new(element))));
        let callback = parse("(handler: ((event) -> ())?) -> string | secret").unwrap();
        assert_eq!(
            callback.answer(),
            Some(&Type::Union(vec![named("string"), named("secret")]))
        );
        assert!(matches!(&callback.parameters()[0].1, Type::Optional(inner) if inner.answer().is_none()));
        assert_eq!(parse("(a: ) -> b"), None);
        assert_eq!(parse("{ a: b, c }"), None);
    }
}
