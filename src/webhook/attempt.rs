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
use crate::store::{Attempt, Delivery};

/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER: usize = 16 * 1024;

/// Characters of an answer that are kept in the reason of a failed delivery.
const KEPT: usize = 500;

/// Bytes of an answer that are kept in the log of a delivery's attempts.
const LOGGED: usize = 2 * 1024;

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
    /// It can never succeed as things are: a blocked address, a URL that is none.
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

/// How an attempt ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    Delivered,
    /// Another status than 2xx.
    Refused,
    /// 429 or 503.
    Busy,
    /// 410.
    Gone,
    Timeout,
    /// No connection, or one that was cut.
    NoAnswer,
    /// An address that may not be reached, or another reason not to send at all.
    Blocked,
}

impl Ending {
    /// Whether it says anything of the endpoint's health, and what.
    pub(super) fn health(self) -> Option<bool> {
        match self {
            Ending::Delivered => Some(true),
            Ending::Refused | Ending::Busy | Ending::Timeout | Ending::NoAnswer => Some(false),
            Ending::Gone | Ending::Blocked => None,
        }
    }
}

/// An attempt, as it ended.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) outcome: Outcome,
    pub(super) ending: Ending,
    /// For the log of the delivery's attempts.
    pub(super) logged: Attempt,
}

/// Tries once; when the connection is cut at once, once more.
pub(super) async fn attempt(
    client: &Client,
    target: &Target,
    keys: &[sign::Key],
    delivery: &Delivery,
    (body, at): (Bytes, i64),
) -> Made {
    let started = Instant::now();
    let mut answer = post(client, target, keys, delivery, (body.clone(), at)).await;
    if matches!(answer, Err(Error::Cut(_))) && started.elapsed() < STALE {
        answer = post(client, target, keys, delivery, (body, at)).await;
    }
    let mut logged = Attempt {
        at,
        ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        status: None,
        error: None,
        body: None,
    };
    let (ending, outcome) = match answer {
        Ok(response) => {
            logged.status = Some(response.status);
            let kept = response.body.get(..LOGGED).unwrap_or(&response.body);
            logged.body = (!kept.is_empty()).then(|| String::from_utf8_lossy(kept).into_owned());
            judge(&response, at)
        }
        Err(error) if error.is_final() => {
            tracing::warn!(endpoint = %delivery.endpoint, delivery = %delivery.id, "{}", error.detail());
            (Ending::Blocked, Outcome::Final(error.to_string()))
        }
        Err(error) => {
            let (ending, met) = match error {
                Error::Timeout => (Ending::Timeout, Met::Timeout),
                _ => (Ending::NoAnswer, Met::Failure),
            };
            let why = Why {
                told: error.to_string(),
                detail: error.detail(),
            };
            (ending, Outcome::Failed { met, why })
        }
    };
    logged.error = match &outcome {
        Outcome::Failed { why, .. } => Some(why.detail.clone()),
        Outcome::Final(reason) => Some(reason.clone()),
        Outcome::Delivered | Outcome::Gone => None,
    };
    Made {
        outcome,
        ending,
        logged,
    }
}

async fn post(
    client: &Client,
    target: &Target,
    keys: &[sign::Key],
    delivery: &Delivery,
    (body, at): (Bytes, i64),
) -> Result<Response, Error> {
    let timestamp = at.div_euclid(1000);
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
    if !keys.is_empty() {
        let signatures: Vec<String> = keys
            .iter()
            .map(|key| key.sign(&delivery.id, timestamp, &body))
            .collect();
        set("webhook-signature", signatures.join(" "));
    }
    let request = Request {
        url: target.url.clone(),
        headers,
        body,
        timeout: target.timeout,
        response_limit: ANSWER,
    };
    client.post_trusting(request, target.ca.as_ref()).await
}

fn judge(response: &Response, now: i64) -> (Ending, Outcome) {
    let header = response
        .headers
        .get("retry-after")
        .and_then(|value| value.to_str().ok());
    let retry_after = || header.and_then(|text| schedule::retry_after(text, now.div_euclid(1000)));
    let (ending, met) = match response.status {
        200..=299 => return (Ending::Delivered, Outcome::Delivered),
        410 => return (Ending::Gone, Outcome::Gone),
        429 | 503 => (Ending::Busy, Met::Busy(retry_after())),
        _ => (Ending::Refused, Met::Failure),
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
    (ending, Outcome::Failed { met, why: why.into() })
}
