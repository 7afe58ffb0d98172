//! Signing in with a key, and out.
//!
//! In: a key, once. Out: a cookie that scripts of pages cannot read and other sites' requests do not carry. Must not repeat
//! the key, nor send anybody to another site afterwards.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{Extension, Form, FromRequest as _, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use tokio::time::timeout;

use super::super::api::BODY_TIME;
use super::super::auth::{self, Via};
use super::super::refusal::Refusal;
use super::super::server::Context;
use super::super::tickets::LIFE;
use super::{Text, document, problem};

#[derive(Deserialize)]
pub(in super::super) struct Entry {
    key: String,
    next: Option<String>,
}

/// The page that is shown in place of another one to who is not signed in.
pub(in super::super) fn asked(uri: &Uri) -> Response {
    form(StatusCode::UNAUTHORIZED, local(uri.path()), None)
}

fn form(status: StatusCode, next: &str, wrong: Option<&str>) -> Response {
    let wrong = wrong
        .map(|why| format!("<p class=\"wrong\" role=\"alert\">{}</p>", Text(why)))
        .unwrap_or_default();
    let body = format!(
        "<section class=\"card narrow\"><h1>Sign in</h1>{wrong}\
         <form method=\"post\" action=\"/sign-in\" class=\"stack\">\
         <label>Key <input name=\"key\" type=\"password\" autocomplete=\"current-password\" required autofocus \
         placeholder=\"wharf_…\" spellcheck=\"false\"></label>\
         <input type=\"hidden\" name=\"next\" value=\"{}\"><button class=\"main\">Sign in</button></form>\
         <p class=\"hint\">Make a key on the machine that runs wharf:</p><pre><code>wharf key new</code></pre></section>",
        Text(next)
    );
    document(status, "Sign in", "", "", &body)
}

/// `POST /sign-in`
pub(in super::super) async fn enter(
    State(context): State<Arc<Context>>,
    via: Option<Extension<Via>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let Ok(entry) = timeout(BODY_TIME, Form::<Entry>::from_request(request, &())).await else {
        return form(
            StatusCode::REQUEST_TIMEOUT,
            "/",
            Some("The key did not arrive in time."),
        );
    };
    let Ok(Form(entry)) = entry else {
        return form(StatusCode::BAD_REQUEST, "/", Some("Paste a key into the field."));
    };
    let source = match via {
        Some(Extension(Via::Tcp(source))) => source.ip(),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    let next = local(entry.next.as_deref().unwrap_or("/"));
    let id = match auth::verify(&context, source, entry.key.trim()).await {
        Ok((id, _)) => id,
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
            return form(
                refusal.status,
                next,
                Some("This is not a key of this wharf, or it was revoked."),
            );
        }
        Err(refusal) if refusal.status == StatusCode::TOO_MANY_REQUESTS => {
            return form(
                refusal.status,
                next,
                Some("Too many wrong keys. Wait a minute, or use a right one."),
            );
        }
        Err(refusal) => return problem(&refusal),
    };
    match context.tickets.issue(id) {
        Ok(cookie) => {
            let cookie = set_cookie(&context.cookie, &cookie, LIFE.as_secs(), &headers);
            ([(header::SET_COOKIE, cookie)], Redirect::to(next)).into_response()
        }
        Err(error) => problem(&Refusal::from(error)),
    }
}

/// `POST /sign-out`
pub(in super::super) async fn leave(State(context): State<Arc<Context>>, headers: HeaderMap) -> Response {
    if let Some(cookie) = auth::cookie(&headers, &context.cookie) {
        context.tickets.end(cookie);
    }
    let gone = set_cookie(&context.cookie, "", 0, &headers);
    ([(header::SET_COOKIE, gone)], StatusCode::NO_CONTENT).into_response()
}

fn set_cookie(name: &str, value: &str, seconds: u64, headers: &HeaderMap) -> String {
    // Behind a proxy with TLS the page's origin says so; on plain loopback some browsers drop a cookie marked Secure.
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok())
        .unwrap_or_default();
    let secure = if origin.starts_with("https://") { "; Secure" } else { "" };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// A place on this site; anything else becomes the start page.
fn local(next: &str) -> &str {
    let plain = next.bytes().all(|c| c.is_ascii_alphanumeric() || b"/_-".contains(&c));
    if plain && next.starts_with('/') && !next.starts_with("//") {
        next
    } else {
        "/"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for place in ["/", "/accounts/sales", "/scripts"] {
            assert_eq!(local(place), place);
        }
        for place in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "javascript:x",
            "/x?y",
            "/\nx",
        ] {
            assert_eq!(local(place), "/", "{place}");
        }
    }
}
