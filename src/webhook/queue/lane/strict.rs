//! Strict order: a chat whose first delivery has failed is *blocked*.
//!
//! In: deliveries that fail, and that are out of the way. Out: chats that wait. The ones after a failed one are not held but left
//! in the store, so that a chat that is blocked for hours takes no room from the others, and are read again when it is free.

use crate::store::Delivery;

use super::{Lane, lower};

/// What a blocked chat waits for.
pub(super) struct Blocked {
    /// The sequence of the one that failed.
    pub(super) by: u64,
    /// The id after which the store has more of the chat.
    pub(super) rest: Option<String>,
}

impl Lane {
    /// Changes the order. All that waits is to be read again; answers the ids of what is not held any more.
    pub(in super::super) fn turn(&mut self, strict: bool) -> Vec<String> {
        let chats = std::mem::take(&mut self.chats).into_values().flatten();
        let late = std::mem::take(&mut self.late).into_values();
        let ids = chats.chain(late).map(|delivery| delivery.id).collect();
        self.turns.clear();
        self.blocked.clear();
        self.fresh = 0;
        self.late_rest = None;
        self.rest = Some(String::new());
        self.strict = strict;
        ids
    }

    pub(super) fn is_behind(&self, delivery: &Delivery) -> bool {
        let blocked = self.blocked.get(&delivery.chat_key);
        blocked.is_some_and(|blocked| blocked.by < delivery.sequence)
    }

    /// Notes that the store has more of a blocked chat after this id.
    pub(super) fn leave(&mut self, chat: &str, after: &str) {
        if let Some(blocked) = self.blocked.get_mut(chat) {
            lower(&mut blocked.rest, after);
        }
    }

    /// It is out of the way for good; a chat that waited for it is free, and is read again.
    pub(in super::super) fn passed(&mut self, delivery: &Delivery) {
        let by_it = |blocked: &Blocked| blocked.by == delivery.sequence;
        if self.blocked.get(&delivery.chat_key).is_some_and(by_it)
            && let Some(rest) = self.blocked.remove(&delivery.chat_key).and_then(|blocked| blocked.rest)
        {
            self.owe(&rest);
        }
    }

    /// A delivery blocks its chat: what is held of the chat is left to the store.
    pub(super) fn block(&mut self, by: &Delivery) -> Vec<String> {
        let mut left = Vec::new();
        let key = &by.chat_key;
        let before = self.blocked.insert(
            key.clone(),
            Blocked {
                by: by.sequence,
                rest: None,
            },
        );
        if let Some(before) = before {
            if let Some(rest) = before.rest {
                self.leave(key, &rest);
            }
            if before.by != by.sequence {
                let of_chat = |other: &&(i64, u64)| other.1 == before.by;
                if let Some(place) = self.late.keys().find(of_chat).copied() {
                    left.extend(self.late.remove(&place).map(|other| other.id));
                }
                self.leave(key, &by.id);
            }
        }
        if let Some(chat) = self.chats.remove(key) {
            if let Some(first) = chat.front() {
                self.turns.remove(&(first.sequence, key.clone()));
            }
            self.fresh -= chat.len();
            left.extend(chat.into_iter().map(|other| other.id));
            self.leave(key, &by.id);
        }
        if self.rest.is_some() {
            self.leave(key, &by.id);
        }
        left
    }
}
