//! Runs of scripts that were given up.
//!
//! In: which script's, an id. Out: the list; what came of one that is started again. Must not run anything itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::script::DeadError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Which {
    script: Option<String>,
}

/// `GET /api/scripts/dead`
pub(in super::super) async fn list(
    State(context): State<Arc<Context>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(which) = which.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    let runs = context.scripts.dead_runs(which.script.as_deref()).await?;
    Ok(Json(json!({"runs": runs})))
}

/// `POST /api/scripts/dead/{id}/run`
pub(in super::super) async fn run(
    State(context): State<Arc<Context>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    context.scripts.run_dead(&id).await?;
    Ok(Json(json!({"ended": true})))
}

impl From<DeadError> for Refusal {
    fn from(error: DeadError) -> Self {
        let (status, code) = match &error {
            DeadError::Unknown(_) => (StatusCode::NOT_FOUND, "NO_DEAD_RUN"),
            DeadError::NoScript(_) => (StatusCode::CONFLICT, "NO_SCRIPT"),
            DeadError::NoEvent(_) => (StatusCode::GONE, "EVENT_GONE"),
            DeadError::Full(_) => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_WAIT"),
            DeadError::Failed(_) => (StatusCode::UNPROCESSABLE_ENTITY, "RUN_FAILED"),
            DeadError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "STORE_UNAVAILABLE"),
        };
        Self::new(status, code, error.to_string())
    }
}
