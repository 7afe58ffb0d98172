//! What is asked of a VM at a reload: what it leaves, and to take what another one left.
//!
//! In: questions of whoever reloads. Out: values of JSON, and faults. Must not put anything in force.

use std::rc::Rc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::super::error::Fault;
use super::super::generation::Generation;
use super::{Gone, Runner};

/// What is asked of a VM at a reload.
pub(super) enum Talk {
    /// The old one: what it leaves.
    HandOver(oneshot::Sender<Result<Map<String, Value>, Fault>>),
    /// The new one: to take it.
    TakeOver(Map<String, Value>, oneshot::Sender<Result<(), String>>),
}

impl Runner {
    /// What this version leaves to the next one.
    ///
    /// # Errors
    /// [`Gone`] if the thread has ended; the inner error is of a function of `on_reload`.
    pub(crate) async fn hand_over(&self) -> Result<Result<Map<String, Value>, Fault>, Gone> {
        let (answer, answered) = oneshot::channel();
        self.talk.send(Talk::HandOver(answer)).await.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

    /// Gives this version what the one before has left.
    ///
    /// # Errors
    /// A sentence, if it cannot hold it.
    pub(crate) async fn take_over(&self, state: Map<String, Value>) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        let asked = self.talk.send(Talk::TakeOver(state, answer)).await;
        asked.map_err(|_| Gone.to_string())?;
        answered.await.map_err(|_| Gone.to_string())?
    }
}

/// Answers a question.
pub(super) async fn hear(generation: Rc<Generation>, talk: Talk) {
    // Whoever asked may have given up.
    match talk {
        Talk::HandOver(answer) => drop(answer.send(generation.hand_over().await)),
        Talk::TakeOver(state, answer) => {
            drop(answer.send(generation.take_over(&state).map_err(|error| error.to_string())))
        }
    }
}
