//! Scripts and plugins as they stand, and what a person types into one.
//!
//! In: a text for `wharf repl`, by the control socket only. Out: what it answers; generation, handlers, what was refused and the last error, each with file and line.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use super::body::Body;
use crate::script::{ReplError, Typed};

/// `GET /api/scripts`
pub(in super::super) async fn list(State(context): State<Arc<Context>>) -> Json<Value> {
    Json(json!({"scripts": context.scripts.list()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Text {
    code: String,
}

/// `POST /api/scripts/{name}/repl`
pub(in super::super) async fn type_in(
    State(context): State<Arc<Context>>,
    Path(name): Path<String>,
    Body(text): Body<Text>,
) -> Result<Json<Typed>, Refusal> {
    Ok(Json(context.scripts.type_in(&name, text.code).await?))
}

impl From<ReplError> for Refusal {
    fn from(error: ReplError) -> Self {
        let (status, code) = match error {
            ReplError::Unknown(..) => (StatusCode::NOT_FOUND, "NO_SCRIPT"),
            ReplError::NotRunning(_) => (StatusCode::CONFLICT, "SCRIPT_NOT_RUNNING"),
        };
        Self::new(status, code, error.to_string())
    }
}
