//! A phone: the account's main device, with its own copy of every chat.
//!
//! In: messages and receipts that the server hands it. Out: what a person would see on its screen. Must not know other
//! phones, linked devices or sockets.

use std::collections::{BTreeMap, BTreeSet};

use super::log::{Entry, Log};
use super::protocol::{Me, Message};
use super::token;

/// A phone.
#[derive(Debug)]
pub(super) struct Phone {
    /// Digits, without a plus.
    pub(super) number: String,
    /// The name that its owner chose.
    pub(super) name: String,
    /// `…@lid`
    pub(super) lid: String,
    /// Whether it has a network. Without, it neither acknowledges nor reads; its linked devices go on (WhatsApp's
    /// multi-device works without the phone).
    pub(super) online: bool,
    /// Its chats, by id.
    pub(super) chats: BTreeMap<String, Log>,
    /// Chats in which somebody is typing.
    pub(super) typing: BTreeSet<String>,
}

impl Phone {
    /// A phone without chats.
    pub(super) fn new(number: String, name: String) -> Self {
        let lid = token::lid(&number);
        Self {
            number,
            name,
            lid,
            online: true,
            chats: BTreeMap::new(),
            typing: BTreeSet::new(),
        }
    }

    /// `NUMBER@c.us`
    pub(super) fn wid(&self) -> String {
        wid(&self.number)
    }

    /// As it is shown to itself and to those who ask for it.
    pub(super) fn me(&self) -> Me {
        Me {
            number: self.number.clone(),
            wid: self.wid(),
            lid: self.lid.clone(),
            name: self.name.clone(),
        }
    }

    /// Keeps a message in its chat.
    pub(super) fn keep(&mut self, entry: Entry) {
        // Who has sent is not typing any more (source: WhatsApp's clients).
        self.typing.remove(&entry.message.chat);
        self.chats.entry(entry.message.chat.clone()).or_default().keep(entry);
    }

    /// See [`Log::note`].
    pub(super) fn note(&mut self, chat: &str, id: &str, who: &str, level: i8) -> Option<i8> {
        self.chats.get_mut(chat)?.note(id, who, level)
    }

    /// See [`Log::give`].
    pub(super) fn give(&mut self, chat: &str, ids: Option<&[String]>, level: i8) -> Vec<(String, String)> {
        self.chats
            .get_mut(chat)
            .map_or_else(Vec::new, |log| log.give(ids, level))
    }

    /// The newest message of a chat with this id.
    pub(super) fn find(&self, chat: &str, id: &str) -> Option<&Message> {
        self.chats.get(chat)?.find(id).map(|entry| &entry.message)
    }
}

/// The id of a number's account and of the chat with it.
pub(super) fn wid(number: &str) -> String {
    format!("{number}@c.us")
}
