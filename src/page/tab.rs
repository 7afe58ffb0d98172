//! One tab: opening it, asking it, closing it.
//!
//! In: what `open` has put together, then the session's calls. Out: answers; reports come through the channel that
//! [`Tab::open`] returns. Every call has a deadline. Must not repeat anything by itself: what a failed call means is the
//! session's decision.

mod acts;
mod files;
mod open;

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::connection::{Attached, Connection};
use super::process::Process;
use super::profile::Profile;
use super::report::{Begun, ChatSummary, Format, Ordered, PageStatus, Resolved};
use super::{Error, flags, orphan, script, snapshot};
use crate::action::Content;
use crate::event::{AccountId, Message};

/// For what the page answers from memory.
const QUICK: Duration = Duration::from_secs(10);
/// For what asks WhatsApp or reads IndexedDB. Below 30 s, where chromiumoxide gives up by itself.
const SLOW: Duration = Duration::from_secs(25);

/// The tab of an account. A cheap handle: all clones are the same tab. Dropping it leaves the browser running; the next
/// [`Tab::open`] of the profile closes what it finds, so use [`Tab::close`].
#[derive(Clone)]
pub struct Tab(Arc<Inner>);

struct Inner {
    account: AccountId,
    url: String,
    target: flags::Target,
    attached: Attached,
    connection: Connection,
    process: Process,
    /// Ends the tasks of this tab.
    closing: CancellationToken,
    /// One `close` at a time.
    ending: tokio::sync::Mutex<()>,
    /// Holds the profile's lock as long as any clone lives.
    profile: Profile,
}

impl std::fmt::Debug for Tab {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tab")
            .field("account", &self.0.account)
            .field("pid", &self.0.process.pid())
            .finish_non_exhaustive()
    }
}

impl Tab {
    /// Tells the agent that everything up to `page_seq` of that document is journaled, or needs no journal; it drops
    /// it from its ring. Of another document: nothing happens.
    ///
    /// # Errors
    /// As any call; a lost acknowledgement does no harm, a later one covers it.
    pub async fn ack(&self, page_id: &str, page_seq: u64) -> Result<(), Error> {
        self.ask_agent("acknowledge", "ack", &json!([page_id, page_seq]), QUICK)
            .await
    }

    /// Has the agent report again, from the oldest, all that is not acknowledged; for a session that could not journal.
    ///
    /// # Errors
    /// As any call.
    pub async fn drain(&self) -> Result<(), Error> {
        self.ask_agent("drain", "drain", &json!([]), QUICK).await
    }

    /// How the page stands, by a round trip through it. A page without the agent answers too: with `recognised` false.
    ///
    /// # Errors
    /// As any call.
    pub async fn status(&self) -> Result<PageStatus, Error> {
        let step = "ask for the status";
        let text = self.0.attached.evaluate(step, script::STATUS, QUICK).await?;
        let mut status: PageStatus = self.parse(step, &text)?;
        status.load_error = self.0.attached.load_error(&status.url);
        if status.load_error.is_some()
            && let Some(url) = self.0.attached.unreachable().await?
            && !self.0.target.has(&url)
        {
            // The network did answer: with the way to somewhere else, where the tab cannot go.
            status.load_error = None;
            status.url = url;
        }
        Ok(status)
    }

    /// Step 1 of a send: finds the chat, or makes it, and makes the message's id in it. `to` is a chat id or a number.
    ///
    /// # Errors
    /// [`Error::NoChat`] if there is no such chat or number; else as any call. Nothing was sent.
    pub async fn resolve(&self, to: &str) -> Result<Resolved, Error> {
        let found = self.ask_agent("find the chat", "resolve", &json!([to]), SLOW).await;
        found.map_err(|error| acts::told(error, to))
    }

    /// Step 3 of a send: has the page send it under that id, once; a second order for the id gets the first one's
    /// answer. The answer comes when WhatsApp has accepted or refused the message.
    ///
    /// # Errors
    /// As any call. After [`Error::Deadline`], [`Error::Gone`] and [`Error::DocumentChanged`] it may have been sent:
    /// see [`Tab::ask`] and [`Tab::find_message`]. After another error it was not.
    pub async fn order(&self, message_id: &str, chat: &str, content: &Content) -> Result<Ordered, Error> {
        let arguments = json!([message_id, chat, content]);
        tracing::trace!(target: "wharf::path", account = %self.0.account, id = message_id, chat, "message in send");
        self.ask_agent("send a message", "order", &arguments, SLOW).await
    }

    /// What document `page_id` knows of an order for that id.
    ///
    /// # Errors
    /// As any call.
    pub async fn ask(&self, page_id: &str, message_id: &str) -> Result<Begun, Error> {
        #[derive(Deserialize)]
        #[serde(tag = "known", rename_all = "snake_case")]
        enum Known {
            Other,
            Never,
            Running,
            Answered { answer: Ordered },
        }
        let known: Known = self
            .ask_agent(
                "ask for a message sent before",
                "ask",
                &json!([page_id, message_id]),
                QUICK,
            )
            .await?;
        Ok(match known {
            Known::Other => Begun::OtherDocument,
            Known::Never => Begun::NeverOrdered,
            Known::Running => Begun::Running,
            Known::Answered { answer } => Begun::Answered(answer),
        })
    }

    /// Looks for a message in WhatsApp Web's own store and says how far it went: -1 refused, 0 waiting, 1 sent, and so
    /// on. `None`: it is not there.
    ///
    /// # Errors
    /// As any call.
    pub async fn find_message(&self, chat: &str, message_id: &str) -> Result<Option<i64>, Error> {
        self.ask_agent("look for a message", "find_message", &json!([chat, message_id]), SLOW)
            .await
    }

    /// The chats, those where something happened last first, at most `limit`.
    ///
    /// # Errors
    /// As any call.
    pub async fn chats(&self, limit: usize) -> Result<Vec<ChatSummary>, Error> {
        self.ask_agent("list the chats", "chats", &json!([limit]), SLOW).await
    }

    /// Messages of a chat that are newer than `until_ms`, oldest first. If there are more than `limit`, the newest
    /// `limit`. The notices that WhatsApp keeps among the messages are left out, and what cannot be read. Messages that
    /// are still encrypted come as events: when they can be read, or after 15 s as they are.
    ///
    /// # Errors
    /// As any call.
    pub async fn history(&self, chat: &str, until_ms: i64, limit: usize) -> Result<Vec<Message>, Error> {
        let found: Vec<Value> = self
            .ask_agent("read a chat", "history", &json!([chat, until_ms, limit]), SLOW)
            .await?;
        Ok(self.messages(found))
    }

    /// Each alone: one that cannot be read must not hide the others.
    fn messages(&self, found: Vec<Value>) -> Vec<Message> {
        let mut messages = Vec::with_capacity(found.len());
        for value in found {
            match serde_json::from_value(value) {
                Ok(message) => messages.push(message),
                Err(error) => {
                    tracing::warn!(account = %self.0.account, %error, "a message of a chat cannot be read and is left out");
                }
            }
        }
        messages
    }

    /// Has WhatsApp Web make QR codes again after `PageEvent::QrIdle`. The code comes as an event.
    ///
    /// # Errors
    /// As any call.
    pub async fn refresh_qr(&self) -> Result<(), Error> {
        self.ask_agent("ask for a new QR code", "refresh_qr", &json!([]), QUICK)
            .await
    }

    /// Takes a picture of the tab, 1280 pixels wide and up to 800 high. Not throttled: that is the session's.
    ///
    /// # Errors
    /// As any call; the deadline is 5 s.
    pub async fn snapshot(&self, format: Format) -> Result<Vec<u8>, Error> {
        snapshot::take(&self.0.attached, format).await
    }

    /// Loads the page anew, from the configured address. The agent's ring and table are gone then; a sweep is needed.
    ///
    /// # Errors
    /// As any call.
    pub async fn reload(&self) -> Result<(), Error> {
        self.0.attached.navigate(&self.0.url).await
    }

    /// Removes this device from the account. Answers when WhatsApp Web has said so; the page then loads itself anew.
    ///
    /// # Errors
    /// As any call.
    pub async fn logout(&self) -> Result<(), Error> {
        self.ask_agent("log out", "logout", &json!([]), SLOW).await
    }

    /// The browser's process, which is also its process group.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.process.pid()
    }

    /// Ends the browser: asks it to close and waits 10 s, then SIGTERM, then SIGKILL to its process group; returns
    /// when no process of it is left. A second call waits for the same end. No report comes after it was called.
    ///
    /// # Errors
    /// [`Error::Orphan`] if a process outlived SIGKILL by 10 s.
    pub async fn close(&self) -> Result<(), Error> {
        let _turn = self.0.ending.lock().await;
        self.0.closing.cancel();
        if !self.0.process.is_gone() {
            let is_lost = self.0.connection.lost().is_cancelled();
            let mut asked = self.0.connection.ask_to_close().await;
            if is_lost && !asked {
                asked = orphan::ask(self.0.process.address()).await;
            }
            self.0.process.end(asked).await;
        }
        if self.0.process.is_gone() {
            self.0.profile.forget_browser();
            Ok(())
        } else {
            Err(Error::Orphan {
                account: self.0.account.clone(),
                pid: self.0.process.pid(),
            })
        }
    }

    async fn ask_agent<T: DeserializeOwned>(
        &self,
        step: &'static str,
        method: &str,
        arguments: &Value,
        deadline: Duration,
    ) -> Result<T, Error> {
        let text = self
            .0
            .attached
            .evaluate(step, &script::call(method, arguments), deadline)
            .await?;
        match self.parse(step, &text)? {
            script::Answer::Ok { ok } => serde_json::from_value(ok).map_err(|error| self.odd(step, &error)),
            script::Answer::Failed { failed } => Err(Error::Page {
                account: self.0.account.clone(),
                step,
                message: failed,
            }),
            script::Answer::NoAgent { .. } => Err(Error::NoAgent {
                account: self.0.account.clone(),
                step,
            }),
        }
    }

    fn parse<T: DeserializeOwned>(&self, step: &'static str, text: &str) -> Result<T, Error> {
        serde_json::from_str(text).map_err(|error| self.odd(step, &error))
    }

    fn odd(&self, step: &'static str, error: &serde_json::Error) -> Error {
        Error::Page {
            account: self.0.account.clone(),
            step,
            message: format!("the page answered something unexpected: {error}"),
        }
    }
}
