//! What people see of scripts: in the admin, over HTTP.
//!
//! In: the state of a script. Out: plain, serialisable values.

use serde::Serialize;

use super::error::Fault;
use super::generation::LoadError;
use super::live::now;

/// A script or plugin, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScriptView {
    /// Its name.
    pub name: String,
    /// `script` or `plugin`.
    pub kind: &'static str,
    /// The version in force, counted since the host started; 0 if there is none.
    pub generation: u64,
    /// Its handlers: `on message {is_group=false}`.
    pub handlers: Vec<String>,
    /// `running`, `refused` (no version is in force), `suspended` or `loading`.
    pub state: &'static str,
    /// Why the newest version of the file is not in force.
    pub refused: Option<Problem>,
    /// What a handler failed with last.
    pub last_error: Option<Problem>,
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line in it, if one is known.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// When it was found, in milliseconds since 1970.
    pub at: i64,
}

impl Problem {
    pub(super) fn new(file: &str, line: Option<u32>, message: String) -> Self {
        Self {
            file: file.to_owned(),
            line,
            message,
            at: now(),
        }
    }

    pub(super) fn of_load(error: &LoadError) -> Self {
        Self::new(&error.file, error.line, error.message.clone())
    }

    pub(super) fn of_fault(fault: &Fault) -> Self {
        Self::new(&fault.file, fault.line, fault.message.clone())
    }

    /// `file:line: message`
    #[must_use]
    pub fn headline(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", self.file, self.message),
            None => format!("{}: {}", self.file, self.message),
        }
    }
}
