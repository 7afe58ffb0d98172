//! `wharf repl`: what a person types runs in a script that is in force.
//!
//! In: the script's name, a text. Out: [`Typed`]: what it answers, or what is wrong with it. Its commit is its own, as that of a
//! timer. A text that breaks a limit is stopped, and does not count against the script. Must not know Lua.

use std::sync::{Arc, PoisonError};

use serde::{Deserialize, Serialize};

use crate::store::Batch;

use super::Scripts;
use super::error::FaultKind;
use super::fired::{commit, forget};

/// What a text came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Typed {
    /// It ran, and answers this; `None` if it answers nothing.
    Answer(Option<String>),
    /// It failed, at its place, and nothing of it is kept.
    Error(String),
    /// It goes on in the next line.
    Incomplete,
}

/// Why nothing could be typed into a script.
#[derive(Debug, thiserror::Error)]
pub enum ReplError {
    /// No script has the name.
    #[error("there is no script or plugin '{0}'{1}")]
    Unknown(String, String),
    /// It is not in force.
    #[error("'{0}' is not running; `GET /api/scripts` and the page /scripts say why")]
    NotRunning(String),
}

impl Scripts {
    /// Runs an expression or statements in a script, under its limits and permissions, and commits what it did.
    ///
    /// # Errors
    /// If there is no such script in force.
    pub async fn type_in(&self, name: &str, code: String) -> Result<Typed, ReplError> {
        let slot = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let found = slots.values().find(|slot| *slot.name == *name && !slot.is_withdrawn());
            let names = slots.values().map(|slot| &*slot.name);
            let unknown = || ReplError::Unknown(name.to_owned(), super::error::suggestion(name, names));
            found.cloned().ok_or_else(unknown)?
        };
        let gone = || ReplError::NotRunning(name.to_owned());
        let runner = slot.current().ok_or_else(gone)?;
        let id = format!("repl_{}", ulid::Ulid::generate());
        let fault = match runner.type_in(code, id.clone()).await.map_err(|_| gone())? {
            Ok(None) => return Ok(Typed::Incomplete),
            Ok(Some((text, ran))) => match commit(&self.shared, &slot, &id, ran, &Arc::downgrade(&runner)).await {
                Ok(()) => return Ok(Typed::Answer(text)),
                Err(fault) => fault,
            },
            Err(fault) => fault,
        };
        if matches!(fault.kind, FaultKind::Memory | FaultKind::Gone) {
            // The VM is needed by the script's own runs.
            slot.failed(&runner, &fault, None).await;
        }
        forget(&self.shared, &slot, &id, Batch::default()).await;
        Ok(Typed::Error(fault.headline()))
    }
}
