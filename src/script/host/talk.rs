//! What is asked of a VM beside runs of events: at a reload, what it leaves, and to take what another one left; by a person, to
//! run what was typed.
//!
//! In: questions. Out: values of JSON, and faults. Must not put anything in force.

use std::rc::Rc;

use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::super::error::Fault;
use super::super::generation::{Generation, Typed};
use super::{Gone, Ran, Runner, until_committed};

/// What is asked of a VM.
pub(super) enum Talk {
    /// The old one: what it leaves.
    HandOver(oneshot::Sender<Result<Map<String, Value>, Fault>>),
    /// To run what a person typed; the id of the run.
    TypeIn(String, String, oneshot::Sender<Result<Option<TypedIn>, Fault>>),
    /// The new one: to take it.
    TakeOver(Map<String, Value>, oneshot::Sender<Result<(), String>>),
}

/// What a typed text came to: what it answers, as text, and what is to be kept.
pub(crate) type TypedIn = (Option<String>, Ran);

impl Runner {
    /// Runs what a person typed; `None`: it goes on in the next line.
    ///
    /// # Errors
    /// [`Gone`] if the thread has ended; the inner error is the run's own.
    pub(crate) async fn type_in(&self, code: String, id: String) -> Result<Result<Option<TypedIn>, Fault>, Gone> {
        let (answer, answered) = oneshot::channel();
        let asked = self.talk.send(Talk::TypeIn(code, id, answer)).await;
        asked.map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

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
        Talk::TypeIn(code, id, answer) => type_in(&generation, &code, &id, answer).await,
    }
}

async fn type_in(
    generation: &Generation,
    code: &str,
    id: &str,
    mut answer: oneshot::Sender<Result<Option<TypedIn>, Fault>>,
) {
    let typed = tokio::select! {
        typed = generation.type_in(code, id) => typed,
        // Nobody waits for it any more.
        () = answer.closed() => return,
    };
    match typed {
        Err(fault) => drop(answer.send(Err(fault))),
        Ok(Typed::Incomplete) => drop(answer.send(Ok(None))),
        Ok(Typed::Ran(text, effects, run)) => {
            let (ran, asks) = Ran::new(false, effects, &run);
            drop(answer.send(Ok(Some((text, ran)))));
            until_committed(generation, &run, asks).await;
        }
    }
}
