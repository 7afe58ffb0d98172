//! What the room can be asked from outside, and the answers.
//!
//! In: questions through [`Deliveries`]. Out: a [`Status`], made by the dispatcher at the moment of the question. Must not hold
//! anything of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::store;

/// Longest time that an answer takes; the dispatcher may be reading a long backlog.
const PATIENCE: Duration = Duration::from_secs(10);

/// What can go wrong with a question to the room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The room has ended, with the host.
    #[error("deliveries have stopped: the host is ending")]
    Stopped,
    /// It is busy.
    #[error("the outbox did not answer in {} s; it may be reading a long backlog: try again", PATIENCE.as_secs())]
    Busy,
    /// There is no such endpoint.
    #[error("there is no endpoint `{0}`")]
    NoEndpoint(String),
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// How deliveries stand.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Every endpoint that there is, or for which something waits, by name.
    pub endpoints: BTreeMap<String, EndpointStatus>,
    /// Deliveries that wait over all endpoints.
    pub pending: u64,
    /// Bytes of their bodies.
    pub pending_bytes: u64,
    /// Whether the outbox holds all that it may, so that runs that post wait.
    pub full: bool,
    /// Dead letters that are kept.
    pub dead: u64,
    /// Dead letters that were dropped, too old or too many, since the store was made.
    pub dropped: u64,
    /// Attempts since the start, by how they ended: `delivered`, `refused` (another status), `busy` (429, 503), `gone` (410),
    /// `timeout`, `no_answer`, `blocked`.
    pub attempts: BTreeMap<&'static str, u64>,
}

/// How an endpoint stands.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointStatus {
    /// Whether there is such an endpoint now; deliveries for one that is not there wait for it.
    pub exists: bool,
    /// Deliveries that wait.
    pub pending: u64,
    /// Bytes of their bodies.
    pub pending_bytes: u64,
    /// Age of the oldest of them, in milliseconds; `None` if none waits.
    pub oldest_pending_ms: Option<i64>,
    /// Requests that have no answer yet.
    pub in_flight: usize,
    /// `closed`: as usual; `open`: it is left alone; `half_open`: one delivery tries whether it works again.
    pub breaker: &'static str,
    /// How long it is left alone still, in milliseconds.
    pub opens_in_ms: Option<u64>,
    /// Why it gets nothing, if it answered 410.
    pub disabled: Option<DisabledStatus>,
    /// Its last attempt since the start.
    pub last: Option<LastStatus>,
}

/// Why an endpoint is disabled.
#[derive(Clone, Debug, Serialize)]
pub struct DisabledStatus {
    /// Since when, in milliseconds since 1970.
    pub at: i64,
    /// What it answered.
    pub reason: String,
}

/// An attempt.
#[derive(Clone, Debug, Serialize)]
pub struct LastStatus {
    /// When it ended, in milliseconds since 1970.
    pub at: i64,
    /// One of the names of [`Status::attempts`].
    pub result: &'static str,
    /// The status that was answered.
    pub status: Option<u16>,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// What the dispatcher is asked.
pub(super) enum Question {
    Status(oneshot::Sender<Result<Status, Error>>),
    Enable(String, oneshot::Sender<Result<bool, Error>>),
}

/// A handle on the room; clones share it.
#[derive(Clone, Debug)]
pub struct Deliveries {
    questions: mpsc::Sender<Question>,
}

impl Deliveries {
    pub(super) fn new(questions: mpsc::Sender<Question>) -> Self {
        Self { questions }
    }

    /// How deliveries stand now.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Stopped`], [`Error::Store`].
    pub async fn status(&self) -> Result<Status, Error> {
        self.ask(Question::Status).await
    }

    /// Enables an endpoint that answered 410, and closes its breaker, so that what waits is tried at once. Answers whether it was
    /// disabled.
    ///
    /// # Errors
    /// [`Error::NoEndpoint`], and as [`Deliveries::status`].
    pub async fn enable(&self, name: &str) -> Result<bool, Error> {
        self.ask(|answer| Question::Enable(name.to_owned(), answer)).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Question) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.questions
                .send(question(answer))
                .await
                .map_err(|_| Error::Stopped)?;
            answered.await.map_err(|_| Error::Stopped)?
        };
        timeout(PATIENCE, asked).await.unwrap_or(Err(Error::Busy))
    }
}
