//! What a tab does beside sending, and what it looks up.
//!
//! In: an [`Act`] or a [`Look`]. Out: the agent's answer. Must not keep anything: all of it may be asked twice.

use serde_json::{Value, json};

use super::{SLOW, Tab};
use crate::action::{Act, Found, Look};
use crate::page::Error;
use crate::page::script;

impl Tab {
    /// Does something that may be done twice.
    ///
    /// # Errors
    /// [`Error::NotSupported`] if this page cannot do it at all, [`Error::NoChat`] if there is no such chat; else as any call.
    pub async fn act(&self, act: &Act) -> Result<(), Error> {
        let step = match act {
            Act::React { .. } => "react to a message",
            Act::Edit { .. } => "edit a message",
            Act::Revoke { .. } => "take a message back",
            Act::Read { .. } => "mark a chat as read",
            Act::Typing { .. } => "show that the account is typing",
        };
        let done: Result<Value, Error> = self.ask_agent(step, "act", &json!([act]), SLOW).await;
        done.map(|_| ()).map_err(|error| told(error, act.chat()))
    }

    /// Looks something up.
    ///
    /// # Errors
    /// As [`Tab::act`].
    pub async fn look(&self, look: &Look) -> Result<Found, Error> {
        let arguments = json!([look]);
        match look {
            Look::Contact { id } => {
                let found = self.ask_agent("look for a contact", "look", &arguments, SLOW).await;
                found.map(Found::Contact).map_err(|error| told(error, id))
            }
            Look::Chats { .. } => {
                let found = self.ask_agent("list the chats", "look", &arguments, SLOW).await;
                found.map(Found::Chats)
            }
            Look::History { chat, .. } => {
                let found = self.ask_agent("read a chat", "look", &arguments, SLOW).await;
                let found: Vec<Value> = found.map_err(|error| told(error, chat))?;
                Ok(Found::History(self.messages(found)))
            }
        }
    }
}

/// What the agent says before a colon names the class.
pub(super) fn told(error: Error, to: &str) -> Error {
    let Error::Page { account, step, message } = error else {
        return error;
    };
    let after = |mark: &str| Some(message.strip_prefix(mark)?.trim_start_matches(": ").to_owned());
    if let Some(reason) = after(script::NO_CHAT) {
        let to = to.to_owned();
        return Error::NoChat { account, to, reason };
    }
    if let Some(problem) = after(script::NOT_SUPPORTED) {
        return Error::NotSupported { account, step, problem };
    }
    Error::Page { account, step, message }
}
