//! What keeps an event from being journaled twice, and a sweep of the page from looking too far: page marks, compared ids,
//! chat marks.
//!
//! In: the batch that journals the events. Out: answers for `session`. Must not know what a page is.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::{AccountId, Draft};

use super::batch::{Once, PageMark};
use super::layout::{self, Table};
use super::stage::Layer;
use super::{Error, Store, record};

/// The `kind` that stands for the message itself.
pub const MESSAGE: &str = "message";

/// How long compared ids, and the marks of old documents, are kept: longer than the 14 days that a sweep reaches back.
pub(super) const KEEP_MS: i64 = 15 * 24 * 60 * 60 * 1000;

/// A page mark as it is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) at: i64,
}

/// Notes how far a page is journaled. A mark never goes backwards.
pub(super) fn stage_page(layer: &mut Layer<'_>, page: &PageMark, now: i64) -> Result<(), Error> {
    let key = Table::PageMarks.owned(page.account.as_str(), page.page_id.as_bytes())?;
    let before = layer.get::<Mark>(&key)?.map_or(0, |mark| mark.seq);
    layer.put(
        key,
        &Mark {
            seq: page.page_seq.max(before),
            at: now,
        },
    )
}

/// Whether this was journaled before; if not, it counts as journaled from here on, and the mark of its chat moves.
pub(super) fn stage_once(layer: &mut Layer<'_>, once: &Once, draft: &Draft, now: i64) -> Result<bool, Error> {
    let key = layout::seen(&once.account, &once.chat, &once.message_id, &once.kind)?;
    if layer.has(&key)? {
        return Ok(true);
    }
    layer.put(key, &now)?;
    if once.kind == MESSAGE
        && let Some(time) = draft.data.get("timestamp").and_then(Value::as_i64)
    {
        let key = Table::ChatMarks.owned(once.account.as_str(), once.chat.as_bytes())?;
        if layer.get::<i64>(&key)?.is_none_or(|mark| mark < time) {
            layer.put(key, &time)?;
        }
    }
    Ok(false)
}

impl Store {
    /// The last number of a document that is journaled; `None` if none is.
    pub async fn page_mark(&self, account: &AccountId, page_id: &str) -> Result<Option<u64>, Error> {
        let key = Table::PageMarks.owned(account.as_str(), page_id.as_bytes())?;
        self.read(move |disk| Ok(disk.get::<Mark>(&key)?.map(|mark| mark.seq)))
            .await
    }

    /// Whether the message itself was journaled in the last 15 days.
    pub async fn is_seen(&self, account: &AccountId, chat: &str, message_id: &str) -> Result<bool, Error> {
        self.is_seen_as(account, chat, message_id, MESSAGE).await
    }

    /// Whether this kind of event of the message was journaled in the last 15 days.
    pub async fn is_seen_as(
        &self,
        account: &AccountId,
        chat: &str,
        message_id: &str,
        kind: &str,
    ) -> Result<bool, Error> {
        let key = layout::seen(account, chat, message_id, kind)?;
        self.read(move |disk| disk.has(&key)).await
    }

    /// For each chat of the account the time of its newest journaled message, in milliseconds since 1970.
    pub async fn chat_marks(&self, account: &AccountId) -> Result<HashMap<String, i64>, Error> {
        let prefix = Table::ChatMarks.of(account.as_str())?;
        self.read(move |disk| {
            disk.scan(&prefix)
                .map(|row| {
                    let (key, payload) = row?;
                    Ok((
                        layout::text_of(&key, layout::name_of(&key))?,
                        record::from_json(&key, &payload)?,
                    ))
                })
                .collect()
        })
        .await
    }
}
