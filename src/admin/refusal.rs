//! Every answer that is not what the caller asked for, made in one place.
//!
//! In: errors of other rooms, and what the admin itself refuses. Out: a status and `{"error_code","error",…}`. Must not tell
//! a caller without a key more than that it has none.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use super::keys::Scope;
use crate::action::{Failure, FailureKind};
use crate::{session, store};

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Seconds, for `Retry-After`.
    pub(super) retry_after: Option<u64>,
    /// Further fields of the answer.
    pub(super) more: Map<String, Value>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
            more: Map::new(),
        }
    }

    pub(super) fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub(super) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    pub(super) fn no_account(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NO_ACCOUNT",
            format!("there is no account `{id}`"),
        )
    }

    pub(super) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHENTICATED",
            "send `Authorization: Bearer KEY`; make a key with `wharf key new`",
        )
    }

    pub(super) fn missing_scope(needed: Scope) -> Self {
        let message = format!("this needs a key with the scope `{}`", needed.as_str());
        Self::new(StatusCode::FORBIDDEN, "MISSING_SCOPE", message)
    }

    pub(super) fn throttled(seconds: u64) -> Self {
        let mut refusal = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TOO_MANY_FAILED_SIGN_INS",
            "too many wrong keys from this address; wait, or use a right one",
        );
        refusal.retry_after = Some(seconds);
        refusal
    }

    /// The same with a further field.
    pub(super) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.more.insert(field.to_owned(), value.into());
        self
    }

    /// What the caller is not told is logged here, once.
    pub(super) fn defect(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "wharf could not do it; its log says why",
        )
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut body = Map::from_iter([
            ("error_code".to_owned(), Value::from(self.code)),
            ("error".to_owned(), Value::from(self.message)),
        ]);
        body.extend(self.more);
        let mut response = (self.status, Json(Value::Object(body))).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy { what } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", what),
            other => Self::defect(&other),
        }
    }
}

impl From<session::Error> for Refusal {
    fn from(error: session::Error) -> Self {
        use session::Error;
        let message = error.to_string();
        match error {
            Error::Limit { current, max } => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "MAX_ACCOUNT_LIMIT_REACHED", message)
                    .with("current", current)
                    .with("max", max)
            }
            Error::Exists { .. } => Self::conflict("ACCOUNT_EXISTS", message),
            Error::NoAccount { .. } => Self::new(StatusCode::NOT_FOUND, "NO_ACCOUNT", message),
            Error::NoQr { .. } => Self::conflict("NO_QR", message),
            Error::Declared { .. } => Self::conflict("DECLARED_IN_CONFIG", message),
            Error::NotRunning { .. } => Self::conflict("ACCOUNT_NOT_RUNNING", message),
            Error::Closing { .. } => Self::new(StatusCode::SERVICE_UNAVAILABLE, "CLOSING", message),
            other => Self::defect(&other),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let (status, code) = match failure.kind {
            FailureKind::NotConnected => (StatusCode::BAD_REQUEST, "ACCOUNT_NOT_READY"),
            FailureKind::NoAccount => (StatusCode::NOT_FOUND, "NO_ACCOUNT"),
            FailureKind::Timeout => (StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"),
            FailureKind::Refused => (StatusCode::UNPROCESSABLE_ENTITY, "REFUSED"),
            FailureKind::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
            FailureKind::NotSupported => (StatusCode::NOT_IMPLEMENTED, "NOT_SUPPORTED"),
            FailureKind::NotPermitted => (StatusCode::FORBIDDEN, "NOT_PERMITTED"),
            FailureKind::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL"),
        };
        let mut refusal = Self::new(status, code, failure.message);
        refusal.retry_after = (failure.kind == FailureKind::RateLimited).then_some(5);
        refusal
    }
}
