//! Send intents: what is about to be sent, under which message id, and what became of it.
//!
//! In: `session` writes an intent before it orders a send and its answer after; `script` removes those of a run in the
//! run's commit. Out: the intents that a crash left open. Must not know how a send is done.

use serde::{Deserialize, Serialize};

use crate::action::{Content, Sent};
use crate::event::{AccountId, Source};

use super::layout::Table;
use super::stage::Layer;
use super::{Error, Store};

/// A send that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Names the send for ever; of at most 1,000 bytes. Those of one run begin with `SCRIPT/EVENT_ID/`.
    pub key: String,
    /// From which account.
    pub account: AccountId,
    /// The chat it really goes to, once the page has resolved it.
    pub chat: Option<String>,
    /// The id made for it by the page.
    pub message_id: Option<String>,
    /// The document that made the id.
    pub page_id: Option<String>,
    /// To whom, as the order says.
    pub to: String,
    /// What.
    pub content: Content,
    /// On whose behalf.
    pub source: Source,
    /// When it was decided, in milliseconds since 1970.
    pub made_at: i64,
    /// What became of it.
    pub answer: Option<Sent>,
    /// Until when it is kept, in milliseconds since 1970, for orders that no run removes (HTTP: 24 h). An answered one is
    /// swept then, an open one 15 days later.
    pub keep_until: Option<i64>,
}

/// Writes the intents of a batch.
pub(super) fn stage(layer: &mut Layer<'_>, intents: Vec<(String, Option<Intent>)>) -> Result<(), Error> {
    for (key, intent) in intents {
        layer.put_or_delete(Table::Intents.named(&key)?, intent.as_ref())?;
    }
    Ok(())
}

impl Store {
    /// The intent of this key.
    pub async fn intent(&self, key: &str) -> Result<Option<Intent>, Error> {
        let key = Table::Intents.named(key)?;
        self.read(move |disk| disk.get(&key)).await
    }

    /// All intents of an account, by key. Reads every intent there is: they are few, those of runs at work and those of the
    /// HTTP API's last day.
    pub async fn intents_of(&self, account: &AccountId) -> Result<Vec<Intent>, Error> {
        let account = account.clone();
        self.read(move |disk| {
            let mut found: Vec<Intent> = disk.all(&Table::Intents.prefix())?;
            found.retain(|intent| intent.account == account);
            Ok(found)
        })
        .await
    }

    /// All intents whose key begins so, by key.
    pub async fn intents_with_prefix(&self, prefix: &str) -> Result<Vec<Intent>, Error> {
        let prefix = Table::Intents.named(prefix)?;
        self.read(move |disk| disk.all(&prefix)).await
    }
}
