//! Sending a message once.
//!
//! In: a [`SendOrder`] with its key. Out: its answer, the same for every order with the key. Must not send what may have been sent:
//! what cannot be known is answered `unknown`.
//!
//! The account is waited for, then the turn. Then (1) the page resolves the chat and makes the message's id, (2) the intent with
//! that id is committed, (3) the page is told to send it, (4) the answer is committed: in a task of its own, so that a caller
//! who is cut off leaves nothing half done. A second order with the key waits for the first one; an intent that has no answer
//! yet is looked into (`settle`).

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::action::{Failure, FailureKind, SendOrder, Sent, Status};
use crate::event::{AccountId, Source};
use crate::page::{self, Begun, Ordered};
use crate::store::{self, Batch, Intent, KvOp, KvWrite, NewEvent};

use super::account::{Account, Live};
use super::tab::Tab;
use super::{Room, drafts};

const HOUR_MS: i64 = 60 * 60 * 1000;
/// For how long the answer to an order of the HTTP API is kept.
const KEEP_API: i64 = 24 * HOUR_MS;
/// As long as the store remembers messages: who made a message is asked when it is journaled.
const KEEP_SOURCE: i64 = 15 * 24 * HOUR_MS;
/// Pause before the next try after the page failed.
pub(super) const RETRY: Duration = Duration::from_millis(500);
/// Open sends that are looked into at the same time after `ready`.
const SETTLING: usize = 8;

/// What a try came to.
pub(super) enum Step {
    /// The order's answer.
    Done(Result<Sent, Failure>),
    /// The page failed before an answer was known; why.
    Again(String),
}

/// One send, carried out on one tab.
pub(super) struct Delivery {
    pub(super) room: Arc<Room>,
    pub(super) account: Arc<Account>,
    pub(super) tab: Arc<dyn Tab>,
}

/// Sends, or finds out what became of it. May be dropped while it waits for the account or its turn.
pub(super) async fn send(room: &Arc<Room>, account: &Arc<Account>, order: SendOrder) -> Result<Sent, Failure> {
    carry_out(room, account, order, false).await
}

/// With `open_only` an order whose intent is gone is left alone: it has ended, and whoever gave it knows how.
async fn carry_out(
    room: &Arc<Room>,
    account: &Arc<Account>,
    order: SendOrder,
    open_only: bool,
) -> Result<Sent, Failure> {
    let id = &account.id;
    let until = Instant::now() + order.patience.min(Duration::from_secs(7 * 24 * 60 * 60));
    let waited = || timeout(id, "another order with the same key is still under way");
    let mut lock = timeout_at(until, account.keys.lock(&order.key))
        .await
        .map_err(|_| waited())?;
    loop {
        let known = room
            .store
            .intent(&order.key)
            .await
            .map_err(|error| internal(id, "read the intent", &error))?;
        if let Some(known) = &known {
            if known.account != *id {
                return Err(failure(
                    id,
                    FailureKind::Refused,
                    "the key was used for another account",
                ));
            }
            // A script's key stands for whatever its run sends there; a program's for one message.
            if order.source == Source::Api && (known.to != order.to || known.content != order.content) {
                return Err(failure(
                    id,
                    FailureKind::Refused,
                    "the key was used for another message",
                ));
            }
            if let Some(answer) = &known.answer {
                return Ok(answer.clone());
            }
        }
        if open_only && known.is_none() {
            return Err(failure(id, FailureKind::Refused, "it has ended meanwhile"));
        }
        let tab = ready(room, account, until).await?;
        let begun = known.filter(|known| known.message_id.is_some());
        let turn = if begun.is_none() {
            // A number and its chat's id are the same lane.
            let chat = order.to.trim_end_matches("@c.us");
            let turn = account.pacing.turn(chat, order.source == Source::Api);
            let turn = timeout_at(until, turn)
                .await
                .map_err(|_| timeout(id, "its turn under [pacing] did not come"))?;
            Some(turn.map_err(|full| failure(id, FailureKind::RateLimited, &format!("{} sends wait already", full.0)))?)
        } else {
            None
        };
        if !account.live.borrow().is_ready_with(&tab) {
            continue;
        }
        let delivery = Delivery {
            room: Arc::clone(room),
            account: Arc::clone(account),
            tab,
        };
        let task = room.tracker.spawn({
            let order = order.clone();
            async move {
                let step = match begun {
                    None => delivery.begin(&order).await,
                    Some(intent) => delivery.settle(intent).await,
                };
                drop(turn);
                (step, lock)
            }
        });
        let step;
        (step, lock) = task
            .await
            .map_err(|error| failure(id, FailureKind::Internal, &format!("a send ended: {error}")))?;
        match step {
            Step::Done(answer) => return answer,
            Step::Again(why) => {
                tracing::debug!(account = %id, key = order.key, why, "a send is tried again");
                if Instant::now() + RETRY >= until {
                    return Err(timeout(id, &why));
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// After `ready`: looks into every send that was cut off, so that it has an answer also if nobody asks again.
///
/// The list is old when it is worked on: a run that has ended since, or a refusal, took its intents away, and none of those
/// may be ordered again.
pub(super) async fn settle_open(room: Arc<Room>, account: Arc<Account>) {
    let open = match room.store.intents_of(&account.id).await {
        Ok(intents) => intents.into_iter().filter(|intent| intent.answer.is_none()),
        Err(error) => {
            return tracing::warn!(account = %account.id, %error, "the sends that were cut off cannot be read");
        }
    };
    let patience = room.config.borrow().scripts.patience;
    let settling = open.map(|intent| {
        let Intent {
            key,
            account: id,
            to,
            content,
            source,
            ..
        } = intent;
        let order = SendOrder {
            key,
            account: id,
            to,
            content,
            source,
            patience,
        };
        async {
            let key = order.key.clone();
            match carry_out(&room, &account, order, true).await {
                Ok(answer) => {
                    tracing::info!(account = %account.id, key, status = ?answer.status, "a send that was cut off")
                }
                Err(error) => tracing::info!(account = %account.id, key, %error, "a send that was cut off"),
            }
        }
    });
    futures::stream::iter(settling)
        .buffer_unordered(SETTLING)
        .collect::<()>()
        .await;
}

/// Waits for a tab that is ready.
pub(super) async fn ready(room: &Room, account: &Account, until: Instant) -> Result<Arc<dyn Tab>, Failure> {
    let mut live = account.live.subscribe();
    let found = async {
        match live
            .wait_for(|live| matches!(live, Live::Ready(_) | Live::Deleted))
            .await
            .as_deref()
        {
            Ok(Live::Ready(tab)) => Some(Arc::clone(tab)),
            _ => None,
        }
    };
    let stands = || {
        let status = account.status.borrow();
        let reason = status
            .reason
            .as_ref()
            .map(|reason| format!(" ({reason})"))
            .unwrap_or_default();
        format!("it is {}{reason}, not ready", status.state)
    };
    tokio::select! {
        biased;
        found = timeout_at(until, found) => match found {
            Ok(Some(tab)) => Ok(tab),
            Ok(None) => Err(failure(&account.id, FailureKind::NoAccount, "it was deleted")),
            Err(_) => Err(failure(&account.id, FailureKind::NotConnected, &stands())),
        },
        () = room.closing.cancelled() => Err(failure(&account.id, FailureKind::NotConnected, "the host is closing")),
    }
}

impl Delivery {
    /// A send that no page knows of yet.
    async fn begin(&self, order: &SendOrder) -> Step {
        let id = &self.account.id;
        let resolved = match self.tab.resolve(&order.to).await {
            Ok(resolved) => resolved,
            Err(error @ (page::Error::NoChat { .. } | page::Error::Page { .. })) => {
                return Step::Done(Err(failure(id, FailureKind::Refused, &error.to_string())));
            }
            Err(error) => return Step::Again(error.to_string()),
        };
        let made_at = super::now();
        let intent = Intent {
            key: order.key.clone(),
            account: id.clone(),
            chat: Some(resolved.chat),
            message_id: Some(resolved.message_id.clone()),
            page_id: Some(resolved.page_id),
            to: order.to.clone(),
            content: order.content.clone(),
            source: order.source,
            made_at,
            answer: None,
            keep_until: (order.source == Source::Api).then_some(made_at + KEEP_API),
        };
        let batch = Batch {
            intents: vec![(order.key.clone(), Some(intent.clone()))],
            kv: vec![self.source_of(&resolved.message_id, order.source, made_at)],
            ..Batch::default()
        };
        match self.room.store.commit(batch).await {
            Ok(_) => self.order(intent).await,
            Err(error) => Step::Done(Err(internal(id, "keep the intent", &error))),
        }
    }

    /// Tells the page to send what the intent says. Only for an id that was never ordered.
    pub(super) async fn order(&self, intent: Intent) -> Step {
        let (Some(chat), Some(message_id)) = (&intent.chat, &intent.message_id) else {
            return Step::Again("the intent has no id".to_owned());
        };
        // Never closed. Who holds one has deadlines.
        let _one = match intent.content.file() {
            Some(_) => self.account.files.acquire().await.ok(),
            None => None,
        };
        if let Some(file) = intent.content.file() {
            let bytes = match self.room.media.read(file).await {
                Ok(bytes) => bytes,
                Err(error) => return self.refuse(intent, &error.to_string()).await,
            };
            if let Err(error) = self.tab.put(message_id, &bytes).await {
                return Step::Again(error.to_string());
            }
        }
        match self.tab.order(message_id, chat, &intent.content).await {
            Ok(Ordered::Sent { ack: 1.. }) => self.answer(intent, Status::Sent).await,
            Ok(Ordered::Sent { .. }) => self.search(intent).await,
            Ok(Ordered::Refused { reason }) => self.refuse(intent, &reason).await,
            // The page says that it did nothing. Its table is asked all the same: a mistake here would send twice.
            Err(error @ page::Error::Page { .. }) => {
                let page_id = intent.page_id.as_deref().unwrap_or_default();
                match self.tab.ask(page_id, message_id).await {
                    Ok(Begun::NeverOrdered) => self.refuse(intent, &error.to_string()).await,
                    _ => Step::Again(error.to_string()),
                }
            }
            Err(error) => Step::Again(error.to_string()),
        }
    }

    /// Keeps the answer. `unknown` is also an event.
    pub(super) async fn answer(&self, mut intent: Intent, status: Status) -> Step {
        let id = intent.message_id.clone().unwrap_or_default();
        let answer = Sent { id, status };
        intent.answer = Some(answer.clone());
        let events: Vec<NewEvent> = match status {
            Status::Sent => Vec::new(),
            Status::Unknown => {
                let key = &intent.key;
                tracing::warn!(account = %self.account.id, key, "a send was cut off and cannot be known to have happened");
                vec![drafts::unknown(&intent)]
            }
        };
        let batch = Batch {
            events,
            intents: vec![(intent.key.clone(), Some(intent))],
            ..Batch::default()
        };
        match self.room.store.commit(batch).await {
            Ok(_) => Step::Done(Ok(answer)),
            Err(error) => Step::Done(Err(internal(&self.account.id, "keep the answer", &error))),
        }
    }

    /// It was not sent and will not be: the intent ends, so that an order with the key begins anew.
    pub(super) async fn refuse(&self, intent: Intent, reason: &str) -> Step {
        let batch = Batch {
            intents: vec![(intent.key, None)],
            ..Batch::default()
        };
        let kept = self.room.store.commit(batch).await;
        Step::Done(Err(match kept {
            Ok(_) => failure(&self.account.id, FailureKind::Refused, reason),
            Err(error) => internal(&self.account.id, "end the refused intent", &error),
        }))
    }

    /// The note by which the message is recognised as wharf's own when the page reports it.
    fn source_of(&self, message_id: &str, source: Source, now: i64) -> KvWrite {
        KvWrite {
            space: super::sent_space(&self.account.id),
            key: drafts::raw_id(message_id).to_owned(),
            op: KvOp::Set(serde_json::to_vec(&source).expect("a word is JSON")),
            expires_at: Some(now + KEEP_SOURCE),
        }
    }
}

/// An order that has failed, in the words of scripts and HTTP callers.
pub(super) fn failure(account: &AccountId, kind: FailureKind, what: &str) -> Failure {
    Failure {
        kind,
        message: format!("account {account}: {what}"),
        account: Some(account.clone()),
    }
}

pub(super) fn timeout(account: &AccountId, what: &str) -> Failure {
    failure(account, FailureKind::Timeout, &format!("no answer in time: {what}"))
}

fn internal(account: &AccountId, step: &str, error: &store::Error) -> Failure {
    tracing::warn!(%account, %error, "a send could not {step}");
    failure(account, FailureKind::Internal, &format!("cannot {step}: {error}"))
}
