//! The HTTP side: routes, the pages with their headers, and what runs behind them.
//!
//! In: requests. Out: pages; the socket goes to `socket`, the rest to `control`. Must not know the world's insides.
//!
//! | route | answers |
//! |---|---|
//! | `GET /`, `GET /FILE` | the WhatsApp Web page, or the stranger that a fault has put in its place |
//! | `GET /ws` | its socket |
//! | `POST /files`, `GET /files/REFERENCE` | what messages carry |
//! | `GET /phones`, `GET /phones/FILE` | the page for people |
//! | `/control/…` | see `control` |

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::files::LARGEST;
use super::world::{Faults, Stranger, World};
use super::{Error, assets, control, socket};

/// No inline script, no `eval`, nothing from elsewhere, and trusted types, which the real page demands and which the
/// library was seen to bear.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; \
     font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types 'none'";

/// How the simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; loopback, because its control API has no key.
    pub listen: SocketAddr,
    /// How long a code is shown before the next one.
    pub qr_ttl: Duration,
}

impl Options {
    /// The usual ones: codes of 20 s, as WhatsApp's are after the first (public issues of wppconnect).
    #[must_use]
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            qr_ttl: Duration::from_secs(20),
        }
    }
}

/// A simulator at work.
#[derive(Clone, Debug)]
pub struct Running {
    /// Where it really listens.
    pub addr: SocketAddr,
    server: Arc<Server>,
    tasks: TaskTracker,
}

impl Running {
    /// Adds a phone, as `POST /control/phones` does.
    ///
    /// # Errors
    /// [`Error::PhoneExists`], or [`Error::Malformed`] for a number that is none.
    pub fn add_phone(&self, number: &str, name: &str) -> Result<(), Error> {
        self.server.world().add_phone(number, name)
    }

    /// Waits until it has ended, after its token was cancelled.
    pub async fn closed(&self) {
        self.tasks.wait().await;
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Server {
    world: Mutex<World>,
    /// Ends sockets and streams.
    pub(super) stop: CancellationToken,
}

impl Server {
    /// The world, for a moment: never held over an await.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Starts a simulator; it ends when `stop` is cancelled.
///
/// # Errors
/// [`Error::Listen`] when the address is taken or not ours.
pub async fn serve(options: Options, stop: CancellationToken) -> Result<Running, Error> {
    let failed = |source| Error::Listen {
        listen: options.listen,
        source,
    };
    let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    if !addr.ip().is_loopback() {
        tracing::warn!(%addr, "the simulator's control API has no key and is open to whoever reaches this address");
    }
    let ttl = i64::try_from(options.qr_ttl.as_millis()).unwrap_or(i64::MAX);
    let server = Arc::new(Server {
        world: Mutex::new(World::new(ttl)),
        stop: stop.clone(),
    });
    let tasks = TaskTracker::new();
    let router = router(Arc::clone(&server));
    tasks.spawn(async move {
        let ended = axum::serve(listener, router)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = ended {
            tracing::error!(%addr, %error, "the simulator's listener has failed");
        }
    });
    tasks.close();
    Ok(Running { addr, server, tasks })
}

fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/ws", get(socket::open))
        .route("/files", post(keep_file).layer(DefaultBodyLimit::max(LARGEST)))
        .nest("/control", control::routes().layer(DefaultBodyLimit::max(2 * LARGEST)))
        .route_layer(middleware::from_fn(own_pages_only))
        .route("/", get(web))
        .route("/files/{reference}", get(give_file))
        .route("/phones", get(|| async { file(assets::PHONES, "") }))
        .route(
            "/phones/{*path}",
            get(|Path(path): Path<String>| async move { file(assets::PHONES, &path) }),
        )
        .route(
            "/{*path}",
            get(|Path(path): Path<String>| async move { file(assets::WEB, &path) }),
        )
        .with_state(server)
}

/// Turns away what a page of another origin asks: any page that is open in a browser on this machine could otherwise
/// write messages here. Programs send no `Origin`.
async fn own_pages_only(request: Request, next: Next) -> Response {
    if is_own(request.headers()) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin.split_once("://").is_some_and(|(_, asker)| asker == host),
        (Some(_), None) => false,
    }
}

/// The WhatsApp Web page. The strangers are what a host can meet in its place: an error of a proxy, a page that failed
/// to load, the sign-in form of a network (assumed).
async fn web(State(server): State<Arc<Server>>) -> Response {
    let Faults {
        unrecognised_page: stranger,
        follow_links,
        ..
    } = server.world().faults.clone();
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    match stranger {
        None if follow_links => {
            let page = assets::find(assets::WEB, "").map_or("", |asset| asset.text);
            let tampered = page.replace("</head>", "<script defer src=\"/follow.js\"></script>\n</head>");
            (html, tampered).into_response()
        }
        None => file(assets::WEB, ""),
        Some(Stranger::NotFound) => (
            StatusCode::NOT_FOUND,
            html,
            "<!doctype html><title>404</title><h1>Not Found</h1>",
        )
            .into_response(),
        Some(Stranger::Elsewhere) => {
            (StatusCode::FOUND, [(header::LOCATION, "http://portal.test/sign-in")]).into_response()
        }
        Some(Stranger::Empty) => (html, "<!doctype html><title></title>").into_response(),
        Some(Stranger::Login) => {
            let form = "<!doctype html><title>Sign in</title><h1>Guest network</h1><form method=post>\
                        <input name=user><input name=password type=password><button>Sign in</button></form>";
            (html, form).into_response()
        }
    }
}

/// A page has a file that it is about to send.
async fn keep_file(State(server): State<Arc<Server>>, bytes: axum::body::Bytes) -> String {
    server.world().files.keep(bytes.into())
}

/// A page, or a person, fetches a file of a message.
async fn give_file(State(server): State<Arc<Server>>, Path(reference): Path<String>) -> Response {
    match server.world().files.get(&reference) {
        Some(bytes) => {
            let headers = [
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CONTENT_TYPE, picture_type(bytes)),
            ];
            (headers, bytes.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The type of a picture, by how it begins; anything else is bytes, which no browser opens as a page.
fn picture_type(bytes: &[u8]) -> &'static str {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => "application/octet-stream",
    }
}

fn file(page: &'static [assets::Asset], path: &str) -> Response {
    let Some(asset) = assets::find(page, path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut headers = HeaderMap::new();
    let fixed = [
        (header::CONTENT_TYPE, asset.mime),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    (headers, asset.text).into_response()
}
