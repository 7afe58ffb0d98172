//! What a script may do: everything, or what its manifest declares.
//!
//! In: the `[permissions]` of a `plugin.toml`. Out: yes or no, and for a no the line that would make it a yes. Must not know
//! what an action does.

use serde::Deserialize;

use crate::event::Event;

/// What a script may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Everything: the owner's own scripts.
    #[default]
    All,
    /// What its manifest declares.
    Declared(Declared),
}

/// The `[permissions]` of a manifest; what is absent is not allowed. `*` stands for any rest of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Declared {
    /// Events it may listen to.
    pub(crate) events: Vec<String>,
    /// Accounts whose events it sees and that it may act on.
    pub(crate) accounts: Vec<String>,
    /// What it may do: `reply`, `send`.
    pub(crate) actions: Vec<String>,
    /// Where it may post: names of endpoints, `account:*` for accounts' own webhooks.
    pub(crate) endpoints: Vec<String>,
    /// Hosts that it may call by `http`.
    pub(crate) http: Vec<String>,
    /// Secrets that it may use.
    pub(crate) secrets: Vec<String>,
}

/// A list of `[permissions]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    /// `events`
    Events,
    /// `accounts`
    Accounts,
    /// `actions`
    Actions,
    /// `endpoints`
    Endpoints,
    /// `http`
    Http,
    /// `secrets`
    Secrets,
}

impl List {
    /// All.
    pub(crate) const ALL: [List; 6] = [
        List::Events,
        List::Accounts,
        List::Actions,
        List::Endpoints,
        List::Http,
        List::Secrets,
    ];

    /// Its key in `plugin.toml`.
    pub(crate) fn key(self) -> &'static str {
        self.words().0
    }

    /// Its key, and what one entry of it is called.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            List::Events => ("events", "event"),
            List::Accounts => ("accounts", "account"),
            List::Actions => ("actions", "action"),
            List::Endpoints => ("endpoints", "endpoint"),
            List::Http => ("http", "host"),
            List::Secrets => ("secrets", "secret"),
        }
    }
}

impl Declared {
    /// The entries of a list.
    pub(crate) fn of(&self, list: List) -> &[String] {
        match list {
            List::Events => &self.events,
            List::Accounts => &self.accounts,
            List::Actions => &self.actions,
            List::Endpoints => &self.endpoints,
            List::Http => &self.http,
            List::Secrets => &self.secrets,
        }
    }
}

impl Permissions {
    /// What to say when `name` is not declared in a list: that, and the line of `plugin.toml` with which it would be.
    pub(crate) fn undeclared(&self, list: List, name: &str) -> String {
        let (key, word) = list.words();
        let declared = match self {
            Permissions::All => &[],
            Permissions::Declared(declared) => declared.of(list),
        };
        let entries = declared.iter().map(String::as_str).chain([name]);
        let line = toml::Value::Array(entries.map(|entry| entry.into()).collect());
        format!("plugin.toml does not declare the {word} '{name}'; add to plugin.toml, [permissions]: {key} = {line}")
    }

    /// What it may do in plain words, a line for each; nothing if it may do nothing.
    pub(crate) fn words(&self) -> Vec<String> {
        let Permissions::Declared(declared) = self else {
            return vec!["do everything".to_owned()];
        };
        let all = |list: &[String]| match list.iter().any(|entry| entry == "*") {
            true => "all".to_owned(),
            false => list.join(", "),
        };
        let lists = [
            (List::Events, "be told of these events"),
            (List::Accounts, "see the events of these accounts, and act on them"),
            (List::Actions, "do this"),
            (List::Endpoints, "post to these endpoints"),
            (List::Http, "call these hosts"),
            (List::Secrets, "use these secrets"),
        ];
        let declared = lists.into_iter().map(|(list, words)| (declared.of(list), words));
        declared
            .filter(|(list, _)| !list.is_empty())
            .map(|(list, words)| format!("{words}: {}", all(list)))
            .collect()
    }

    /// Whether an event may be shown to it: what belongs to no account, or to one that it may see.
    pub(crate) fn sees(&self, event: &Event) -> bool {
        event.account.as_ref().is_none_or(|id| self.account(id.as_str()))
    }

    /// Whether a list has an entry for a name.
    pub(crate) fn allows(&self, list: List, name: &str) -> bool {
        match list {
            List::Http => self.http(name),
            _ => self.has(|declared| declared.of(list), name),
        }
    }

    /// Whether it may see and use an account.
    pub(crate) fn account(&self, id: &str) -> bool {
        self.allows(List::Accounts, id)
    }

    /// Whether it may call a host: named whole, or by `*.example.com`.
    pub(crate) fn http(&self, host: &str) -> bool {
        match self {
            Permissions::All => true,
            Permissions::Declared(declared) => declared.http.iter().any(|allowed| {
                let end = allowed.strip_prefix('*');
                allowed.eq_ignore_ascii_case(host)
                    || end.is_some_and(|end| {
                        let host = host.to_ascii_lowercase();
                        (end.is_empty() || end.starts_with('.')) && host.ends_with(&end.to_ascii_lowercase())
                    })
            }),
        }
    }

    fn has(&self, list: impl Fn(&Declared) -> &[String], name: &str) -> bool {
        match self {
            Permissions::All => true,
            Permissions::Declared(declared) => list(declared).iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => allowed == name,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_ends_with_the_line_to_add() {
        let declared = Declared {
            actions: vec!["reply".into()],
            ..Declared::default()
        };
        let may = Permissions::Declared(declared);
        let says = |list, name: &str| may.undeclared(list, name);
        assert_eq!(
            says(List::Actions, "react"),
            "plugin.toml does not declare the action 'react'; \
             add to plugin.toml, [permissions]: actions = [\"reply\", \"react\"]"
        );
        assert_eq!(
            says(List::Http, "api.example"),
            "plugin.toml does not declare the host 'api.example'; \
             add to plugin.toml, [permissions]: http = [\"api.example\"]"
        );
        let line = says(List::Secrets, "a\"b");
        let line = line.rsplit_once("[permissions]: ").unwrap().1;
        let read: toml::Table = line.parse().unwrap();
        assert_eq!(read["secrets"][0].as_str(), Some("a\"b"), "{line}");
    }
}
