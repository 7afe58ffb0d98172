//! Keys, for `wharf key` while the host runs; reached by the control socket only.
//!
//! In: names and scopes. Out: a new key, once; the list without keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::super::{Error, keys};
use super::body::Body;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Make {
    name: Option<String>,
    scopes: Option<Vec<String>>,
}

/// `GET /api/keys`
pub(in super::super) async fn list(State(context): State<Arc<Context>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(json!({"keys": keys::list(&context.store).await?})))
}

/// `POST /api/keys`
pub(in super::super) async fn make(
    State(context): State<Arc<Context>>,
    Body(wish): Body<Make>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let scopes = wish
        .scopes
        .unwrap_or_else(|| vec![keys::Scope::Admin.as_str().to_owned()]);
    let key = keys::make(&context.store, wish.name, scopes).await?;
    Ok((StatusCode::CREATED, Json(json!({"key": key}))))
}

/// `DELETE /api/keys/{id}`
pub(in super::super) async fn revoke(
    State(context): State<Arc<Context>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refusal> {
    if keys::revoke(&context.store, &id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "NO_KEY",
            format!("there is no key {id}"),
        ))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Scope(_) => Self::bad_request("BAD_SCOPE", error.to_string()),
            Error::Store(error) => error.into(),
            other => Self::defect(&other),
        }
    }
}
