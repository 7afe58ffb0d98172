//! Keys of the admin, as hashes.
//!
//! In: `admin` and `wharf key`. Out: the list against which a request is checked. Must not see a key itself.

use serde::{Deserialize, Serialize};

use super::layout::Table;
use super::stage::Layer;
use super::{Error, Store};

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its public part, by which it is found, listed and revoked.
    pub id: String,
    /// SHA-256 of the whole key.
    pub sha256: [u8; 32],
    /// What it may do.
    pub scopes: Vec<String>,
    /// A name for people.
    pub name: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_at: i64,
}

/// Writes the keys of a batch.
pub(super) fn stage(layer: &mut Layer<'_>, keys: Vec<(String, Option<KeyRecord>)>) -> Result<(), Error> {
    for (id, record) in keys {
        layer.put_or_delete(Table::Keys.named(&id)?, record.as_ref())?;
    }
    Ok(())
}

impl Store {
    /// All keys, by id.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, Error> {
        self.read(|disk| disk.all(&Table::Keys.prefix())).await
    }
}
