//! One attempt to deliver.
//!
//! In: a delivery with its body, and where it goes. Out: what became of it. Must not touch the store or decide when to try
//! again.

use std::time::Duration;

use hyper::body::Bytes;
use tokio::time::Instant;

use super::endpoint::Target;
use super::schedule::{self, Met};
use super::sign;
use crate::http::{Client, Error, Request, Response};
use crate::store::Delivery;

/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER: usize = 16 * 1024;

/// Characters of an answer that are kept with a failed delivery.
const KEPT: usize = 500;

/// A connection that is cut this soon was most likely one that the other side had closed while it lay idle.
const STALE: Duration = Duration::from_secs(1);

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered 2xx.
    Delivered,
    /// It may be tried again.
    Failed { met: Met, why: Why },
    /// Answered 410: the receiver wants nothing any more.
    Gone,
    /// It can never succeed as things are: a blocked address, a URL that is none, a secret that is none.
    Final(String),
}

/// Why an attempt failed, for two kinds of readers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Why {
    /// For everybody: events go to scripts and other endpoints.
    pub(super) told: String,
    /// For the log and the delivery's `last_error`: it may name addresses of the network.
    pub(super) detail: String,
}

impl From<String> for Why {
    fn from(told: String) -> Self {
        let detail = told.clone();
        Self { told, detail }
    }
}

/// Tries once; when the connection is cut at once, once more.
pub(super) async fn attempt(client: &Client, target: &Target, delivery: &Delivery, body: Bytes) -> Outcome {
    let started = Instant::now();
    let mut answer = post(client, target, delivery, body.clone()).await;
    if matches!(answer, Ok(Err(Error::Cut(_)))) && started.elapsed() < STALE {
        answer = post(client, target, delivery, body).await;
    }
    match answer {
        Err(bad) => Outcome::Final(bad.to_string()),
        Ok(Ok(response)) => judge(&response),
        Ok(Err(error)) if error.is_final() => {
            tracing::warn!(endpoint = %delivery.endpoint, delivery = %delivery.id, "{}", error.detail());
            Outcome::Final(error.to_string())
        }
        Ok(Err(error @ Error::Timeout)) => Outcome::Failed {
            met: Met::Timeout,
            why: error.to_string().into(),
        },
        Ok(Err(error)) => Outcome::Failed {
            met: Met::Failure,
            why: Why {
                told: error.to_string(),
                detail: error.detail(),
            },
        },
    }
}

async fn post(
    client: &Client,
    target: &Target,
    delivery: &Delivery,
    body: Bytes,
) -> Result<Result<Response, Error>, sign::BadSecret> {
    let timestamp = jiff::Timestamp::now().as_second();
    let mut headers: Vec<(String, String)> = target
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    // After the endpoint's own headers: of two with one name the later holds.
    let mut set = |name: &str, value: String| headers.push((name.to_owned(), value));
    set("content-type", "application/json".to_owned());
    set("webhook-id", delivery.id.clone());
    set("webhook-timestamp", timestamp.to_string());
    set("wharf-attempt", (delivery.tries + 1).to_string());
    set("wharf-sequence", delivery.sequence.to_string());
    if delivery.replayed {
        set("wharf-replay", "1".to_owned());
    }
    if let Some(secret) = &target.secret {
        set(
            "webhook-signature",
            sign::Key::parse(secret)?.sign(&delivery.id, timestamp, &body),
        );
    }
    let request = Request {
        url: target.url.clone(),
        headers,
        body,
        timeout: target.timeout,
        response_limit: ANSWER,
    };
    Ok(client.post(request).await)
}

fn judge(response: &Response) -> Outcome {
    let header = response
        .headers
        .get("retry-after")
        .and_then(|value| value.to_str().ok());
    let retry_after = || header.and_then(|text| schedule::retry_after(text, jiff::Timestamp::now().as_second()));
    let met = match response.status {
        200..=299 => return Outcome::Delivered,
        410 => return Outcome::Gone,
        429 | 503 => Met::Busy(retry_after()),
        _ => Met::Failure,
    };
    let said: String = String::from_utf8_lossy(&response.body)
        .trim()
        .chars()
        .take(KEPT)
        .collect();
    let status = response.status;
    let why = if said.is_empty() {
        format!("answered {status}")
    } else {
        format!("answered {status}: {said}")
    };
    Outcome::Failed { met, why: why.into() }
}
