//! What a script may do: everything, or what its manifest declares.
//!
//! In: the `[permissions]` of a `plugin.toml`. Out: yes or no. Must not know what an action does.

use serde::Deserialize;

/// What a script may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permissions {
    /// Everything: the owner's own scripts.
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

impl Permissions {
    /// Whether it may listen to an event.
    pub(crate) fn event(&self, name: &str) -> bool {
        self.has(|declared| &declared.events, name)
    }

    /// Whether it may see and use an account.
    pub(crate) fn account(&self, id: &str) -> bool {
        self.has(|declared| &declared.accounts, id)
    }

    /// Whether it may do an action.
    pub(crate) fn action(&self, name: &str) -> bool {
        self.has(|declared| &declared.actions, name)
    }

    /// Whether it may post to an endpoint.
    pub(crate) fn endpoint(&self, name: &str) -> bool {
        self.has(|declared| &declared.endpoints, name)
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

    /// Whether it may use a secret.
    pub(crate) fn secret(&self, name: &str) -> bool {
        self.has(|declared| &declared.secrets, name)
    }

    fn has(&self, list: impl Fn(&Declared) -> &Vec<String>, name: &str) -> bool {
        match self {
            Permissions::All => true,
            Permissions::Declared(declared) => list(declared).iter().any(|allowed| match allowed.strip_suffix('*') {
                Some(start) => name.starts_with(start),
                None => allowed == name,
            }),
        }
    }
}
