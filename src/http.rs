//! The one outbound HTTP client: webhooks, media and Lua's `http` all go through it.
//!
//! In: a [`Request`] with its limits, and the owner's `[egress]`. Out: a [`Response`], or an [`Error`] that tells the
//! outside no more than it may know. Must not follow redirects, use a proxy of the environment, speak anything but http and
//! https, or dial an address that `address` has not passed: names are resolved here, and only allowed addresses are
//! handed to the connector, so that the address checked is the address dialled.

mod address;
mod error;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::Method;
use hyper::body::Bytes;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

pub use error::Error;
use error::{Refused, causes, sorted};

use crate::config::resolved::Egress;

/// Time to reach the other side, TLS included. From the table of delivery numbers: 5 s each for TCP and TLS.
const CONNECT: Duration = Duration::from_secs(10);

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
            inner: Arc::new(ArcSwap::from_pointee(Inner::new(egress)?)),
        })
    }

    /// Takes up a changed `[egress]`, for all handles. Connections that are open to places no longer allowed end with
    /// their requests.
    ///
    /// # Errors
    ///
    /// As for [`Client::new`]; the old rules then stay.
    pub fn follow(&self, egress: &Egress) -> Result<(), Error> {
        if *self.inner.load().allow != *egress.allow {
            self.inner.store(Arc::new(Inner::new(egress)?));
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

    /// Sends a request of any method.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but `Build`. An answer with any status is not an error.
    pub async fn send(&self, method: Method, request: Request) -> Result<Response, Error> {
        let inner = self.inner.load_full();
        let url = checked(&request.url, &inner.allow)?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for (name, value) in &request.headers {
            let bad = || Error::Header(name.clone());
            let name = HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
            headers.insert(name, HeaderValue::try_from(value.as_str()).map_err(|_| bad())?);
        }
        let exchange = async {
            let builder = inner.http.request(method, url).headers(headers).body(request.body);
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
}

impl Inner {
    fn new(egress: &Egress) -> Result<Self, Error> {
        // Fails only if a provider is installed already, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let allow: Arc<[IpNet]> = egress.allow.clone().into();
        let http = match builder(&allow).build() {
            Ok(http) => http,
            Err(error) => {
                tracing::warn!(
                    error = %causes(&error),
                    "no CA certificates: https addresses cannot be reached until the package ca-certificates is installed"
                );
                let without = builder(&allow).tls_certs_only([]).build();
                without.map_err(|error| Error::Build(causes(&error)))?
            }
        };
        Ok(Self { http, allow })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the client that the ban points to")]
fn builder(allow: &Arc<[IpNet]>) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .dns_resolver(Guard {
            allow: Arc::clone(allow),
        })
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(IDLE_PER_HOST)
}

/// The resolver that hands only allowed addresses to the connector.
struct Guard {
    allow: Arc<[IpNet]>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.allow);
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let allowed: Vec<SocketAddr> = all
                .iter()
                .copied()
                .filter(|at| address::is_allowed(at.ip(), &allow))
                .collect();
            if allowed.is_empty() && !all.is_empty() {
                let found = all.iter().map(|at| at.ip().to_string()).collect::<Vec<_>>().join(", ");
                let why = format!("`{}` is {found}, which [egress] allow does not name", name.as_str());
                return Err(Refused(why).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
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
mod tests {
    use super::*;

    fn egress(ranges: &[&str]) -> Egress {
        Egress {
            allow: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        }
    }

    fn to(url: &str) -> Request {
        Request {
            url: url.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            response_limit: 4,
        }
    }

    /// A listener that answers every connection with the same bytes and counts them.
    async fn listener(answer: &'static str) -> (u16, Arc<std::sync::atomic::AtomicUsize>, tokio::task::JoinHandle<()>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let task = tokio_util::task::TaskTracker::new().spawn(async move {
            while let Ok((mut connection, _)) = socket.accept().await {
                counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                let mut head = [0; 4096];
                drop(connection.read(&mut head).await);
                drop(connection.write_all(answer.as_bytes()).await);
            }
        });
        (port, count, task)
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_limit() {
        let (port, _, task) = listener("HTTP/1.1 418 x\r\ncontent-length: 6\r\nx-a: b\r\n\r\nabcdef").await;
        let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
        let answer = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
        assert_eq!((answer.status, &answer.body[..], answer.cut), (418, &b"abcd"[..], true));
        assert_eq!(answer.headers["x-a"], "b");
        task.abort();
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let (port, count, task) =
            listener("HTTP/1.1 302 x\r\nlocation: /other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
        let answer = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
        assert_eq!(answer.status, 302);
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
        task.abort();
    }

    #[tokio::test]
    async fn blocked_places_are_never_dialled_by_address_or_by_name() {
        let (port, count, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
        let client = Client::new(&egress(&[])).unwrap();
        for host in [
            "127.0.0.1",
            "localhost",
            "2130706433",
            "0x7f.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
        ] {
            let error = client.post(to(&format!("http://{host}:{port}/"))).await.unwrap_err();
            assert!(matches!(error, Error::Blocked(_)), "{host}: {error:?}");
            assert_eq!(error.to_string(), "blocked", "it tells the outside no more");
        }
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
        task.abort();
    }

    #[tokio::test]
    async fn a_changed_egress_is_in_force_for_every_handle() {
        let (port, _, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        let client = Client::new(&egress(&[])).unwrap();
        let other = client.clone();
        client.follow(&egress(&["127.0.0.0/8"])).unwrap();
        assert_eq!(
            other
                .post(to(&format!("http://localhost:{port}/")))
                .await
                .unwrap()
                .status,
            200
        );
        client.follow(&egress(&[])).unwrap();
        assert!(other.post(to(&format!("http://localhost:{port}/"))).await.is_err());
        task.abort();
    }

    #[tokio::test]
    async fn errors_are_told_apart() {
        let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
        for url in ["file:///etc/passwd", "ftp://x/", "not a url", "/path"] {
            assert!(matches!(client.post(to(url)).await, Err(Error::Url(_))), "{url}");
        }
        let (port, _, task) = listener("").await;
        let cut = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
        assert!(matches!(cut, Error::Cut(_)), "{cut:?}");
        task.abort();
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let refused = client.post(to(&format!("http://127.0.0.1:{free}/"))).await.unwrap_err();
        assert!(matches!(refused, Error::Cut(_)), "{refused:?}");
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut request = to(&format!("http://{}/", silent.local_addr().unwrap()));
        request.timeout = Duration::from_millis(50);
        assert!(matches!(client.post(request).await, Err(Error::Timeout)));
        let header = Request {
            headers: vec![("a b".to_owned(), "c".to_owned())],
            ..to("http://127.0.0.1/")
        };
        assert!(matches!(client.post(header).await, Err(Error::Header(_))));
    }
}
