//! The body of a request, as JSON.
//!
//! In: a request. Out: its body in the shape that the route wants, or a refusal that says what is wrong with it. An empty
//! body counts as `{}`. Must not wait for ever: a body has thirty seconds to arrive.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::super::refusal::Refusal;

/// Time that a body gets to arrive.
pub(in super::super) const TIME: Duration = Duration::from_secs(30);

/// A body read as `T`. Unknown fields are refused by the types themselves.
pub(in super::super) struct Body<T>(pub(in super::super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let late = |_| {
            Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "SLOW_BODY",
                "the body did not arrive in 30 s",
            )
        };
        let read = timeout(TIME, Bytes::from_request(request, state)).await.map_err(late)?;
        let bytes = read.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "BODY_TOO_LARGE",
                "a body has at most 1 MiB",
            ),
            status => Refusal::new(status, "BAD_BODY", "the body could not be read"),
        })?;
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let parsed = serde_json::from_slice(text);
        parsed
            .map(Self)
            .map_err(|error| Refusal::bad_request("BAD_REQUEST", format!("the body is wrong: {error}")))
    }
}
