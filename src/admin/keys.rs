//! Keys of the admin: made, listed, revoked, recognised.
//!
//! In: a name and scopes; a text that claims to be a key. Out: the key itself, once, and its record. Must not keep or print a
//! key: the store gets its SHA-256, which is enough against guessing because 43 characters of base62 are 256 bits.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Error;
use crate::store::{Batch, KeyRecord, Store};

/// What every key begins with, so that a key in a log or a repository is found by search.
const PREFIX: &str = "wharf_";

/// Characters of the public id.
const ID: usize = 8;

/// Characters of the secret part: 62^43 is a little more than 2^256.
const SECRET: usize = 43;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Look: accounts, snapshots, scripts, deliveries.
    Read,
    /// Send messages.
    Send,
    /// Get the QR code, with which the account can be taken over.
    Qr,
    /// Everything.
    Admin,
}

impl Scope {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Qr => "qr",
            Self::Admin => "admin",
        }
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let all = [Self::Read, Self::Send, Self::Qr, Self::Admin];
        all.into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| Error::Scope(text.to_owned()))
    }
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scopes(Vec<Scope>);

impl Scopes {
    pub(super) fn all() -> Self {
        Self(vec![Scope::Admin])
    }

    pub(super) fn allow(&self, needed: Scope) -> bool {
        self.0.contains(&needed) || self.0.contains(&Scope::Admin)
    }
}

/// A key as it is listed: without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its public part.
    pub id: String,
    /// What it is for.
    pub name: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

/// A new key, shown once, and what is kept of it.
///
/// # Errors
///
/// [`Error::Scope`] for a scope that does not exist or none at all, [`Error::Random`] if the system has no randomness.
pub fn new_key(name: Option<String>, scopes: &[String]) -> Result<(String, KeyRecord), Error> {
    if scopes.is_empty() {
        return Err(Error::Scope(String::new()));
    }
    scopes.iter().try_for_each(|scope| Scope::parse(scope).map(|_| ()))?;
    let id = random(ID)?.to_lowercase();
    let key = format!("{PREFIX}{id}_{}", random(SECRET)?);
    let created_at = jiff::Timestamp::now().as_millisecond();
    let record = KeyRecord {
        id,
        sha256: hash(&key),
        scopes: scopes.to_vec(),
        name,
        created_at,
    };
    Ok((key, record))
}

/// Makes a key and keeps its record; answers the key.
///
/// # Errors
///
/// As for [`new_key`], and [`Error::Store`].
pub async fn make(store: &Store, name: Option<String>, scopes: Vec<String>) -> Result<String, Error> {
    let (key, record) = new_key(name, &scopes)?;
    let batch = Batch {
        keys: vec![(record.id.clone(), Some(record))],
        ..Batch::default()
    };
    store.commit(batch).await?;
    Ok(key)
}

/// All keys.
///
/// # Errors
///
/// [`Error::Store`].
pub async fn list(store: &Store) -> Result<Vec<Listed>, Error> {
    let listed = |record: KeyRecord| Listed {
        id: record.id,
        name: record.name,
        scopes: record.scopes,
        created_at: record.created_at,
    };
    Ok(store.keys().await?.into_iter().map(listed).collect())
}

/// Takes a key out of use, at once; answers whether there was one.
///
/// # Errors
///
/// [`Error::Store`].
pub async fn revoke(store: &Store, id: &str) -> Result<bool, Error> {
    if !store.keys().await?.iter().any(|record| record.id == id) {
        return Ok(false);
    }
    store
        .commit(Batch {
            keys: vec![(id.to_owned(), None)],
            ..Batch::default()
        })
        .await?;
    Ok(true)
}

/// The id and scopes of the key that `text` is, if it is one.
pub(super) fn recognise(text: &str, records: &[KeyRecord]) -> Option<(String, Scopes)> {
    let id = text
        .strip_prefix(PREFIX)
        .and_then(|rest| rest.split_once('_'))
        .map_or("", |(id, _)| id);
    let hash = hash(text);
    let record = records.iter().find(|record| record.id == id);
    // A key with an unknown id is compared too, so that the time does not tell which ids exist.
    let known = record.map_or([0; 32], |record| record.sha256);
    let right = bool::from(hash.ct_eq(&known));
    record
        .filter(|_| right)
        .map(|record| (record.id.clone(), scopes(record)))
}

/// What a record allows. A word that this version does not know allows nothing.
pub(super) fn scopes(record: &KeyRecord) -> Scopes {
    Scopes(
        record
            .scopes
            .iter()
            .filter_map(|scope| Scope::parse(scope).ok())
            .collect(),
    )
}

pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Characters of base62 by chance; also for the tokens of signed-in pages.
pub(super) fn random(length: usize) -> Result<String, Error> {
    let mut text = String::with_capacity(length);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes).map_err(Error::Random)?;
        // 248 is the largest multiple of 62 in a byte: above it, some characters would come up more often.
        let fair = bytes
            .iter()
            .filter(|byte| **byte < 248)
            .map(|byte| char::from(BASE62[usize::from(byte % 62)]));
        text.extend(fair.take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(scopes: &[&str]) -> Vec<String> {
        scopes.iter().map(|scope| (*scope).to_owned()).collect()
    }

    #[test]
    fn a_key_is_recognised_and_nothing_else_is() {
        let (key, record) = new_key(Some("shop".to_owned()), &words(&["read", "send"])).unwrap();
        let (_, other) = new_key(None, &words(&["admin"])).unwrap();
        let records = [other, record.clone()];
        let (id, scopes) = recognise(&key, &records).unwrap();
        assert_eq!(id, record.id);
        assert!(scopes.allow(Scope::Read) && scopes.allow(Scope::Send));
        assert!(!scopes.allow(Scope::Qr) && !scopes.allow(Scope::Admin));
        let mut wrong = key.clone();
        wrong.pop();
        for text in [
            "",
            "wharf__",
            "wharf_x_y",
            &wrong,
            &format!("{key}0"),
            &key.to_uppercase(),
        ] {
            assert!(recognise(text, &records).is_none(), "{text}");
        }
    }

    #[test]
    fn a_key_has_the_promised_form_and_its_record_does_not_hold_it() {
        let (key, record) = new_key(None, &words(&["admin"])).unwrap();
        let secret = key.strip_prefix(&format!("wharf_{}_", record.id)).unwrap();
        assert_eq!((record.id.len(), secret.len()), (8, 43));
        assert!(secret.bytes().all(|byte| BASE62.contains(&byte)));
        assert!(!format!("{record:?}").contains(secret));
    }

    #[test]
    fn admin_allows_everything_and_unknown_scopes_are_refused() {
        let (key, record) = new_key(None, &words(&["admin"])).unwrap();
        let (_, scopes) = recognise(&key, &[record]).unwrap();
        assert!(
            [Scope::Read, Scope::Send, Scope::Qr, Scope::Admin]
                .into_iter()
                .all(|scope| scopes.allow(scope))
        );
        assert!(
            new_key(None, &words(&["root"]))
                .unwrap_err()
                .to_string()
                .contains("root")
        );
        assert!(new_key(None, &[]).is_err());
    }
}
