//! Looks for messages that were missed: while the host was down, before the hooks were in place, in a gap of the ring.
//!
//! In: a tab that is ready, the marks of the chats, and up to when the account is known to be complete. Out: events of
//! origin `history`, then `account.synced`. What was journaled before is recognised by its id. Must not ack or answer.
//!
//! A chat's mark alone does not say where to begin: a message that comes live before the sweep moves it past those that were
//! missed. So the store keeps for each account the time up to which it is complete: a sweep has ended after it, and since
//! then a round trip was proven.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::event::{Message, Origin};
use crate::page::{self, ChatSummary};
use crate::store::{self, Batch, EVENTS_PER_BATCH, KvOp, KvWrite, NewEvent};

use super::account::{Account, Live};
use super::tab::Tab;
use super::{Room, drafts, ingest};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// Within the 15 days for which the store remembers ids.
const REACH: i64 = 14 * DAY;
/// Clocks differ, and messages arrive out of order.
const MARGIN: i64 = 10 * 60 * 1000;
/// Messages older than [`MARGIN`] that one sweep recovers of a chat; of more, the newest. Younger ones are not counted:
/// they are what scripts answer.
const PER_CHAT: usize = 200;
/// Messages that one sweep reads of a chat. More than it recovers: the margin holds many that are known already, most of all
/// when a host is ended again and again before a sweep is through.
const READ_PER_CHAT: usize = 1_000;
const PER_ACCOUNT: usize = 5_000;
const CHATS: usize = 1_000;
/// After so many sweeps that could not read a chat, the account counts as complete without it: one chat that the library chokes
/// on must not keep all others waiting for ever, nor be read from the same old time on at every start.
const TRIES: u32 = 3;

/// Why a sweep did not end.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Page(#[from] page::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the page is not ready any more")]
    NotReady,
    #[error("{0} chats could not be read")]
    Unread(usize),
}

/// Sweeps one tab whenever it is wanted.
pub(super) struct Sweeper {
    pub(super) room: Arc<Room>,
    pub(super) account: Arc<Account>,
    pub(super) tab: Arc<dyn Tab>,
    /// Counts the wishes: each `ready`, each gap.
    pub(super) wanted: watch::Receiver<u64>,
    /// The document that the last sweep which ended was of.
    pub(super) swept: watch::Sender<String>,
    pub(super) ended: CancellationToken,
}

/// What a sweep found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    recovered: usize,
    truncated: bool,
    loaded: usize,
    page_id: String,
}

impl Sweeper {
    /// Runs until the tab is over.
    pub(super) async fn run(mut self) {
        let ended = self.ended.clone();
        tokio::select! {
            () = ended.cancelled() => {}
            () = self.keep_sweeping() => {}
        }
    }

    async fn keep_sweeping(&mut self) {
        let mut finished = 0;
        let mut unread = 0;
        loop {
            let pause = self.room.tempo.mark_every;
            let wished = tokio::select! {
                changed = self.wanted.wait_for(|wish| *wish > finished) => if changed.is_ok() { true } else { return },
                () = tokio::time::sleep(pause), if finished > 0 => false,
            };
            if !wished {
                self.mark_complete().await;
                continue;
            }
            let wish = *self.wanted.borrow();
            self.until_ready().await;
            match self.sweep(unread + 1 >= TRIES).await {
                Ok(found) => {
                    let Found {
                        recovered,
                        truncated,
                        loaded,
                        page_id,
                    } = found;
                    tracing::info!(account = %self.account.id, recovered, truncated, loaded, "swept for missed messages");
                    finished = wish;
                    unread = 0;
                    self.swept.send_replace(page_id);
                }
                Err(error) => {
                    unread += u32::from(matches!(error, Failed::Unread(_)));
                    tracing::warn!(account = %self.account.id, %error, "a sweep for missed messages failed; trying again");
                    tokio::time::sleep(self.room.tempo.sweep_again).await;
                }
            }
        }
    }

    async fn until_ready(&self) {
        let mut live = self.account.live.subscribe();
        if live.wait_for(|live| live.is_ready_with(&self.tab)).await.is_err() {
            // The account itself is gone; `ended` follows.
            std::future::pending::<()>().await;
        }
    }

    /// `last`: a chat that cannot be read does not make it fail.
    async fn sweep(&self, last: bool) -> Result<Found, Failed> {
        let started = super::now();
        let store = &self.room.store;
        // Asked first: should the document be replaced meanwhile, then the new one is not taken for swept.
        let page_id = self.usable().await?;
        let mut unread = 0;
        let mut found = Found {
            page_id,
            ..Found::default()
        };
        if let Some(linked) = self.account.linked_at() {
            let floor = floor(linked, started);
            let complete = self.complete().await?;
            let marks = store.chat_marks(&self.account.id).await?;
            let chats = self.tab.chats(CHATS).await?;
            found.truncated = chats.len() >= CHATS;
            for (chat, canonical, since) in plan(&chats, &marks, floor, complete) {
                let room = PER_ACCOUNT.saturating_sub(found.loaded).min(READ_PER_CHAT);
                if room == 0 {
                    found.truncated = true;
                    break;
                }
                let messages = match self.tab.history(&chat, since, room).await {
                    Ok(messages) => messages,
                    Err(error @ (page::Error::Page { .. } | page::Error::Deadline { .. })) => {
                        tracing::warn!(account = %self.account.id, chat, %error, "a chat could not be looked through");
                        unread += 1;
                        found.truncated = true;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                found.loaded += messages.len();
                found.truncated |= messages.len() >= room;
                let (recovered, left_out) = self.journal(messages, &canonical, floor).await?;
                found.recovered += recovered;
                found.truncated |= left_out;
            }
        }
        // A document that was replaced meanwhile may have answered with a part of its chats.
        if self.usable().await? != found.page_id {
            return Err(Failed::NotReady);
        }
        if unread > 0 && !last {
            return Err(Failed::Unread(unread));
        }
        let synced = drafts::synced(&self.account.id, found.recovered, found.truncated);
        store
            .commit(Batch {
                events: vec![synced],
                kv: vec![self.complete_until(started)],
                ..Batch::default()
            })
            .await?;
        Ok(found)
    }

    /// The document, if it is one that can be swept.
    async fn usable(&self) -> Result<String, Failed> {
        let status = self.tab.status().await?;
        if status.is_usable() {
            Ok(status.page_id)
        } else {
            Err(Failed::NotReady)
        }
    }

    /// Journals what is not known yet; answers how many, and whether there were more than a sweep recovers.
    async fn journal(&self, messages: Vec<Message>, canonical: &str, floor: i64) -> Result<(usize, bool), Failed> {
        let mut recovered = 0;
        let mut events: Vec<NewEvent> = Vec::new();
        for mut message in messages.into_iter().filter(|message| message.timestamp > floor) {
            let id = &self.account.id;
            // Also by the other name: when it came, the number may not have been known yet.
            let raw = drafts::raw_id(&message.id);
            let store = &self.room.store;
            if store.is_seen(id, canonical, raw).await? || store.is_seen(id, &message.chat, raw).await? {
                continue;
            }
            if message.from_me {
                message.source = Some(ingest::source(&self.room.store, &self.account, &message.id).await?);
            }
            events.push(drafts::message(id, &message, canonical, Origin::History));
        }
        let young = super::now() - MARGIN;
        let old = events.iter().filter(|event| event.draft.timestamp < young).count();
        let too_many = old.saturating_sub(PER_CHAT);
        events.drain(..too_many);
        for part in events.chunks(EVENTS_PER_BATCH) {
            let committed = self
                .room
                .store
                .commit(Batch {
                    events: part.to_vec(),
                    ..Batch::default()
                })
                .await?;
            recovered += committed.events.iter().flatten().count();
        }
        Ok((recovered, too_many > 0))
    }

    /// Up to when the account is known to be complete.
    async fn complete(&self) -> Result<Option<i64>, store::Error> {
        let entry = self
            .room
            .store
            .kv_get(&super::session_space(&self.account.id), COMPLETE)
            .await?;
        Ok(entry.and_then(|entry| serde_json::from_slice(&entry.value).ok()))
    }

    fn complete_until(&self, time: i64) -> KvWrite {
        KvWrite {
            space: super::session_space(&self.account.id),
            key: COMPLETE.to_owned(),
            op: KvOp::Set(time.to_string().into_bytes()),
            expires_at: None,
        }
    }

    /// Moves the time of completeness on to the last proof, if nothing is left to look for.
    async fn mark_complete(&self) {
        if !matches!(&*self.account.live.borrow(), Live::Ready(_)) {
            return;
        }
        let Some(age) = self.account.status.borrow().proof_age_ms() else {
            return;
        };
        let time = super::now().saturating_sub_unsigned(age);
        let write = self.complete_until(time);
        if let Err(error) = self
            .room
            .store
            .commit(Batch {
                kv: vec![write],
                ..Batch::default()
            })
            .await
        {
            tracing::debug!(account = %self.account.id, %error, "the time of completeness was not kept");
        }
    }
}

/// The key of the time up to which an account is complete.
pub(super) const COMPLETE: &str = "complete_until";

/// Nothing at or before this becomes an event of a sweep.
pub(super) fn floor(linked: i64, now: i64) -> i64 {
    linked.max(now - REACH)
}

/// Which chats to read, by what name they are compared, and from when on.
fn plan(
    chats: &[ChatSummary],
    marks: &HashMap<String, i64>,
    floor: i64,
    complete: Option<i64>,
) -> Vec<(String, String, i64)> {
    let horizon = complete.map_or(floor, |complete| floor.max(complete - MARGIN));
    let since = |chat: &ChatSummary| {
        // Where the time is not known, unread messages speak for it.
        let newest = if chat.timestamp_ms > 0 || chat.unread == 0 {
            chat.timestamp_ms
        } else {
            i64::MAX
        };
        match marks.get(&chat.canonical) {
            Some(&mark) => (newest > mark || mark > horizon).then(|| floor.max(horizon.min(mark - MARGIN))),
            None => Some(horizon),
        }
        .filter(|since| newest > *since)
    };
    chats
        .iter()
        .filter_map(|chat| since(chat).map(|since| (chat.id.clone(), chat.canonical.clone(), since)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn chat(id: &str, timestamp_ms: i64) -> ChatSummary {
        ChatSummary {
            id: id.to_owned(),
            canonical: id.to_owned(),
            timestamp_ms,
            unread: 0,
        }
    }

    fn marks(of: &[(&str, i64)]) -> HashMap<String, i64> {
        of.iter().map(|(chat, mark)| ((*chat).to_owned(), *mark)).collect()
    }

    #[test]
    fn a_chat_is_read_from_ten_minutes_before_its_mark() {
        let now = 100 * HOUR;
        let chats = [chat("a", now), chat("quiet", 50 * HOUR)];
        let marks = marks(&[("a", 90 * HOUR), ("quiet", 50 * HOUR)]);
        assert_eq!(
            plan(&chats, &marks, HOUR, Some(95 * HOUR)),
            [("a".to_owned(), "a".to_owned(), 90 * HOUR - MARGIN)]
        );
    }

    #[test]
    fn a_live_message_before_the_sweep_hides_nothing_that_was_missed() {
        let now = 100 * HOUR;
        // Complete until 95 h, then down; up again, and a live message moved the mark to now.
        let planned = plan(&[chat("a", now)], &marks(&[("a", now)]), HOUR, Some(95 * HOUR));
        assert_eq!(planned, [("a".to_owned(), "a".to_owned(), 95 * HOUR - MARGIN)]);
    }

    #[test]
    fn nothing_at_or_before_the_link_or_beyond_14_days_is_looked_at() {
        let chats = [chat("new", 20 * HOUR), chat("old", 10 * HOUR)];
        assert_eq!(
            plan(&chats, &HashMap::new(), 15 * HOUR, None),
            [("new".to_owned(), "new".to_owned(), 15 * HOUR)]
        );
        assert_eq!(floor(DAY, 100 * DAY), 86 * DAY);
        assert_eq!(floor(90 * DAY, 100 * DAY), 90 * DAY);
    }

    #[test]
    fn unread_messages_speak_for_a_chat_without_a_time() {
        let unread = ChatSummary {
            unread: 2,
            ..chat("u", 0)
        };
        assert_eq!(
            plan(&[unread, chat("v", 0)], &HashMap::new(), HOUR, None),
            [("u".to_owned(), "u".to_owned(), HOUR)]
        );
    }
}
