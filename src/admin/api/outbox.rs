//! The outbox: what waits, and what was given up.
//!
//! In: how many to show. Out: deliveries without their bodies, which hold messages. Must not change any.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::super::server::Context;
use crate::store::{Attempt, DeadLetter, Delivery};

/// Deliveries shown, unless `limit` says otherwise, and at most.
const SHOWN: usize = 100;
const MOST: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Page {
    limit: Option<usize>,
}

/// `GET /api/outbox`
pub(in super::super) async fn waiting(
    State(context): State<Arc<Context>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let deliveries = context.store.deliveries(limit(page)?).await?;
    let ids = deliveries.iter().map(|delivery| delivery.id.clone());
    let attempts = context.store.attempts(ids.collect()).await?;
    let shown: Vec<Value> = deliveries
        .iter()
        .zip(attempts)
        .map(|(delivery, met)| shown(delivery, &met))
        .collect();
    Ok(Json(json!({ "deliveries": shown })))
}

/// `GET /api/outbox/dead`
pub(in super::super) async fn dead(
    State(context): State<Arc<Context>>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let letters = context.store.dead_letters(limit(page)?).await?;
    let ids = letters.iter().map(|letter| letter.delivery.id.clone());
    let attempts = context.store.attempts(ids.collect()).await?;
    let shown = |(letter, met): (&DeadLetter, Vec<Attempt>)| {
        let mut delivery = shown(&letter.delivery, &met);
        delivery["reason"] = Value::from(letter.reason.as_str());
        delivery["at"] = Value::from(letter.at);
        delivery
    };
    Ok(Json(
        json!({"deliveries": letters.iter().zip(attempts).map(shown).collect::<Vec<_>>()}),
    ))
}

fn limit(page: Result<Query<Page>, QueryRejection>) -> Result<usize, Refusal> {
    let Query(page) = page.map_err(|error| Refusal::bad_request("BAD_REQUEST", error.body_text()))?;
    Ok(page.limit.unwrap_or(SHOWN).min(MOST))
}

fn shown(delivery: &Delivery, attempts: &[Attempt]) -> Value {
    json!({
        "id": delivery.id,
        "endpoint": delivery.endpoint,
        "sequence": delivery.sequence,
        "chat": delivery.chat_key,
        "tries": delivery.tries,
        "due": delivery.due,
        "created_at": delivery.created_at,
        "last_error": delivery.last_error,
        "script": delivery.script,
        "event": delivery.event_id,
        "attempts": attempts,
    })
}
