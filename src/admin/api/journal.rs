//! The last events of the journal, for `wharf record`.
//!
//! In: how many, of which names. Out: whole events: by the control socket only, because they hold messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::script::last_events;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Which {
    last: u16,
    /// Names, separated by commas; all if there are none.
    #[serde(default)]
    events: String,
}

/// `GET /api/journal/last`
pub(in super::super) async fn last(
    State(context): State<Arc<Context>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let Query(which) = which.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    let names: Vec<String> = which
        .events
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    let events = last_events(&context.store, usize::from(which.last), &names).await?;
    Ok(Json(json!({"events": events})))
}
