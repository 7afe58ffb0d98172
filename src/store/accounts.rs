//! Account records: which accounts there are, what is wished of them, where their profile lies.
//!
//! In: `session` writes a record when an account is made, linked, started, stopped, deleted. Out: the list at the next
//! start. Must not hold what changes by the minute (state, proof): that is the session's.

use serde::{Deserialize, Serialize};

use crate::config::Secret;
use crate::event::AccountId;

use super::layout::Table;
use super::stage::Layer;
use super::{Error, Store};

/// An account as the store knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its id.
    pub id: AccountId,
    /// A name for people.
    pub name: Option<String>,
    /// The name of its profile folder, a ULID: never the account's own id, so that a later account of the same id cannot
    /// get the profile of the one before.
    pub folder: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was linked last, in milliseconds since 1970. Nothing older becomes an event.
    pub linked_at: Option<i64>,
    /// Its phone number, digits only, once it is known.
    pub phone: Option<String>,
    /// What is wished of it.
    pub desired: Desired,
    /// Where its own webhook goes, if it was set over HTTP.
    pub webhook: Option<Webhook>,
}

/// What is wished of an account; kept, so that a restart goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// A browser is to run.
    Running,
    /// No browser.
    Stopped,
    /// It is to go, profile and record; half done after a crash, it is finished at the next start.
    Deleting,
}

/// An account's own webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its address.
    pub url: String,
    /// Its signing secret, `whsec_…`; in the store as it is, never printed.
    #[serde(with = "plain")]
    pub secret: Secret,
}

/// A secret as it lies in the store.
pub(super) mod plain {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::config::Secret;

    pub(in crate::store) fn serialize<S: Serializer>(secret: &Secret, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.reveal())
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// The note that rows of a removed account are still there.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Removed {
    pub(super) at: i64,
}

/// Writes the records of a batch. A removed one leaves the note by which its other rows are found and deleted.
pub(super) fn stage(
    layer: &mut Layer<'_>,
    accounts: Vec<(AccountId, Option<AccountRecord>)>,
    now: i64,
) -> Result<(), Error> {
    for (id, record) in accounts {
        let key = Table::Accounts.named(id.as_str())?;
        match record {
            Some(_) if layer.has(&Table::Removed.named(id.as_str())?)? => {
                return Err(Error::invalid(format!(
                    "account `{id}` is removed and made in one batch: make it in a second one"
                )));
            }
            Some(record) => layer.put(key, &record)?,
            None => {
                layer.delete(key)?;
                layer.put(Table::Removed.named(id.as_str())?, &Removed { at: now })?;
            }
        }
    }
    Ok(())
}

impl Store {
    /// All accounts, by id.
    pub async fn accounts(&self) -> Result<Vec<AccountRecord>, Error> {
        self.read(|disk| disk.all(&Table::Accounts.prefix())).await
    }
}
