//! Where an endpoint's name leads.
//!
//! In: a name, the configuration, the accounts' records in the store. Out: a [`Target`], or nothing if no such endpoint exists
//! now. Must not check addresses; the outbound client does that when it dials.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::config::resolved::{Ca, Ordering, Rate};
use crate::config::{Config, Secret};
use crate::event::AccountId;
use crate::store::{Error, Store};

/// Requests at a time where no `[endpoint.NAME]` says otherwise.
pub(super) const IN_FLIGHT: usize = 8;

/// What the name of an account's own webhook begins with.
const ACCOUNT: &str = "account:";

/// Where and how to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) secret: Option<Secret>,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) timeout: Duration,
    pub(super) ca: Option<Ca>,
}

/// Finds an endpoint: `[endpoint.NAME]`, or for `account:ID` the webhook of `[account.ID]`, else that of the record.
pub(super) async fn resolve(name: &str, config: &Config, store: &Store) -> Result<Option<Target>, Error> {
    let Some(id) = name.strip_prefix(ACCOUNT) else {
        return Ok(config.endpoint.get(name).map(|endpoint| Target {
            url: endpoint.url.clone(),
            secret: endpoint.secret.clone(),
            headers: endpoint
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            timeout: endpoint.timeout,
            ca: endpoint.ca.clone(),
        }));
    };
    let Ok(id) = id.parse::<AccountId>() else {
        return Ok(None);
    };
    let timeout = config.webhooks.timeout;
    let own = |url, secret| {
        Some(Target {
            url,
            secret,
            headers: Vec::new(),
            timeout,
            ca: None,
        })
    };
    if let Some(account) = config.account.get(&id)
        && let Some(url) = &account.webhook_url
    {
        return Ok(own(url.clone(), account.webhook_secret.clone()));
    }
    let record = store.accounts().await?.into_iter().find(|record| record.id == id);
    Ok(record
        .and_then(|record| record.webhook)
        .and_then(|webhook| own(webhook.url, Some(webhook.secret))))
}

/// The endpoints that there are: those of the configuration, and those of accounts with a webhook of their own.
pub(super) async fn names(config: &Config, store: &Store) -> Result<BTreeSet<String>, Error> {
    let declared = config
        .account
        .iter()
        .filter(|(_, account)| account.webhook_url.is_some());
    let declared = declared.map(|(id, _)| format!("{ACCOUNT}{id}"));
    let records = store.accounts().await?.into_iter();
    let recorded = records.filter_map(|record| record.webhook.map(|_| format!("{ACCOUNT}{}", record.id)));
    Ok(config
        .endpoint
        .keys()
        .cloned()
        .chain(declared)
        .chain(recorded)
        .collect())
}

/// Its rate, if it has one.
pub(super) fn rate(name: &str, config: &Config) -> Option<Rate> {
    config.endpoint.get(name).and_then(|endpoint| endpoint.rate)
}

/// The endpoints at which one that failed holds up its chat.
pub(super) fn strict(config: &Config) -> BTreeSet<String> {
    let strict = config
        .endpoint
        .iter()
        .filter(|(_, endpoint)| endpoint.ordering == Ordering::Strict);
    strict.map(|(name, _)| name.clone()).collect()
}

/// How many requests an endpoint takes at a time.
pub(super) fn in_flight(name: &str, config: &Config) -> usize {
    config
        .endpoint
        .get(name)
        .map_or(IN_FLIGHT, |endpoint| endpoint.in_flight)
        .max(1)
}
