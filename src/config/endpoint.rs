//! `[endpoint.NAME]` and `[account.ID]`: tables that several layers may share, merged key by key and then checked.
//!
//! In: layers, the strongest first. Out: endpoints and declared accounts. Must not leave anything to be found out by a delivery.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hyper::header::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use toml::Spanned;

use super::Error;
use super::file;
use super::resolve::{Layer, is_http, kind, own_pacing};
use super::resolved::{Account, Ca, Endpoint, Ordering, Rate, Secret, Webhooks};
use super::value::{SecretText, Span};
use crate::event::AccountId;

const ADDRESS: &str = "not an address: it starts with http:// or https://";

pub(super) const TIMEOUT: &str = "a timeout is \"1s\" to \"30s\"";

pub(super) fn is_timeout(span: &Span) -> bool {
    (1..=30).contains(&span.0.as_secs())
}

/// Headers that a delivery has of its own, or that belong to the connection.
const RESERVED: [&str; 9] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "transfer-encoding",
    "user-agent",
];

/// A value in the strongest layer that has it, with that layer.
type Found<'a, T> = Option<(&'a Layer, &'a Spanned<T>)>;

/// The endpoints; a relative path of theirs starts where `at` says.
pub(super) fn endpoints(
    layers: &[Layer],
    webhooks: &Webhooks,
    at: &dyn Fn(&Path) -> PathBuf,
) -> Result<BTreeMap<String, Endpoint>, Error> {
    let names: BTreeSet<&String> = layers.iter().flat_map(|layer| layer.file.endpoint.keys()).collect();
    let all = names.into_iter().map(|name| {
        let tables: Vec<(&Layer, &Spanned<file::Endpoint>)> = layers
            .iter()
            .filter_map(|layer| Some((layer, layer.file.endpoint.get(name)?)))
            .collect();
        Ok((name.clone(), endpoint(name, &tables, webhooks, at)?))
    });
    all.collect()
}

fn endpoint(
    name: &str,
    tables: &[(&Layer, &Spanned<file::Endpoint>)],
    webhooks: &Webhooks,
    at: &dyn Fn(&Path) -> PathBuf,
) -> Result<Endpoint, Error> {
    let Some((layer, url)) = found(tables, |table| table.get_ref().url.as_ref()) else {
        let (layer, table) = tables[0];
        let message = format!("[endpoint.{name}] has no `url`: say where it delivers, or remove the table");
        return Err(layer.refuse(table, message));
    };
    if !is_http(url.get_ref()) {
        return Err(layer.refuse(url, ADDRESS));
    }
    let timeout = found(tables, |table| table.get_ref().timeout.as_ref());
    if let Some((layer, bad)) = timeout.filter(|(_, span)| !is_timeout(span.get_ref())) {
        return Err(layer.refuse(bad, TIMEOUT));
    }
    let in_flight = found(tables, |table| table.get_ref().in_flight.as_ref());
    if let Some((layer, bad)) = in_flight.filter(|(_, n)| *n.get_ref() == 0) {
        return Err(layer.refuse(bad, "at least 1 request at a time"));
    }
    let secret = found(tables, |table| table.get_ref().secret.as_ref());
    let rate = found(tables, |table| table.get_ref().rate.as_ref());
    let ordering = tables.iter().find_map(|(_, table)| table.get_ref().ordering);
    let ca = found(tables, |table| table.get_ref().ca.as_ref());
    let mut headers = BTreeMap::new();
    for (layer, table) in tables.iter().rev() {
        for (name, text) in &table.get_ref().headers {
            // Names of variables are read in small letters, and HTTP makes no difference.
            headers.insert(name.to_lowercase(), header(layer, name, text)?);
        }
    }
    Ok(Endpoint {
        url: url.get_ref().clone(),
        secret: secret.map(|(layer, text)| signing(layer, text)).transpose()?,
        headers,
        timeout: timeout.map_or(webhooks.timeout, |(_, span)| span.get_ref().0),
        in_flight: in_flight.map_or(8, |(_, n)| *n.get_ref()),
        rate: rate.map(|(_, rate)| Rate {
            count: rate.get_ref().0,
            per: rate.get_ref().1,
        }),
        ordering: match ordering {
            Some(file::Ordering::Strict) => Ordering::Strict,
            Some(file::Ordering::Chat) | None => Ordering::Chat,
        },
        ca: ca.map(|(layer, path)| certificates(layer, path, at)).transpose()?,
    })
}

/// A file that is missing, or holds no certificate, would make every delivery fail later.
fn certificates(layer: &Layer, written: &Spanned<PathBuf>, at: &dyn Fn(&Path) -> PathBuf) -> Result<Ca, Error> {
    let path = at(written.get_ref());
    let refuse = |what: String| {
        let message = format!(
            "{what}: `ca` is the path of a PEM file with the certificates to trust ({})",
            path.display()
        );
        layer.refuse(written, message)
    };
    let pem = std::fs::read(&path).map_err(|error| refuse(format!("cannot read the file: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refuse(format!("the file is not PEM: {error}")))?;
        let added = roots.add(certificate);
        added.map_err(|error| refuse(format!("a certificate in the file cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(refuse("there is no certificate in the file".to_owned()));
    }
    Ok(Ca { path, pem: pem.into() })
}

fn found<'a, T, V>(tables: &[(&'a Layer, &'a T)], key: impl Fn(&'a T) -> Option<&'a Spanned<V>>) -> Found<'a, V> {
    tables.iter().find_map(|(layer, table)| Some((*layer, key(table)?)))
}

/// A header must be one, or every delivery would be dead at once.
fn header(layer: &Layer, name: &str, text: &Spanned<SecretText>) -> Result<Secret, Error> {
    let refuse = |message: String| Err(layer.refuse(text, message));
    let Ok(parsed) = name.parse::<HeaderName>() else {
        return refuse(format!(
            "`{name}` is not the name of a header: letters, digits and hyphens"
        ));
    };
    let parsed = parsed.as_str();
    if RESERVED.contains(&parsed) || parsed.starts_with("webhook-") || parsed.starts_with("wharf-") {
        return refuse(format!(
            "wharf sets the header `{name}` itself; remove it, or give yours another name"
        ));
    }
    let secret = layer.secret(text)?;
    if HeaderValue::from_str(secret.reveal()).is_err() {
        return refuse(format!(
            "the value of the header `{name}` has line breaks or other control characters"
        ));
    }
    Ok(secret)
}

/// A signing secret must be one, or every delivery would fail later.
fn signing(layer: &Layer, text: &Spanned<SecretText>) -> Result<Secret, Error> {
    use base64::Engine as _;
    let secret = layer.secret(text)?;
    let bytes = secret.reveal().strip_prefix("whsec_").unwrap_or_default();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(bytes)
        .unwrap_or_default();
    if (24..=64).contains(&bytes.len()) {
        Ok(secret)
    } else {
        Err(layer.refuse(text, "a signing secret is `whsec_` and 24 to 64 random bytes in base64"))
    }
}

pub(super) fn accounts(layers: &[Layer]) -> Result<BTreeMap<AccountId, Account>, Error> {
    let ids: BTreeSet<&AccountId> = layers.iter().flat_map(|layer| layer.file.account.keys()).collect();
    let all = ids.into_iter().map(|id| {
        let tables: Vec<(&Layer, &file::Account)> = layers
            .iter()
            .filter_map(|layer| Some((layer, layer.file.account.get(id)?)))
            .collect();
        Ok((id.clone(), account(layers, &tables)?))
    });
    all.collect()
}

fn account(layers: &[Layer], tables: &[(&Layer, &file::Account)]) -> Result<Account, Error> {
    let url = found(tables, |table| table.webhook_url.as_ref());
    if let Some((layer, bad)) = url.filter(|(_, url)| !is_http(url.get_ref())) {
        return Err(layer.refuse(bad, ADDRESS));
    }
    let secret = found(tables, |table| table.webhook_secret.as_ref());
    let pacing: Vec<(&Layer, &file::Pacing)> = tables
        .iter()
        .filter_map(|(layer, table)| Some((*layer, table.pacing.as_ref()?)))
        .collect();
    let pacing = (!pacing.is_empty()).then(|| own_pacing(layers, &pacing)).transpose()?;
    Ok(Account {
        name: tables.iter().find_map(|(_, table)| table.name.clone()),
        webhook_url: url.map(|(_, url)| url.get_ref().clone()),
        webhook_secret: secret.map(|(layer, text)| signing(layer, text)).transpose()?,
        browser: tables.iter().find_map(|(_, table)| table.browser).map(kind),
        pacing,
    })
}
