//! A phone: the account's main device, with its own copy of every chat.
//!
//! In: messages and receipts that the server hands it. Out: what a person would see on its screen. Must not know other
//! phones, linked devices or sockets.

use std::collections::BTreeMap;

use super::protocol::{Me, Message, ack};
use super::token;

/// Messages that a phone keeps of a chat; the oldest goes first. Far above what a test or a person writes.
const KEPT: usize = 20_000;

/// A phone.
#[derive(Debug)]
pub(super) struct Phone {
    /// Digits, without a plus.
    pub(super) number: String,
    /// The name that its owner chose.
    pub(super) name: String,
    /// `…@lid`
    pub(super) lid: String,
    /// Whether it has a network. Without, it neither acknowledges nor reads; its linked devices go on (WhatsApp's multi-device
    /// works without the phone).
    pub(super) online: bool,
    /// Its chats, by id.
    pub(super) chats: BTreeMap<String, Log>,
}

/// A chat on a phone.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Messages of others that nobody has looked at on any device of the account.
    pub(super) unread: u32,
    /// When it last changed, in ms.
    pub(super) at: i64,
    /// In the order of arrival.
    pub(super) entries: Vec<Entry>,
}

/// A message on a phone.
#[derive(Debug)]
pub(super) struct Entry {
    /// As this account sees it.
    pub(super) message: Message,
    /// When it was written, in ms.
    pub(super) at: i64,
    /// Of an own message: how far it came with each recipient, by `NUMBER@c.us`.
    pub(super) receipts: BTreeMap<String, i8>,
    /// Of another's message: the receipt that this account has given for it (0, 2 or 3).
    pub(super) given: i8,
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

    /// Keeps a message. Nothing is compared: an id that comes twice is there twice.
    pub(super) fn keep(&mut self, entry: Entry) {
        let log = self.chats.entry(entry.message.chat.clone()).or_default();
        if !entry.message.from_me {
            log.unread = log.unread.saturating_add(1);
        }
        log.at = log.at.max(entry.at);
        log.entries.push(entry);
        if log.entries.len() > KEPT {
            log.entries.remove(0);
        }
    }

    /// Notes how far own messages came with `who`; an ack never falls. Answers the lowest ack of all recipients now, for
    /// those that have changed (a group's message is read when all have read it; library: `handleGroupSimpleReceipt`).
    pub(super) fn note(&mut self, chat: &str, id: &str, who: &str, level: i8) -> Option<i8> {
        let entries = &mut self.chats.get_mut(chat)?.entries;
        let mut now = None;
        for entry in entries
            .iter_mut()
            .rev()
            .filter(|entry| entry.message.from_me && entry.message.id == id)
        {
            let Some(known) = entry.receipts.get_mut(who) else {
                continue;
            };
            if *known < level {
                *known = level;
                let lowest = entry.receipts.values().copied().min().unwrap_or(ack::SENT);
                entry.message.ack = entry.message.ack.max(lowest);
                now = Some(entry.message.ack);
            }
        }
        now
    }

    /// Gives receipts for others' messages of a chat: those with an id in `ids`, or all. Answers `(author, id)` of those for
    /// which it had not been given, oldest first.
    pub(super) fn give(&mut self, chat: &str, ids: Option<&[String]>, level: i8) -> Vec<(String, String)> {
        let Some(log) = self.chats.get_mut(chat) else {
            return Vec::new();
        };
        let mut given = Vec::new();
        for entry in &mut log.entries {
            let wanted = ids.is_none_or(|ids| ids.contains(&entry.message.id));
            if !wanted || entry.message.from_me || entry.given >= level {
                continue;
            }
            entry.given = level;
            let author = entry.message.author.as_ref().unwrap_or(&entry.message.from);
            given.push((author.clone(), entry.message.id.clone()));
        }
        if level == ack::READ {
            let unread = log
                .entries
                .iter()
                .filter(|entry| !entry.message.from_me && entry.given < ack::READ)
                .count();
            log.unread = u32::try_from(unread).unwrap_or(u32::MAX);
        }
        given
    }

    /// The newest message of a chat with this id.
    pub(super) fn find(&self, chat: &str, id: &str) -> Option<&Message> {
        let entries = &self.chats.get(chat)?.entries;
        entries
            .iter()
            .rev()
            .map(|entry| &entry.message)
            .find(|message| message.id == id)
    }
}

/// The id of a number's account and of the chat with it.
pub(super) fn wid(number: &str) -> String {
    format!("{number}@c.us")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, from_me: bool, author: Option<&str>) -> Message {
        Message {
            id: id.to_owned(),
            chat: "2@c.us".to_owned(),
            from: if from_me { "1@c.us" } else { "2@c.us" }.to_owned(),
            to: String::new(),
            author: author.map(str::to_owned),
            from_me,
            kind: "chat".to_owned(),
            body: "hello".to_owned(),
            t: 1,
            name: String::new(),
            quoted: None,
            mentions: Vec::new(),
            ack: ack::SENT,
        }
    }

    fn entry(message: Message, recipients: &[&str]) -> Entry {
        let receipts = recipients.iter().map(|who| ((*who).to_owned(), ack::SENT)).collect();
        Entry {
            message,
            at: 1000,
            receipts,
            given: 0,
        }
    }

    #[test]
    fn an_id_that_comes_twice_is_kept_twice() {
        let mut phone = Phone::new("1".to_owned(), "Ada".to_owned());
        phone.keep(entry(message("A", false, None), &[]));
        phone.keep(entry(message("A", false, None), &[]));
        let log = &phone.chats["2@c.us"];
        assert_eq!((log.entries.len(), log.unread), (2, 2));
    }

    #[test]
    fn a_message_to_a_group_is_read_when_the_last_has_read_it() {
        let mut phone = Phone::new("1".to_owned(), "Ada".to_owned());
        phone.keep(entry(message("A", true, None), &["2@c.us", "3@c.us"]));
        assert_eq!(phone.note("2@c.us", "A", "2@c.us", ack::READ), Some(ack::SENT));
        assert_eq!(
            phone.note("2@c.us", "A", "3@c.us", ack::DELIVERED),
            Some(ack::DELIVERED)
        );
        assert_eq!(phone.note("2@c.us", "A", "3@c.us", ack::DELIVERED), None, "said twice");
        assert_eq!(phone.note("2@c.us", "A", "3@c.us", ack::READ), Some(ack::READ));
        assert_eq!(phone.note("2@c.us", "A", "4@c.us", ack::READ), None, "not a recipient");
    }

    #[test]
    fn a_receipt_is_given_once_and_reading_empties_the_unread_count() {
        let mut phone = Phone::new("1".to_owned(), "Ada".to_owned());
        phone.keep(entry(message("A", false, None), &[]));
        phone.keep(entry(message("B", false, Some("3@c.us")), &[]));
        assert_eq!(phone.give("2@c.us", None, ack::DELIVERED).len(), 2);
        assert!(phone.give("2@c.us", None, ack::DELIVERED).is_empty());
        assert_eq!(phone.chats["2@c.us"].unread, 2);
        let read = phone.give("2@c.us", Some(&["B".to_owned()]), ack::READ);
        assert_eq!(read, [("3@c.us".to_owned(), "B".to_owned())]);
        assert_eq!(phone.chats["2@c.us"].unread, 1);
    }
}
