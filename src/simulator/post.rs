//! Messages and receipts: from one account to the others, and to all devices of each.
//!
//! In: sends of pages and of phones, deliveries, reads. Out: entries on phones and items in the devices' queues. Must
//! not know sockets (it answers a send by `say` alone).

use std::collections::BTreeMap;

use super::Error;
use super::log::Entry;
use super::phone::wid;
use super::protocol::{Item, Medium, Message, Quoted, ToPage, ack};
use super::token;
use super::world::{World, digits};

/// Characters of a text (WhatsApp's own limit, as its clients count it).
const LONGEST: usize = 65_536;

/// What a phone is asked to write.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// A number, the id of an account, or the id of a group.
    pub(super) to: String,
    /// The text.
    pub(super) text: String,
    /// The id of a message of the chat that it answers.
    pub(super) quote: Option<String>,
    /// Ids that the text mentions.
    pub(super) mentions: Vec<String>,
    /// When it is said to be written, in ms; `None` is now.
    pub(super) at: Option<i64>,
    /// Its id; `None` makes one.
    pub(super) id: Option<String>,
    /// A file that it carries; the text stands beside it then.
    pub(super) media: Option<Medium>,
    /// The linked devices of the others cannot read it until [`World::send_keys`] (library: a `ciphertext` that changes its
    /// type later, `registerNewMessageEvent.ts`). Their phones can.
    pub(super) encrypted: bool,
}

/// WhatsApp's word for a message with a file of this type (library: `MSG_TYPE`).
fn kind_of(medium: &Medium) -> &'static str {
    match medium.mimetype.split('/').next() {
        Some("image") if medium.mimetype == "image/webp" => "sticker",
        Some("image") => "image",
        Some("video") => "video",
        Some("audio") => "audio",
        _ => "document",
    }
}

/// A message on its way, before each account has its own view of it.
struct Letter {
    id: String,
    kind: String,
    body: String,
    caption: String,
    media: Option<Medium>,
    at: i64,
    quoted: Option<Quoted>,
    mentions: Vec<String>,
    encrypted: bool,
}

impl World {
    /// A person writes on a phone. Who writes in a chat has looked at it: what was unread in it is read (assumed of
    /// people).
    pub(super) fn write(&mut self, number: &str, draft: Draft, now: i64) -> Result<(String, String), Error> {
        let phone = self.phone(number)?;
        if !phone.online {
            return Err(Error::Offline(number.to_owned()));
        }
        let chat = self
            .address(&draft.to)
            .ok_or_else(|| Error::NoSuchChat(draft.to.clone()))?;
        let quoted = match draft.quote {
            None => None,
            Some(id) => {
                let message = self.phone(number)?.find(&chat, &id).ok_or(Error::NoSuchMessage(id))?;
                let author = message.author.clone().unwrap_or_else(|| message.from.clone());
                Some(Quoted {
                    id: message.id.clone(),
                    body: message.body.clone(),
                    author: Some(author),
                })
            }
        };
        let letter = Letter {
            id: draft.id.unwrap_or_else(token::message),
            kind: draft.media.as_ref().map_or("chat", kind_of).to_owned(),
            body: if draft.media.is_some() {
                String::new()
            } else {
                draft.text.clone()
            },
            caption: if draft.media.is_some() {
                draft.text
            } else {
                String::new()
            },
            media: draft.media,
            at: draft.at.unwrap_or(now),
            quoted,
            mentions: draft.mentions,
            encrypted: draft.encrypted,
        };
        let id = letter.id.clone();
        if self.phone(number)?.chats.get(&chat).is_some_and(|log| log.unread() > 0) {
            self.read(number, &chat, None, now);
        }
        self.post(number, None, &chat, letter, now)?;
        self.touch();
        Ok((chat, id))
    }

    /// A page sends. The answer, and not an error of the socket, says that it was refused (library: `sendMsgResult`).
    pub(super) fn send(&mut self, line: u64, message: Message, again: bool, now: i64) {
        let Some((device, number)) = self.device_on(line) else {
            return;
        };
        let id = message.id.clone();
        let answer = match self.take_in(&number, &device, message, again, now) {
            Ok(_) if self.faults.mute_answers => return,
            Ok(t) => ToPage::Sent { id, t },
            Err(error) => ToPage::Refused { id, error },
        };
        self.say(line, answer);
    }

    /// Answers the time that counts, in seconds, or the `SendMsgResult` of a refusal.
    fn take_in(&mut self, number: &str, device: &str, message: Message, again: bool, now: i64) -> Result<i64, String> {
        let unknown = || "ERROR_UNKNOWN".to_owned();
        if let Some(error) = &self.faults.refuse_sends {
            return Err(error.clone());
        }
        let chat = self
            .address(&message.chat)
            .filter(|_| !message.id.is_empty())
            .ok_or_else(unknown)?;
        let known = self.phones.get(number).and_then(|phone| phone.find(&chat, &message.id));
        if let Some(known) = known.filter(|known| again && known.from_me) {
            return Ok(known.t);
        }
        // The server's clock counts (assumed; the real answer to a message carries `t`).
        let letter = Letter {
            id: message.id,
            kind: message.kind,
            body: message.body,
            caption: message.caption,
            media: message
                .media
                .filter(|medium| self.files.get(&medium.reference).is_some()),
            at: now,
            quoted: message.quoted,
            mentions: message.mentions,
            encrypted: false,
        };
        self.post(number, Some(device), &chat, letter, now)
            .map_err(|_| unknown())?;
        Ok(now / 1000)
    }

    /// The id of the chat with whom `to` names; `None` if there is nobody.
    pub(super) fn address(&self, to: &str) -> Option<String> {
        if self.groups.contains_key(to) {
            return Some(to.to_owned());
        }
        self.whose(to).map(super::phone::Phone::wid)
    }

    /// Hands a message to everybody. `device` is the one that has it already.
    fn post(&mut self, number: &str, device: Option<&str>, chat: &str, letter: Letter, now: i64) -> Result<(), Error> {
        if letter.body.chars().count() > LONGEST {
            return Err(Error::Malformed {
                what: "a text",
                why: "is at most 65,536 characters",
            });
        }
        let group = chat.ends_with("@g.us");
        let encrypted = letter.encrypted;
        let members = match self.groups.get(chat) {
            Some(group) if !group.members.iter().any(|member| member == number) => {
                return Err(Error::NotAMember {
                    number: number.to_owned(),
                    group: chat.to_owned(),
                });
            }
            Some(group) => group.members.clone(),
            None => vec![digits(chat.trim_end_matches("@c.us"))?],
        };
        let recipients: Vec<String> = members.into_iter().filter(|member| member != number).collect();
        let sender = self.phone(number)?;
        let (me, name) = (sender.wid(), sender.name.clone());
        let own = Message {
            id: letter.id,
            chat: chat.to_owned(),
            from: me.clone(),
            to: chat.to_owned(),
            author: group.then(|| me.clone()),
            from_me: true,
            kind: letter.kind,
            body: letter.body,
            t: letter.at.div_euclid(1000),
            name,
            quoted: letter.quoted,
            mentions: letter.mentions,
            media: letter.media,
            caption: letter.caption,
            // What one writes to oneself is read (assumed).
            ack: if recipients.is_empty() && !group {
                ack::READ
            } else {
                ack::SENT
            },
            ..Message::default()
        };
        let receipts: BTreeMap<String, i8> = recipients.iter().map(|other| (wid(other), ack::SENT)).collect();
        let entry = Entry {
            message: own.clone(),
            at: letter.at,
            receipts,
            given: 0,
        };
        self.phone_mut(number)?.keep(entry);
        // The account's other devices get it as a message from itself (library: `isSentByMe` of `chat.new_message`).
        self.queue(
            number,
            device,
            &Item::Message {
                message: Box::new(own.clone()),
                offline: false,
            },
        );

        for other in recipients {
            let there = wid(&other);
            let theirs = Message {
                chat: if group { chat.to_owned() } else { me.clone() },
                from: if group { chat.to_owned() } else { me.clone() },
                to: there,
                from_me: false,
                ..own.clone()
            };
            let chat = theirs.chat.clone();
            let entry = Entry {
                message: theirs.clone(),
                at: letter.at,
                receipts: BTreeMap::new(),
                given: 0,
            };
            let Ok(phone) = self.phone_mut(&other) else { continue };
            phone.keep(entry);
            let online = phone.online;
            let id = theirs.id.clone();
            let message = if encrypted {
                Message {
                    kind: "ciphertext".to_owned(),
                    body: String::new(),
                    caption: String::new(),
                    media: None,
                    quoted: None,
                    mentions: Vec::new(),
                    ..theirs
                }
            } else {
                theirs
            };
            self.queue(
                &other,
                None,
                &Item::Message {
                    message: Box::new(message),
                    offline: false,
                },
            );
            if online {
                self.deliver(&other, &chat, Some(&id), now);
            }
        }
        Ok(())
    }

    /// The phone sends the keys of a message that it wrote `encrypted`: the same stanza, which can be read now (assumed: the
    /// real one answers a retry receipt of each device).
    pub(super) fn send_keys(&mut self, number: &str, id: &str) -> Result<(), Error> {
        let unknown = || Error::NoSuchMessage(id.to_owned());
        let phone = self.phone(number)?;
        let mine = |log: &super::log::Log| Some(log.find(id)?.message.clone()).filter(|message| message.from_me);
        let own = phone.chats.values().find_map(mine).ok_or_else(unknown)?;
        let chat = if own.chat.ends_with("@g.us") {
            own.chat
        } else {
            phone.wid()
        };
        let others: Vec<(String, Message)> = self
            .phones
            .values()
            .filter(|other| other.number != number)
            .filter_map(|other| Some((other.number.clone(), other.find(&chat, id)?.clone())))
            .collect();
        for (other, message) in others {
            self.queue(
                &other,
                None,
                &Item::Message {
                    message: Box::new(message),
                    offline: false,
                },
            );
        }
        self.touch();
        Ok(())
    }

    /// An account has a message of others (with no `id`, all of the chat) on one of its devices: the first that has it
    /// says so (assumed of WhatsApp's multi-device; it makes the second tick appear once).
    pub(super) fn deliver(&mut self, number: &str, chat: &str, id: Option<&str>, now: i64) {
        let ids = id.map(|id| [id.to_owned()]);
        let Ok(phone) = self.phone_mut(number) else { return };
        let given = phone.give(chat, ids.as_ref().map(<[String; 1]>::as_slice), ack::DELIVERED);
        self.receipts(number, chat, given, ack::DELIVERED, now);
    }

    /// The account looks at messages of others (with no `ids`, all of the chat), on the phone or on a device.
    pub(super) fn read(&mut self, number: &str, chat: &str, ids: Option<&[String]>, now: i64) -> usize {
        let Ok(phone) = self.phone_mut(number) else { return 0 };
        let given = phone.give(chat, ids, ack::READ);
        let count = given.len();
        if count > 0 {
            self.receipts(number, chat, given, ack::READ, now);
            // All devices of the account show the chat as read (library: `chat.unread_count_changed`).
            let chat = self.chat(number, chat);
            self.queue(number, None, &Item::Chat { chat });
        }
        self.touch();
        count
    }

    /// Carries receipts to those who wrote the messages, one item for each author.
    fn receipts(&mut self, number: &str, chat: &str, given: Vec<(String, String)>, level: i8, now: i64) {
        let reader = wid(number);
        let mut by_author: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (author, id) in given {
            by_author.entry(author).or_default().push(id);
        }
        for (author, ids) in by_author {
            let number = author.trim_end_matches("@c.us").to_owned();
            let chat = if chat.ends_with("@g.us") {
                chat.to_owned()
            } else {
                reader.clone()
            };
            // Messages whose own ack comes out different are told apart, so that `level` holds for every id of an item.
            let mut by_level: BTreeMap<i8, Vec<String>> = BTreeMap::new();
            for id in ids {
                let noted = self
                    .phones
                    .get_mut(&number)
                    .and_then(|phone| phone.note(&chat, &id, &reader, level));
                if let Some(lowest) = noted {
                    by_level.entry(lowest).or_default().push(id);
                }
            }
            for (lowest, ids) in by_level {
                let item = Item::Receipt {
                    chat: chat.clone(),
                    ids,
                    ack: level,
                    sender: reader.clone(),
                    level: lowest,
                    t: now / 1000,
                };
                self.queue(&number, None, &item);
            }
        }
    }
}

#[cfg(test)]
mod tests;
