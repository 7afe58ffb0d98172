//! Scripts and plugins as they stand.
//!
//! In: nothing. Out: generation, handlers, what was refused and the last error, each with file and line.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::super::server::Context;

/// `GET /api/scripts`
pub(in super::super) async fn list(State(context): State<Arc<Context>>) -> Json<Value> {
    Json(json!({"scripts": context.scripts.list()}))
}
