//! The one outbound HTTP client: webhooks, media and Lua's `http` all go through it.
//!
//! In: a [`Request`] with its limits, and the owner's `[egress]`. Out: a [`Response`], or an [`Error`] that tells the
//! outside no more than it may know. Must not follow redirects, use a proxy of the environment, speak anything but http and
//! https, or dial an address that `address` has not passed: names are resolved here, and only allowed addresses are
//! handed to the connector, so that the address checked is the address dialled.

mod address;
mod error;
mod resolve;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

pub use error::Error;
use error::{causes, sorted};
use resolve::{Guard, Lookup};

use crate::config::resolved::{Ca, Egress};

/// Time to reach the other side, TLS included. From the table of delivery numbers: 5 s each for TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);

/// Clients with certificates of their own that are kept; one more, and all are built anew when they are used.
const TRUSTING: usize = 64;

/// Idle connections that are kept per host, so that a receiver that is busy is not dialled for each delivery.
const IDLE_PER_HOST: usize = 8;

/// The client; a cheap handle.
#[derive(Clone)]
pub struct Client {
    inner: Arc<ArcSwap<Inner>>,
}

struct Inner {
    http: reqwest::Client,
    allow: Arc<[IpNet]>,
    lookup: Lookup,
    /// Clients that trust further certificates, by these; connections are not shared between them.
    trusting: Mutex<HashMap<Arc<[u8]>, reqwest::Client>>,
}

/// What to ask for, and how much it may cost.
#[derive(Clone)]
pub struct Request {
    /// An http or https URL. A user name and password in it become an `Authorization` header.
    pub url: String,
    /// Headers, beside those that the protocol needs.
    pub headers: Vec<(String, String)>,
    /// The body, sent as it is.
    pub body: Bytes,
    /// Time for the whole exchange, from the name's look-up to the last byte.
    pub timeout: Duration,
    /// Bytes of the answer that are read; the rest is left and [`Response::cut`] is set.
    pub response_limit: usize,
}

/// Headers by name alone, no body, and no address: each may hold a secret.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Request")
            .field("headers", &names)
            .field("body", &self.body.len())
            .field("timeout", &self.timeout)
            .field("response_limit", &self.response_limit)
            .finish_non_exhaustive()
    }
}

/// An answer, of any status.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to the request's limit.
    pub body: Bytes,
    /// Whether there was more than the limit.
    pub cut: bool,
}

impl Client {
    /// Builds the client.
    ///
    /// # Errors
    ///
    /// [`Error::Build`] if TLS cannot be set up at all. A machine without CA certificates is no error: https then fails
    /// when it is used, with a warning here.
    pub fn new(egress: &Egress) -> Result<Self, Error> {
        Ok(Self {
            inner: Arc::new(ArcSwap::from_pointee(Inner::new(egress, resolve::system())?)),
        })
    }

    /// The same with another look-up of names.
    #[cfg(test)]
    fn with_lookup(egress: &Egress, lookup: Lookup) -> Result<Self, Error> {
        Ok(Self {
            inner: Arc::new(ArcSwap::from_pointee(Inner::new(egress, lookup)?)),
        })
    }

    /// Takes up a changed `[egress]`, for all handles. Connections that are open to places no longer allowed end with
    /// their requests.
    ///
    /// # Errors
    ///
    /// As for [`Client::new`]; the old rules then stay.
    pub fn follow(&self, egress: &Egress) -> Result<(), Error> {
        let now = self.inner.load();
        if *now.allow != *egress.allow {
            self.inner.store(Arc::new(Inner::new(egress, Arc::clone(&now.lookup))?));
        }
        Ok(())
    }

    /// Sends a POST.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but `Build`. An answer with any status is not an error.
    pub async fn post(&self, request: Request) -> Result<Response, Error> {
        self.send(Method::POST, request).await
    }

    /// Sends a POST to a place whose certificate may also be signed by one of `ca`.
    ///
    /// # Errors
    ///
    /// Every [`Error`]. An answer with any status is not an error.
    pub async fn post_trusting(&self, request: Request, ca: Option<&Ca>) -> Result<Response, Error> {
        let inner = self.inner.load_full();
        let http = ca.map_or_else(|| Ok(inner.http.clone()), |ca| inner.trusting(ca))?;
        exchange(http, &inner.allow, Method::POST, request).await
    }

    /// Sends a request of any method.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but `Build`. An answer with any status is not an error.
    pub async fn send(&self, method: Method, request: Request) -> Result<Response, Error> {
        let inner = self.inner.load_full();
        exchange(inner.http.clone(), &inner.allow, method, request).await
    }
}

async fn exchange(http: reqwest::Client, allow: &[IpNet], method: Method, request: Request) -> Result<Response, Error> {
    let url = checked(&request.url, allow)?;
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let bad = || Error::Header(name.clone());
        let name = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        headers.insert(name, HeaderValue::try_from(value.as_str()).map_err(|_| bad())?);
    }
    let exchange = async {
        let builder = http.request(method, url).headers(headers).body(request.body);
        let mut answer = builder.send().await.map_err(|error| sorted(&error))?;
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(piece) = answer.chunk().await.map_err(|error| sorted(&error))? {
            let room = request.response_limit - body.len();
            body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() > room {
                cut = true;
                break;
            }
        }
        let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
        Ok(Response {
            status,
            headers,
            body: body.into(),
            cut,
        })
    };
    tokio::time::timeout(request.timeout, exchange)
        .await
        .unwrap_or(Err(Error::Timeout))
}

impl Inner {
    fn new(egress: &Egress, lookup: Lookup) -> Result<Self, Error> {
        // Fails only if a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let allow: Arc<[IpNet]> = egress.allow.clone().into();
        let http = match builder(&allow, &lookup).build() {
            Ok(http) => http,
            Err(error) => {
                tracing::warn!(
                    error = %causes(&error),
                    "no CA certificates: https addresses cannot be reached until the package ca-certificates is installed"
                );
                let without = builder(&allow, &lookup).tls_certs_only([]).build();
                without.map_err(|error| Error::Build(causes(&error)))?
            }
        };
        Ok(Self {
            http,
            allow,
            lookup,
            trusting: Mutex::default(),
        })
    }

    /// The client that trusts these certificates as well.
    fn trusting(&self, ca: &Ca) -> Result<reqwest::Client, Error> {
        let mut kept = self.trusting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(http) = kept.get(&ca.pem) {
            return Ok(http.clone());
        }
        let failed = |error: reqwest::Error| Error::Build(causes(&error));
        let certificates = reqwest::Certificate::from_pem_bundle(&ca.pem).map_err(failed)?;
        let both = builder(&self.allow, &self.lookup).tls_certs_merge(certificates.clone());
        // Without the system's certificates, these alone are trusted.
        let http = both.build().or_else(|_| {
            let alone = builder(&self.allow, &self.lookup).tls_certs_only(certificates);
            alone.build().map_err(failed)
        })?;
        if kept.len() >= TRUSTING {
            kept.clear();
        }
        kept.insert(Arc::clone(&ca.pem), http.clone());
        Ok(http)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the client that the ban points to")]
fn builder(allow: &Arc<[IpNet]>, lookup: &Lookup) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(Guard {
            allow: Arc::clone(allow),
            lookup: Arc::clone(lookup),
        })
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
}

/// Reads a URL and checks what the resolver would not see: the scheme, and an address in the place of a name.
fn checked(text: &str, allow: &[IpNet]) -> Result<reqwest::Url, Error> {
    let url = reqwest::Url::parse(text).map_err(|error| Error::Url(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Url(format!(
            "`{}` is not a scheme that wharf speaks",
            url.scheme()
        )));
    }
    let host = url.host_str().unwrap_or_default();
    let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    match literal {
        Ok(at) if !address::is_allowed(at, allow) => Err(Error::Blocked(format!(
            "{at} is an address that [egress] allow does not name"
        ))),
        _ => Ok(url),
    }
}

/// Whether a URL can be used at all: http or https, with a host. Its address is checked when it is dialled.
///
/// # Errors
///
/// [`Error::Url`], with the reason in its detail.
pub fn check_url(text: &str) -> Result<(), Error> {
    let everywhere = [
        IpNet::from(IpAddr::from([0, 0, 0, 0])),
        IpNet::from(IpAddr::from([0u16; 8])),
    ];
    match checked(text, &everywhere) {
        Ok(_) | Err(Error::Blocked(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
