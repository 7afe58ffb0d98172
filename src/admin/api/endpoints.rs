//! Endpoints: how they stand, and opening one that answered 410.
//!
//! In: a name. Out: what waits, what the breaker says, how the last attempt ended. Must not show an address, a header or a
//! secret of an endpoint: it answers to `read`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::webhook::{Error, Status};

/// `GET /api/endpoints`
pub(in super::super) async fn list(State(context): State<Arc<Context>>) -> Result<Json<Status>, Refusal> {
    context.deliveries.status().await.map(Json).map_err(refused)
}

/// `POST /api/endpoints/{name}/enable`
pub(in super::super) async fn enable(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let was_disabled = context.deliveries.enable(&name).await.map_err(refused)?;
    Ok(Json(json!({"endpoint": name, "was_disabled": was_disabled})))
}

fn refused(error: Error) -> Refusal {
    let message = error.to_string();
    match error {
        Error::NoEndpoint(_) => Refusal::new(StatusCode::NOT_FOUND, "NO_ENDPOINT", message),
        Error::Busy => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "OUTBOX_BUSY", message),
        Error::Stopped => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "STOPPING", message),
        Error::Store(error) => error.into(),
    }
}
