//! Names of events, as people list them: `message`, `message.ack`, `account.*`.
//!
//! In: a list of names and of beginnings that end in `*`. Out: whether an event is meant. Must not import another room.

use super::{Kind, names};

/// Events that are wanted; all if none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<Name>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Whole(Kind),
    Start(String),
}

/// A name that no event has.
#[derive(Debug, thiserror::Error)]
#[error("there is no event `{0}`; docs/scripting.md lists them, and `account.*` stands for all that begin so")]
pub struct BadName(pub String);

impl Names {
    /// Reads a list.
    ///
    /// # Errors
    /// [`BadName`] for the first that no event has.
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, BadName> {
        list.into_iter().map(name).collect::<Result<_, _>>().map(Self)
    }

    /// Whether events of this name are meant.
    #[must_use]
    pub fn hold(&self, kind: &Kind) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|name| match name {
                Name::Whole(wanted) => kind.answers_to(wanted),
                Name::Start(start) => kind.to_string().starts_with(start.as_str()),
            })
    }
}

fn name(text: &str) -> Result<Name, BadName> {
    let bad = || BadName(text.chars().take(80).collect());
    if let Some(start) = text.strip_suffix('*') {
        let known = names().any(|name| name.starts_with(start)) || "job.".starts_with(start);
        return known.then(|| Name::Start(start.to_owned())).ok_or_else(bad);
    }
    Kind::parse(text).map(Name::Whole).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        Kind::parse(name).unwrap()
    }

    #[test]
    fn names_and_beginnings_hold_what_they_say_and_nothing_else() {
        let wanted = Names::parse(["message", "account.*"]).unwrap();
        for (name, held) in [
            ("message", true),
            ("message.any", false),
            ("message.ack", false),
            ("account.ready", true),
            ("action.unknown", false),
            ("job.account.", false),
        ] {
            assert_eq!(wanted.hold(&kind(name)), held, "{name}");
        }
        assert!(Names::parse(["message.any"]).unwrap().hold(&kind("message")));
        assert!(Names::parse(["*"]).unwrap().hold(&kind("job.x")));
        assert!(Names::default().hold(&kind("config.changed")));
    }

    #[test]
    fn a_name_that_no_event_has_is_refused() {
        for text in ["mesage", "", "acount.*", "message.*.x", "job."] {
            let Err(BadName(named)) = Names::parse(["message", text]) else {
                panic!("`{text}` was taken")
            };
            assert_eq!(named, text);
        }
    }
}
