//! Who calls, and whether they may: the one gate before every route.
//!
//! In: a request with the way it came in, and what its route needs. Out: the request with its [`Caller`], or a refusal. Must
//! not be passed by: `server` puts it before each route of its table.
//!
//! A request comes by the control socket, whose file mode is the proof, and has scope admin; with a key in `Authorization`;
//! or with the cookie of a signed-in page, and then a change must bring the page's token too. On TCP the name in `Host` must
//! be one that wharf is called by, which stops a foreign name that is pointed at this machine, and `Origin`, where a browser
//! sends it, must be the same place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::keys::{self, Scope, Scopes};
use super::pages;
use super::refusal::Refusal;
use super::server::Context;
use super::tickets::Ticket;

/// The header in which a page sends its token.
pub(super) const TOKEN: &str = "x-wharf-token";

/// What stands for a key's id on the control socket. Ids of keys are longer.
pub(super) const CONTROL: &str = "control";

/// The way a request came in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Via {
    /// The control socket.
    Control,
    /// TCP, from there.
    Tcp(SocketAddr),
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: health, sign-in, and the files of the pages.
    Open,
    /// A key, or a signed-in page, with this scope.
    Scope(Scope),
    /// As `Scope`, and who has neither gets the sign-in page.
    Page(Scope),
    /// The control socket.
    Control,
}

/// Who calls, once the gate is passed.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The key's id; [`CONTROL`] on the control socket.
    pub(super) id: String,
    pub(super) scopes: Scopes,
    /// The page's ticket, if it is a signed-in page.
    pub(super) ticket: Option<Ticket>,
}

/// The gate of one route.
pub(super) async fn gate(
    State((context, need)): State<(Arc<Context>, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    if need == Need::Open {
        return next.run(request).await;
    }
    let via = request.extensions().get::<Via>().copied();
    match admit(&context, need, via, request.method(), request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal)
            if matches!(need, Need::Page(_))
                && refusal.status == StatusCode::UNAUTHORIZED
                && request.method().is_safe() =>
        {
            pages::sign_in::asked(request.uri())
        }
        Err(refusal) if matches!(need, Need::Page(_)) && request.method().is_safe() => pages::problem(&refusal),
        Err(refusal) => refusal.into_response(),
    }
}

async fn admit(
    context: &Context,
    need: Need,
    via: Option<Via>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let caller = identify(context, via, method, headers).await?;
    let needed = match need {
        Need::Open => return Ok(caller),
        Need::Scope(scope) | Need::Page(scope) => scope,
        Need::Control if matches!(via, Some(Via::Control)) => return Ok(caller),
        Need::Control => {
            let message = "keys are made and revoked on the machine itself: `wharf key new`";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "CONTROL_SOCKET_ONLY", message));
        }
    };
    if caller.scopes.allow(needed) {
        return Ok(caller);
    }
    Err(Refusal::missing_scope(needed))
}

async fn identify(
    context: &Context,
    via: Option<Via>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Caller, Refusal> {
    let source = match via {
        Some(Via::Control) => {
            return Ok(Caller {
                id: CONTROL.to_owned(),
                scopes: Scopes::all(),
                ticket: None,
            });
        }
        Some(Via::Tcp(source)) => source.ip(),
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let shown = value.to_str().ok().and_then(|value| value.split_once(' '));
        let key = shown
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, key)| key.trim());
        let (id, scopes) = verify(context, source, key).await?;
        return Ok(Caller {
            id,
            scopes,
            ticket: None,
        });
    }
    let ticket = cookie(headers, &context.cookie).and_then(|cookie| context.tickets.find(cookie));
    let Some(ticket) = ticket else {
        return Err(Refusal::unauthenticated());
    };
    let records = context.store.keys().await?;
    let Some(record) = records.iter().find(|record| record.id == ticket.key_id) else {
        return Err(Refusal::unauthenticated());
    };
    if !method.is_safe() {
        let token = headers
            .get(TOKEN)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if !ticket.has_token(token) {
            let message = "a change from a page must bring the page's token; reload the page";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "BAD_PAGE_TOKEN", message));
        }
    }
    Ok(Caller {
        id: record.id.clone(),
        scopes: keys::scopes(record),
        ticket: Some(ticket),
    })
}

/// Recognises a key; a wrong one counts against the address that it came from.
pub(super) async fn verify(context: &Context, source: IpAddr, key: &str) -> Result<(String, Scopes), Refusal> {
    let records = context.store.keys().await?;
    keys::recognise(key, &records).ok_or_else(|| match context.throttle.wrong(source) {
        None => Refusal::unauthenticated(),
        Some(wait) => Refusal::throttled(wait.as_secs().max(1)),
    })
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = all
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

/// The check of `Host` and `Origin`, before all routes.
pub(super) async fn place(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    if matches!(request.extensions().get::<Via>(), Some(Via::Control)) {
        return next.run(request).await;
    }
    let config = context.config.borrow().clone();
    match check_place(
        request.uri(),
        request.headers(),
        &config.admin.hosts,
        config.admin.listen.ip(),
    ) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

fn check_place(uri: &Uri, headers: &HeaderMap, hosts: &[String], listen: IpAddr) -> Result<(), Refusal> {
    let misdirected = || {
        let message = "wharf is not called by this name; add it to `[admin] hosts` if it is";
        Refusal::new(StatusCode::MISDIRECTED_REQUEST, "WRONG_HOST", message)
    };
    let mut shown = headers.get_all(header::HOST).into_iter();
    let host = shown
        .next()
        .and_then(|value| value.to_str().ok())
        .ok_or_else(misdirected)?;
    let named = |host: &str| is_ours(host, hosts, listen);
    if shown.next().is_some() || !named(host) || uri.authority().is_some_and(|other| !named(other.as_str())) {
        return Err(misdirected());
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let same = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(scheme, place)| matches!(scheme, "http" | "https") && place.eq_ignore_ascii_case(host));
    if same {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::FORBIDDEN,
        "WRONG_ORIGIN",
        "another site may not use the admin",
    ))
}

/// Whether a `Host` names us: a loopback name, the address that we listen on, or one of `[admin] hosts`; any port.
fn is_ours(host: &str, hosts: &[String], listen: IpAddr) -> bool {
    let bare = without_port(host);
    let literal = bare.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    bare.eq_ignore_ascii_case("localhost")
        || literal.is_ok_and(|address| address.is_loopback() || address == listen)
        || hosts
            .iter()
            .any(|ours| ours.eq_ignore_ascii_case(host) || ours.eq_ignore_ascii_case(bare))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !(name.is_empty()) => {
            // `[::1]` ends with a bracket; `::1` without one is no valid Host and is left as it is.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: Option<&str>, origin: Option<&str>, uri: &str) -> Result<(), u16> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let hosts = ["wharf.example.com".to_owned(), "other:8443".to_owned()];
        check_place(&uri.parse().unwrap(), &headers, &hosts, IpAddr::from([127, 0, 0, 5]))
            .map_err(|refusal| refusal.status.as_u16())
    }

    #[test]
    fn only_our_names_are_answered() {
        for host in [
            "localhost",
            "localhost:7380",
            "LOCALHOST:1",
            "127.0.0.1",
            "127.0.0.1:7380",
            "127.0.0.5:7380",
            "[::1]",
            "[::1]:7380",
            "wharf.example.com",
            "wharf.example.com:443",
            "Wharf.Example.com",
            "other:8443",
        ] {
            assert_eq!(check(Some(host), None, "/"), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:7380",
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "other",
            "other:1",
            "wharf.example.com.evil",
            "localhost:80:90",
            "[::2]:80",
            "169.254.169.254",
        ] {
            assert_eq!(check(Some(host), None, "/"), Err(421), "{host}");
        }
        assert_eq!(check(None, None, "/"), Err(421));
        assert_eq!(
            check(Some("localhost"), None, "http://evil.example/"),
            Err(421),
            "the name in the target counts too"
        );
        assert_eq!(check(Some("localhost"), None, "http://localhost/"), Ok(()));
    }

    #[test]
    fn an_origin_must_be_the_same_place() {
        let from = |origin: &str| check(Some("localhost:7380"), Some(origin), "/");
        assert_eq!(from("http://localhost:7380"), Ok(()));
        assert_eq!(
            from("https://localhost:7380"),
            Ok(()),
            "a proxy may speak TLS before it"
        );
        for origin in [
            "null",
            "",
            "http://localhost",
            "http://localhost:7381",
            "http://127.0.0.1:7380",
            "https://evil.example",
            "http://localhost:7380.evil.example",
            "file://",
            "chrome-extension://localhost:7380",
        ] {
            assert_eq!(from(origin), Err(403), "{origin}");
        }
        assert_eq!(
            check(Some("wharf.example.com"), Some("https://wharf.example.com"), "/"),
            Ok(())
        );
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, "a=1; wharf_x=abc; b=2".parse().unwrap());
        headers.append(header::COOKIE, "wharf_y=def".parse().unwrap());
        assert_eq!(cookie(&headers, "wharf_x"), Some("abc"));
        assert_eq!(cookie(&headers, "wharf_y"), Some("def"));
        assert_eq!(cookie(&headers, "wharf_"), None);
    }
}
