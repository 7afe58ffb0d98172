//! What outlives the process of an endpoint: the secrets that it signs with, and whether it has said that it wants nothing.
//!
//! In: `webhook` writes a record when one of them changes. Out: all of them, at the start. Secrets lie here as they are; the
//! data folder is its owner's alone (0700). Must not decide how long a secret counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Secret;

use super::accounts::plain;
use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store, record};

/// An endpoint as the store knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// The secrets that it signs with, the newest first.
    pub secrets: Vec<SigningSecret>,
    /// Set when it answered that it wants nothing any more.
    pub disabled: Option<Disabled>,
}

/// A secret, and how long it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningSecret {
    /// `whsec_…`
    #[serde(with = "plain")]
    pub secret: Secret,
    /// Until when, in milliseconds since 1970; `None`: it is the one in force.
    pub until: Option<i64>,
}

/// Why an endpoint gets nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disabled {
    /// Since when, in milliseconds since 1970.
    pub at: i64,
    /// What it answered.
    pub reason: String,
    /// Stands for the settings that it had then: others open it again.
    pub settings: String,
}

/// Writes and removes records.
pub(super) fn stage(layer: &mut Layer<'_>, records: Vec<(String, Option<EndpointRecord>)>) -> Result<(), Error> {
    for (name, record) in records {
        layer.put_or_delete(Table::EndpointRecords.named(&name)?, record.as_ref())?;
    }
    Ok(())
}

impl Store {
    /// What is kept of endpoints, by name.
    pub async fn endpoint_records(&self) -> Result<BTreeMap<String, EndpointRecord>, Error> {
        self.read(|disk| {
            let rows = disk.scan(&Table::EndpointRecords.prefix());
            rows.map(|row| {
                let (key, payload) = row?;
                let name = layout::text_of(&key, key.get(1..).unwrap_or_default())?;
                Ok((name, record::from_json(&key, &payload)?))
            })
            .collect()
        })
        .await
    }
}
