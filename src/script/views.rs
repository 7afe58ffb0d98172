//! What people see of scripts: in the admin, over HTTP.
//!
//! In: the state of a script. Out: plain, serialisable values.

use serde::Serialize;

use crate::event::Event;

use super::error::{Fault, excerpt};
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
    /// What to do about it, if that is known.
    pub advice: Option<String>,
    /// The line with its neighbours, if one is known.
    pub excerpt: Option<String>,
    /// The event whose run failed; `None` for a timer's, and for a file that is refused.
    pub event: Option<Cause>,
    /// How often this line has failed since the script was loaded.
    pub count: u64,
    /// When it was found first, in milliseconds since 1970.
    pub first_at: i64,
    /// When it was found last.
    pub at: i64,
}

/// The event whose run failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The account that it belongs to.
    pub account: Option<String>,
    /// The chat that it belongs to.
    pub chat: Option<String>,
}

impl Cause {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            id: event.id.clone(),
            name: event.event.to_string(),
            account: event.account.as_ref().map(|id| id.as_str().to_owned()),
            chat: event.chat().map(str::to_owned),
        }
    }
}

impl Problem {
    pub(super) fn new(file: &str, line: Option<u32>, message: String) -> Self {
        let at = now();
        Self {
            file: file.to_owned(),
            line,
            message,
            advice: None,
            excerpt: None,
            event: None,
            count: 1,
            first_at: at,
            at,
        }
    }

    /// `text`: of the file that is refused.
    pub(super) fn of_load(error: &LoadError, text: Option<&str>) -> Self {
        let excerpt = text.map(|text| excerpt(text, error.line));
        Self {
            excerpt: excerpt.filter(|excerpt| !excerpt.is_empty()),
            ..Self::new(&error.file, error.line, error.message.clone())
        }
    }

    pub(super) fn of_fault(fault: &Fault) -> Self {
        Self {
            advice: fault.advice.clone(),
            excerpt: Some(fault.excerpt.clone()).filter(|excerpt| !excerpt.is_empty()),
            ..Self::new(&fault.file, fault.line, fault.message.clone())
        }
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
