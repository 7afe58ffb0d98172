//! Sends that gates have queued: carried out after the gate's commit, in order within a chat.
//!
//! In: orders whose intents are in the store. Out: sends through the host; `action.stopped` for each that is dropped. A chat
//! has one queue and one task, so that its messages keep their order. A queue that is full drops the newest: what waits there
//! waits for an account that does not send. Must not know what a gate is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::json;

use crate::action::SendOrder;
use crate::event::{Draft, Event, Kind, Origin};
use crate::store::{Batch, NewEvent};

use super::live::now;
use super::shared::Shared;

/// Messages that wait in one chat, as many as WhatsApp lets anybody write in a quarter of an hour.
const WAITING: usize = 256;
/// Messages that wait in all chats of a script.
const WAITING_IN_ALL: usize = 4096;

/// All queues; each is there as long as something waits in it.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    chats: Mutex<HashMap<Chat, VecDeque<Queued>>>,
}

/// A chat of an account, as a script calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Chat {
    script: Arc<str>,
    account: String,
    to: String,
}

/// A message that waits.
struct Queued {
    order: SendOrder,
    /// The event whose gate said it.
    event_id: String,
}

/// Where a message came in.
enum Pushed {
    /// Nobody works on its chat yet.
    First,
    Behind,
    /// It found no room.
    Full(Queued),
}

impl Queue {
    /// Nothing waits.
    pub(crate) fn new(shared: &Arc<Shared>) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            chats: Mutex::default(),
        })
    }

    /// Queues what a gate said about an event; returns when what finds no room is reported.
    pub(crate) async fn put(self: &Arc<Self>, script: &Arc<str>, event: &Event, orders: Vec<SendOrder>) {
        for order in orders {
            self.put_one(script, event.id.clone(), order).await;
        }
    }

    /// Queues what a gate said before the host stopped; the key of the order names the event.
    pub(crate) async fn resume(self: &Arc<Self>, script: &Arc<str>, order: SendOrder) {
        let event_id = order.key.split('/').nth(1).unwrap_or_default().to_owned();
        self.put_one(script, event_id, order).await;
    }

    async fn put_one(self: &Arc<Self>, script: &Arc<str>, event_id: String, order: SendOrder) {
        let chat = Chat {
            script: Arc::clone(script),
            account: order.account.as_str().to_owned(),
            to: order.to.clone(),
        };
        match self.push(&chat, Queued { order, event_id }) {
            Pushed::First => {
                let this = Arc::clone(self);
                self.shared
                    .tracker
                    .spawn_on(async move { this.work(&chat).await }, &self.shared.runtime);
            }
            Pushed::Behind => {}
            Pushed::Full(queued) => {
                let reason = "too many messages of gates wait already".to_owned();
                self.drop_one(&chat, &queued, reason).await;
            }
        }
    }

    fn push(&self, chat: &Chat, queued: Queued) -> Pushed {
        let mut chats = self.chats();
        let of_script = chats.iter().filter(|(other, _)| other.script == chat.script);
        let in_all: usize = of_script.map(|(_, queue)| queue.len()).sum();
        let known = |queue: &VecDeque<Queued>| queue.iter().any(|other| other.order.key == queued.order.key);
        if chats.get(chat).is_some_and(known) {
            return Pushed::Behind;
        }
        let waiting = chats.get(chat).map_or(0, VecDeque::len);
        if waiting >= WAITING || in_all >= WAITING_IN_ALL {
            return Pushed::Full(queued);
        }
        chats.entry(chat.clone()).or_default().push_back(queued);
        match waiting {
            0 => Pushed::First,
            _ => Pushed::Behind,
        }
    }

    /// Sends what waits in a chat, one after the other, until nothing waits.
    async fn work(&self, chat: &Chat) {
        loop {
            let Some((order, event_id)) = self.first(chat) else {
                return;
            };
            let sent = tokio::select! {
                sent = self.shared.host.send(order.clone()) => sent,
                // Its intent is in the store: the next start carries it out.
                () = self.shared.stop.cancelled() => return,
            };
            match sent {
                Ok(_) => self.forget(chat, &order.key, Vec::new()).await,
                Err(failure) => {
                    let queued = Queued { order, event_id };
                    self.drop_one(chat, &queued, failure.message).await;
                }
            }
            let mut chats = self.chats();
            if let Some(queue) = chats.get_mut(chat) {
                queue.pop_front();
                if queue.is_empty() {
                    chats.remove(chat);
                }
            }
        }
    }

    fn first(&self, chat: &Chat) -> Option<(SendOrder, String)> {
        let chats = self.chats();
        let first = chats.get(chat)?.front()?;
        Some((first.order.clone(), first.event_id.clone()))
    }

    /// A message is not sent: whoever wants to know is told.
    async fn drop_one(&self, chat: &Chat, Queued { order, event_id }: &Queued, reason: String) {
        tracing::error!(target: "wharf::script", script = &*chat.script, "a message of a gate was not sent: {reason}");
        let data = json!({
            "chat": order.to, "source": order.source, "script": &*chat.script, "event": event_id, "reason": reason,
        });
        let draft = Draft {
            event: Kind::Named("action.stopped"),
            account: Some(order.account.clone()),
            timestamp: now(),
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap_or_default(),
        };
        self.forget(chat, &order.key, vec![NewEvent { draft, once: None }])
            .await;
    }

    async fn forget(&self, chat: &Chat, key: &str, events: Vec<NewEvent>) {
        let batch = Batch {
            intents: vec![(key.to_owned(), None)],
            events,
            ..Batch::default()
        };
        if let Err(error) = self.shared.store.commit(batch).await {
            // The next start orders it again, under the same key.
            tracing::error!(target: "wharf::script", script = &*chat.script, "the end of a message was not noted: {error}");
        }
    }

    fn chats(&self) -> MutexGuard<'_, HashMap<Chat, VecDeque<Queued>>> {
        self.chats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
