//! A picture of an account's page.
//!
//! In: an account, a format. Out: the picture, or JSON with it as a data URL where the caller asks for JSON; with its age,
//! since within the throttle it is the last one. Must not keep pictures: they show chats. One that may show the code to scan
//! is for callers only who could get that code by itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::super::auth::Caller;
use super::super::keys::Scope;
use super::super::refusal::Refusal;
use super::super::server::Context;
use super::account_id;
use crate::page::Format;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Wish {
    format: Option<String>,
    /// Ignored: a page adds it so that its browser asks again.
    #[serde(rename = "at")]
    _at: Option<String>,
}

/// `GET /api/accounts/{id}/snapshot`
pub(in super::super) async fn take(
    State(context): State<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    id: Path<String>,
    wish: Result<Query<Wish>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = account_id(id)?;
    let Query(wish) = wish.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    let format = match wish.format.as_deref() {
        None | Some("png") => Format::Png,
        Some("jpeg" | "jpg") => Format::Jpeg,
        Some(other) => {
            return Err(Refusal::bad_request(
                "BAD_FORMAT",
                format!("`{other}` is not a format: use png or jpeg"),
            ));
        }
    };
    let picture = context.sessions.snapshot(&id, format).await?;
    if picture.may_show_code && !caller.scopes.allow(Scope::Qr) {
        return Err(Refusal::missing_scope(Scope::Qr));
    }
    let mime = match picture.format {
        Format::Png => "image/png",
        Format::Jpeg => "image/jpeg",
    };
    let age_ms = (jiff::Timestamp::now().as_millisecond() - picture.taken_at).max(0);
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let answer = if accept.contains("application/json") {
        let image = format!("data:{mime};base64,{}", STANDARD.encode(&picture.bytes));
        Json(json!({"image": image, "taken_at": picture.taken_at, "age_ms": age_ms, "throttled": picture.throttled}))
            .into_response()
    } else {
        ([(header::CONTENT_TYPE, mime)], picture.bytes.to_vec()).into_response()
    };
    Ok(([(header::AGE, (age_ms / 1000).to_string())], answer).into_response())
}
