//! A chat on a phone: its messages in the order of arrival, and how far each of them came.
//!
//! In: messages, receipts of others for own messages, receipts of this account for others' messages. Out: what has
//! changed. Must not know whose phone it is on.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::protocol::{Message, ack};

/// Messages that a phone keeps of a chat; the oldest goes first. Far above what a test or a person writes.
pub(super) const KEPT: usize = 20_000;

/// A chat on a phone. Messages are found by their place, which counts from the first that ever came.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// When it last changed, in ms.
    pub(super) at: i64,
    entries: VecDeque<Entry>,
    /// The place of the first entry that is kept.
    first: u64,
    /// The places of each id: a message that came twice has two.
    places: HashMap<String, Vec<u64>>,
    /// The places of others' messages that this account has not read.
    unread: BTreeSet<u64>,
    /// The place of the newest message by its own time.
    newest: u64,
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

impl Log {
    /// Keeps a message. Nothing is compared: an id that comes twice is there twice.
    pub(super) fn keep(&mut self, entry: Entry) {
        let place = self.first + self.entries.len() as u64;
        if !entry.message.from_me {
            self.unread.insert(place);
        }
        if entry.at >= self.at || self.entries.is_empty() {
            self.at = entry.at.max(self.at);
            self.newest = place;
        }
        self.places.entry(entry.message.id.clone()).or_default().push(place);
        self.entries.push_back(entry);
        if self.entries.len() > KEPT {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.unread.remove(&self.first);
        if let Some(places) = self.places.get_mut(&oldest.message.id) {
            places.retain(|place| *place != self.first);
            if places.is_empty() {
                self.places.remove(&oldest.message.id);
            }
        }
        self.first += 1;
    }

    fn entry(&mut self, place: u64) -> Option<&mut Entry> {
        let at = usize::try_from(place.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(at)
    }

    /// Changes each message with this id.
    pub(super) fn each(&mut self, id: &str, change: impl Fn(&mut Message)) {
        for place in self.places.get(id).cloned().unwrap_or_default() {
            if let Some(entry) = self.entry(place) {
                change(&mut entry.message);
            }
        }
    }

    /// All messages, in the order of arrival.
    pub(super) fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// Messages of others that nobody has looked at on any device of the account.
    pub(super) fn unread(&self) -> u32 {
        u32::try_from(self.unread.len()).unwrap_or(u32::MAX)
    }

    /// The newest message with this id.
    pub(super) fn find(&self, id: &str) -> Option<&Entry> {
        let place = self.places.get(id)?.last()?.checked_sub(self.first)?;
        self.entries.get(usize::try_from(place).ok()?)
    }

    /// The newest message by its own time.
    pub(super) fn newest(&self) -> Option<&Entry> {
        self.entries
            .get(usize::try_from(self.newest.checked_sub(self.first)?).ok()?)
    }

    /// Notes how far own messages came with `who`; an ack never falls (library: it tells of higher ones
    /// only where a receipt says so; that they come late and out of order is assumed). Answers the lowest ack of all recipients now,
    /// for those that have changed (a group's message is read when all have read it; library:
    /// `handleGroupSimpleReceipt`).
    pub(super) fn note(&mut self, id: &str, who: &str, level: i8) -> Option<i8> {
        let mut now = None;
        for place in self.places.get(id).cloned().unwrap_or_default() {
            let Some(entry) = self.entry(place).filter(|entry| entry.message.from_me) else {
                continue;
            };
            let Some(known) = entry.receipts.get_mut(who).filter(|known| **known < level) else {
                continue;
            };
            *known = level;
            let lowest = entry.receipts.values().copied().min().unwrap_or(ack::SENT);
            entry.message.ack = entry.message.ack.max(lowest);
            now = Some(entry.message.ack);
        }
        now
    }

    /// Gives receipts for others' messages: those with an id in `ids`, or all that are unread. Answers `(author, id)`
    /// of those for which it had not been given, oldest first.
    pub(super) fn give(&mut self, ids: Option<&[String]>, level: i8) -> Vec<(String, String)> {
        let mut places: Vec<u64> = match ids {
            None => self.unread.iter().copied().collect(),
            Some(ids) => ids
                .iter()
                .filter_map(|id| self.places.get(id))
                .flatten()
                .copied()
                .collect(),
        };
        places.sort_unstable();
        let mut given = Vec::new();
        for place in places {
            let Some(entry) = self.entry(place) else { continue };
            if entry.message.from_me || entry.given >= level {
                continue;
            }
            entry.given = level;
            let author = entry.message.author.as_ref().unwrap_or(&entry.message.from);
            given.push((author.clone(), entry.message.id.clone()));
            if level == ack::READ {
                self.unread.remove(&place);
            }
        }
        given
    }
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
            ack: ack::SENT,
            ..Message::default()
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
        let mut log = Log::default();
        log.keep(entry(message("A", false, None), &[]));
        log.keep(entry(message("A", false, None), &[]));
        assert_eq!((log.entries().count(), log.unread()), (2, 2));
    }

    #[test]
    fn a_message_to_a_group_is_read_when_the_last_has_read_it() {
        let mut log = Log::default();
        log.keep(entry(message("A", true, None), &["2@c.us", "3@c.us"]));
        assert_eq!(log.note("A", "2@c.us", ack::READ), Some(ack::SENT));
        assert_eq!(log.note("A", "3@c.us", ack::DELIVERED), Some(ack::DELIVERED));
        assert_eq!(log.note("A", "3@c.us", ack::DELIVERED), None, "said twice");
        assert_eq!(log.note("A", "3@c.us", ack::READ), Some(ack::READ));
        assert_eq!(log.note("A", "4@c.us", ack::READ), None, "not a recipient");
    }

    #[test]
    fn a_receipt_is_given_once_and_reading_empties_the_unread_count() {
        let mut log = Log::default();
        log.keep(entry(message("A", false, None), &[]));
        log.keep(entry(message("B", false, Some("3@c.us")), &[]));
        assert_eq!(log.give(None, ack::DELIVERED).len(), 2);
        assert!(log.give(None, ack::DELIVERED).is_empty());
        assert_eq!(log.unread(), 2);
        let read = log.give(Some(&["B".to_owned()]), ack::READ);
        assert_eq!(read, [("3@c.us".to_owned(), "B".to_owned())]);
        assert_eq!(log.unread(), 1);
    }

    #[test]
    fn the_oldest_goes_when_a_chat_is_full() {
        let mut log = Log::default();
        for n in 0..=KEPT {
            log.keep(entry(message(&n.to_string(), false, None), &[]));
        }
        assert_eq!(
            (log.entries().count(), log.unread()),
            (KEPT, u32::try_from(KEPT).unwrap())
        );
        assert!(log.find("0").is_none());
        assert_eq!(log.find("1").map(|entry| entry.message.id.as_str()), Some("1"));
        assert_eq!(log.give(None, ack::READ).len(), KEPT);
        assert_eq!(log.unread(), 0);
    }
}
