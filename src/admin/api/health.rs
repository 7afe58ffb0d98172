//! Whether wharf lives, and whether it can work.
//!
//! In: nothing. Out: yes or no, for whoever asks; must not tell more than that.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::store::{Batch, Level};

/// The store answers in milliseconds; one that takes this long is not ready.
const PATIENCE: Duration = Duration::from_secs(5);

/// `GET /healthz`: the process answers.
pub(in super::super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /readyz`: the store takes commits. That a configuration is in force goes without saying: wharf does not start
/// without one.
pub(in super::super) async fn ready(State(context): State<Arc<Context>>) -> Result<Json<Value>, Refusal> {
    match timeout(PATIENCE, context.store.commit(Batch::default())).await {
        Ok(Ok(_)) if context.store.health().level == Level::Full => Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "DISK_FULL",
            "the disk is almost full: no new work is taken until there is room",
        )),
        Ok(Ok(_)) => Ok(Json(json!({"status": "ready"}))),
        outcome => {
            tracing::warn!(?outcome, "not ready: the store does not commit");
            Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "NOT_READY",
                "the store does not take commits",
            ))
        }
    }
}
