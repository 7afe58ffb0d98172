//! What is done with messages that are there: reactions, edits, taking back; and who is typing.
//!
//! In: changes of pages and of phones. Out: the changed messages on every phone that has them, and items in the devices'
//! queues. Must not know sockets (it answers a page by `say` alone).
//!
//! Sources: the library's editMessage.ts and deleteMessage.ts (an edit and a revoke are messages of the type `protocol` that
//! name another one; `canEditText` asks first), registerReactionsEvent.ts (a reaction names its parent and its sender).
//! 15 minutes for an edit: WhatsApp's help pages. That a revoke has no end of its time is assumed (the real one: two days).

use super::Error;
use super::protocol::{Change, Item, Message, ToPage};
use super::world::World;

/// How long a message may be edited, in ms.
const EDITABLE: i64 = 15 * 60 * 1000;

impl World {
    /// A page changes a message. The answer says whether it was done.
    pub(super) fn change_by_page(
        &mut self,
        line: u64,
        question: u64,
        target: (String, String),
        change: &Change,
        now: i64,
    ) {
        let Some((device, number)) = self.device_on(line) else {
            return;
        };
        let (chat, id) = target;
        let done = match &self.faults.refuse_sends {
            Some(_) => false,
            None => self.change(&number, Some(&device), &chat, &id, change, now).is_ok(),
        };
        let answer = ToPage::Answer {
            id: question,
            exists: done,
            who: None,
        };
        self.say(line, answer);
    }

    /// An account changes a message. `device` is the one that has done so itself already.
    pub(super) fn change(
        &mut self,
        number: &str,
        device: Option<&str>,
        chat: &str,
        id: &str,
        change: &Change,
        now: i64,
    ) -> Result<(), Error> {
        let unknown = || Error::NoSuchMessage(id.to_owned());
        let chat = self.address(chat).ok_or_else(|| Error::NoSuchChat(chat.to_owned()))?;
        let me = self.phone(number)?.wid();
        let entry = self.phone(number)?.chats.get(&chat).and_then(|log| log.find(id));
        let entry = entry.ok_or_else(unknown)?;
        let (mine, at) = (entry.message.from_me, entry.at);
        let is_admin = self
            .groups
            .get(&chat)
            .is_some_and(|group| group.members.first().is_some_and(|first| first == number));
        let allowed = match change {
            Change::React { .. } => true,
            Change::Edit { .. } => mine && now - at <= EDITABLE,
            Change::Revoke => mine || is_admin,
        };
        if !allowed {
            return Err(Error::Malformed {
                what: "this change",
                why: "is not the account's to make, or comes too late",
            });
        }
        let members = match self.groups.get(&chat) {
            Some(group) => group.members.clone(),
            None => vec![number.to_owned(), chat.trim_end_matches("@c.us").to_owned()],
        };
        for member in members {
            // What a chat is called differs: each calls it by the other.
            let theirs = match chat.ends_with("@g.us") || member == number {
                true => chat.clone(),
                false => me.clone(),
            };
            let Ok(phone) = self.phone_mut(&member) else { continue };
            let Some(log) = phone.chats.get_mut(&theirs) else {
                continue;
            };
            log.each(id, |message| apply(message, &me, change));
            let item = Item::Change {
                chat: theirs,
                id: id.to_owned(),
                by: me.clone(),
                change: change.clone(),
                t: now / 1000,
            };
            let except = device.filter(|_| member == number);
            self.queue(&member, except, &item);
        }
        self.touch();
        Ok(())
    }

    /// Somebody is typing in a chat, or not any more.
    pub(super) fn typing(&mut self, number: &str, chat: &str, on: bool) {
        let Some(chat) = self.address(chat) else { return };
        let me = super::phone::wid(number);
        let members = match self.groups.get(&chat) {
            Some(group) => group.members.clone(),
            None => vec![chat.trim_end_matches("@c.us").to_owned()],
        };
        for member in members.into_iter().filter(|member| member != number) {
            let theirs = if chat.ends_with("@g.us") {
                chat.clone()
            } else {
                me.clone()
            };
            let Ok(phone) = self.phone_mut(&member) else { continue };
            match on {
                true => phone.typing.insert(theirs),
                false => phone.typing.remove(&theirs),
            };
        }
        self.touch();
    }
}

fn apply(message: &mut Message, by: &str, change: &Change) {
    match change {
        Change::React { emoji } if emoji.is_empty() => {
            message.reactions.remove(by);
        }
        Change::React { emoji } => {
            message.reactions.insert(by.to_owned(), emoji.clone());
        }
        Change::Edit { body } => {
            message.edited = true;
            if message.media.is_some() {
                message.caption.clone_from(body);
            } else {
                message.body.clone_from(body);
            }
        }
        Change::Revoke => {
            message.kind = "revoked".to_owned();
            message.body = String::new();
            message.caption = String::new();
            message.media = None;
            message.reactions.clear();
        }
    }
}
