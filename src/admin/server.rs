//! The routes, and the one way to them.
//!
//! | route | needs | does |
//! |---|---|---|
//! | `GET /healthz` | nothing | the process answers |
//! | `GET /readyz` | nothing | the store commits, a configuration is in force |
//! | `GET, POST /api/accounts` | read, admin | list; create `{id?, name?}` |
//! | `GET, DELETE /api/accounts/{id}` | read, admin | one account; delete it with its profile |
//! | `POST /api/accounts/{id}/start`, `stop`, `logout` | admin | bring it up, take it down, unlink it |
//! | `GET /api/accounts/{id}/qr`, `qr.png`, `qr.svg` | qr | the code to scan |
//! | `GET /api/accounts/{id}/snapshot` | read | a picture of the page |
//! | `PUT /api/accounts/{id}/webhook` | admin | where `account:ID` delivers |
//! | `POST /api/accounts/{id}/messages/send` | send | send a text |
//! | `GET /api/scripts` | read | scripts and plugins, with their last error |
//! | `GET /api/scripts/dead`, `POST /api/scripts/dead/{id}/run` | read, admin | runs that were given up; start one again |
//! | `POST /api/backup` | the control socket | `wharf backup` |
//! | `GET /api/journal/last` | the control socket | `wharf record` |
//! | `POST /api/scripts/{name}/repl` | the control socket | `wharf repl` |
//! | `GET /api/outbox`, `/api/outbox/dead` | read | deliveries that wait, and those given up |
//! | `GET /api/endpoints`, `POST /api/endpoints/{name}/enable` | read, admin | how endpoints stand; open one that answered 410 |
//! | `GET, POST /api/keys`, `DELETE /api/keys/{id}` | the control socket | `wharf key` |
//! | `GET /`, `/accounts/{id}`, `/scripts` | read, by a signed-in page | pages for people |
//! | `POST /sign-in`, `/sign-out` | nothing; a page | |
//! | `GET /assets/…` | nothing | the files of the pages |
//!
//! In: requests from `listen`. Out: answers of the handlers in `api` and `pages`. A new route is one row of [`routes`]: its
//! row says what it needs, and the gate of `auth` is put before it here, so none can be without.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodFilter, MethodRouter, on};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::auth::{self, Need};
use super::keys::Scope;
use super::refusal::Refusal;
use super::throttle::Throttle;
use super::tickets::Tickets;
use super::{api, pages};
use crate::config::Config;
use crate::script::Scripts;
use crate::session::Sessions;
use crate::store::Store;
use crate::store::backup::Backups;
use crate::webhook::Deliveries;

/// The largest body of a request, in bytes.
const BODY: usize = 1 << 20;

/// What handlers work with.
pub(super) struct Context {
    pub(super) sessions: Sessions,
    pub(super) scripts: Scripts,
    pub(super) deliveries: Deliveries,
    pub(super) store: Store,
    pub(super) backups: Backups,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) tracker: TaskTracker,
    pub(super) throttle: Throttle,
    pub(super) tickets: Tickets,
    /// The cookie's name: two hosts on one machine share its cookies, whatever their ports.
    pub(super) cookie: String,
}

type Shared = Arc<Context>;

/// A row of the table.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) need: Need,
    handler: MethodRouter<Shared>,
}

fn row<H, T>(method: Method, path: &'static str, need: Need, handler: H) -> Route
where
    H: Handler<T, Shared>,
    T: 'static,
{
    let filter = MethodFilter::try_from(method.clone()).expect("the table holds ordinary methods only");
    Route {
        method,
        path,
        need,
        handler: on(filter, handler),
    }
}

/// The table.
pub(super) fn routes() -> Vec<Route> {
    use Need::{Control, Open};
    let (read, send, qr, admin) = (
        Need::Scope(Scope::Read),
        Need::Scope(Scope::Send),
        Need::Scope(Scope::Qr),
        Need::Scope(Scope::Admin),
    );
    let page = Need::Page(Scope::Read);
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    vec![
        row(get.clone(), "/healthz", Open, api::health::alive),
        row(get.clone(), "/readyz", Open, api::health::ready),
        row(get.clone(), "/api/accounts", read, api::accounts::list),
        row(post.clone(), "/api/accounts", admin, api::accounts::create),
        row(get.clone(), "/api/accounts/{id}", read, api::accounts::one),
        row(delete.clone(), "/api/accounts/{id}", admin, api::accounts::delete),
        row(post.clone(), "/api/accounts/{id}/start", admin, api::accounts::start),
        row(post.clone(), "/api/accounts/{id}/stop", admin, api::accounts::stop),
        row(post.clone(), "/api/accounts/{id}/logout", admin, api::accounts::logout),
        row(get.clone(), "/api/accounts/{id}/qr", qr, api::qr::json),
        row(get.clone(), "/api/accounts/{id}/qr.png", qr, api::qr::png),
        row(get.clone(), "/api/accounts/{id}/qr.svg", qr, api::qr::svg),
        row(get.clone(), "/api/accounts/{id}/snapshot", read, api::snapshot::take),
        row(put, "/api/accounts/{id}/webhook", admin, api::webhook::set),
        row(
            post.clone(),
            "/api/accounts/{id}/messages/send",
            send,
            api::messages::send,
        ),
        row(get.clone(), "/api/scripts", read, api::scripts::list),
        row(post.clone(), "/api/scripts/{name}/repl", Control, api::scripts::type_in),
        row(get.clone(), "/api/scripts/dead", read, api::dead_runs::list),
        row(post.clone(), "/api/scripts/dead/{id}/run", admin, api::dead_runs::run),
        row(get.clone(), "/api/journal/last", Control, api::journal::last),
        row(get.clone(), "/api/outbox", read, api::outbox::waiting),
        row(get.clone(), "/api/outbox/dead", read, api::outbox::dead),
        row(get.clone(), "/api/endpoints", read, api::endpoints::list),
        row(
            post.clone(),
            "/api/endpoints/{name}/enable",
            admin,
            api::endpoints::enable,
        ),
        row(get.clone(), "/api/store", read, api::store::show),
        row(post.clone(), "/api/backup", Control, api::store::back_up),
        row(get.clone(), "/api/keys", Control, api::keys::list),
        row(post.clone(), "/api/keys", Control, api::keys::make),
        row(delete, "/api/keys/{id}", Control, api::keys::revoke),
        row(get.clone(), "/", page, pages::overview::show),
        row(get.clone(), "/accounts/{id}", page, pages::account::show),
        row(get.clone(), "/scripts", page, pages::scripts::show),
        row(post.clone(), "/sign-in", Open, pages::sign_in::enter),
        row(post, "/sign-out", page, pages::sign_in::leave),
        row(get, "/assets/{name}", Open, pages::assets::file),
    ]
}

/// The router: the check of the place before everything, the gate before each route.
pub(super) fn router(context: Context) -> Router {
    let context = Arc::new(context);
    let mut router = Router::new();
    for route in routes() {
        let gate = from_fn_with_state((Arc::clone(&context), route.need), auth::gate);
        router = router.route(route.path, route.handler.layer(gate));
    }
    router
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "NO_ROUTE", "there is no such route"))
        .method_not_allowed_fallback(async || {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "WRONG_METHOD",
                "this route has other methods",
            )
        })
        .layer(DefaultBodyLimit::max(BODY))
        .layer(from_fn_with_state(Arc::clone(&context), auth::place))
        .layer(from_fn(finish))
        .with_state(context)
}

/// What browsers may do with answers: pages load nothing but our own files and are framed by nobody; nothing is cached,
/// since answers are of the moment and codes are credentials.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // With `no-referrer`, browsers send `Origin: null` from our own sign-in form.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

async fn finish(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    tracing::debug!(%method, path, status = response.status().as_u16(), "admin");
    response
}
