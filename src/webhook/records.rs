//! What outlives the process of endpoints: kept here as the store has it, and written when it changes.
//!
//! In: an endpoint as its settings are now. Out: what it signs with, or that it is disabled. A change counts once it is
//! durable: a signature with a new secret is never made before the old one is known to sign beside it. Must not send.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::endpoint::Target;
use super::rotation;
use crate::config::Secret;
use crate::store::{Batch, Disabled, EndpointRecord, Error, Store};

/// Whether an endpoint gets anything, and signed with what.
#[derive(Debug)]
pub(super) enum Admission {
    /// With these secrets, the newest first; none: not signed.
    Open(Vec<Secret>),
    /// It wants nothing.
    Disabled,
}

/// The records of all endpoints.
#[derive(Debug)]
pub(super) struct Records {
    store: Store,
    /// Held over a commit, so that two changes of one record are written in their order.
    kept: Mutex<BTreeMap<String, EndpointRecord>>,
}

impl Records {
    /// Reads them.
    pub(super) async fn read(store: Store) -> Result<Self, Error> {
        let kept = store.endpoint_records().await?;
        Ok(Self {
            store,
            kept: Mutex::new(kept),
        })
    }

    /// Looks at an endpoint as it is now: takes up another secret, and opens it again if its settings are not those with which
    /// it was disabled.
    pub(super) async fn admit(&self, name: &str, target: &Target, now: i64) -> Result<Admission, Error> {
        let mut kept = self.kept.lock().await;
        let mut record = kept.get(name).cloned().unwrap_or_default();
        let mut changed = rotation::take_up(&mut record, target.secret.as_ref(), now);
        let settings = settings(target);
        if let Some(disabled) = record.disabled.take_if(|then| then.settings != settings) {
            tracing::info!(
                endpoint = name,
                since = disabled.at,
                "enabled again: its settings have changed"
            );
            changed = true;
        }
        if changed {
            self.write(&mut kept, name, record.clone(), Batch::default()).await?;
        }
        Ok(if record.disabled.is_some() {
            Admission::Disabled
        } else {
            Admission::Open(record.secrets.into_iter().map(|kept| kept.secret).collect())
        })
    }

    /// Disables an endpoint in the commit of `batch`.
    pub(super) async fn disable(
        &self,
        name: &str,
        target: &Target,
        reason: &str,
        now: i64,
        batch: Batch,
    ) -> Result<(), Error> {
        let mut kept = self.kept.lock().await;
        let mut record = kept.get(name).cloned().unwrap_or_default();
        record.disabled = Some(Disabled {
            at: now,
            reason: reason.to_owned(),
            settings: settings(target),
        });
        self.write(&mut kept, name, record, batch).await
    }

    /// Enables an endpoint. Answers whether it was disabled.
    pub(super) async fn enable(&self, name: &str) -> Result<bool, Error> {
        let mut kept = self.kept.lock().await;
        let Some(mut record) = kept.get(name).filter(|record| record.disabled.is_some()).cloned() else {
            return Ok(false);
        };
        record.disabled = None;
        self.write(&mut kept, name, record, Batch::default()).await?;
        Ok(true)
    }

    /// The endpoints that are disabled, and since when and why.
    pub(super) async fn disabled(&self) -> BTreeMap<String, Disabled> {
        let kept = self.kept.lock().await;
        let disabled = kept
            .iter()
            .filter_map(|(name, record)| Some((name.clone(), record.disabled.clone()?)));
        disabled.collect()
    }

    /// Forgets the endpoints that are not there any more, with their secrets.
    pub(super) async fn keep_only(&self, there: &BTreeSet<String>) -> Result<(), Error> {
        let mut kept = self.kept.lock().await;
        let gone: Vec<String> = kept.keys().filter(|name| !there.contains(*name)).cloned().collect();
        for name in gone {
            self.write(&mut kept, &name, EndpointRecord::default(), Batch::default())
                .await?;
        }
        Ok(())
    }

    async fn write(
        &self,
        kept: &mut BTreeMap<String, EndpointRecord>,
        name: &str,
        record: EndpointRecord,
        mut batch: Batch,
    ) -> Result<(), Error> {
        let is_empty = record == EndpointRecord::default();
        batch
            .endpoints
            .push((name.to_owned(), (!is_empty).then(|| record.clone())));
        self.store.commit(batch).await?;
        if is_empty {
            kept.remove(name);
        } else {
            kept.insert(name.to_owned(), record);
        }
        Ok(())
    }
}

/// Stands for an endpoint's settings; two that differ in anything differ here.
fn settings(target: &Target) -> String {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    };
    add(target.url.as_bytes());
    add(target.secret.as_ref().map_or("", Secret::reveal).as_bytes());
    add(&target.timeout.as_millis().to_be_bytes());
    add(target.ca.as_ref().map_or(&[], |ca| &*ca.pem));
    for (name, value) in &target.headers {
        add(name.as_bytes());
        add(value.reveal().as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
