//! Messages and receipts: from one account to the others, and to all devices of each.
//!
//! In: sends of pages and of phones, deliveries, reads. Out: entries on phones and items in the devices' queues. Must not
//! know sockets (it answers a send by `say` alone).

use std::collections::BTreeMap;

use super::Error;
use super::phone::{Entry, wid};
use super::protocol::{Item, Message, Quoted, ToPage, ack};
use super::token;
use super::world::{Parcel, Waiting, World, digits};

/// Items that wait for a device; see [`super::world::Linked::queue`].
pub(super) const QUEUE: usize = 50_000;

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
}

/// A message on its way, before each account has its own view of it.
struct Letter {
    id: String,
    kind: String,
    body: String,
    at: i64,
    quoted: Option<Quoted>,
    mentions: Vec<String>,
}

impl World {
    /// A person writes on a phone. Who writes in a chat has looked at it: what was unread in it is read (assumed of people).
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
            kind: "chat".to_owned(),
            body: draft.text,
            at: draft.at.unwrap_or(now),
            quoted,
            mentions: draft.mentions,
        };
        let id = letter.id.clone();
        if self.phone(number)?.chats.get(&chat).is_some_and(|log| log.unread > 0) {
            self.read(number, &chat, None, now);
        }
        self.post(number, None, &chat, letter, now)?;
        self.touch();
        Ok((chat, id))
    }

    /// A page sends. The answer, and not an error of the socket, says that it was refused (library: `sendMsgResult`).
    pub(super) fn send(&mut self, line: u64, message: Message, now: i64) {
        let Some((device, number)) = self.device_on(line) else {
            return;
        };
        let id = message.id.clone();
        let refusal = self.faults.refuse_sends.clone().or_else(|| {
            let known = self.address(&message.chat).filter(|_| !message.id.is_empty());
            let Some(chat) = known else {
                return Some("ERROR_UNKNOWN".to_owned());
            };
            // The server's clock counts (assumed; the real answer to a message carries `t`).
            let letter = Letter {
                id: message.id,
                kind: message.kind,
                body: message.body,
                at: now,
                quoted: message.quoted,
                mentions: message.mentions,
            };
            self.post(&number, Some(&device), &chat, letter, now)
                .err()
                .map(|_| "ERROR_UNKNOWN".to_owned())
        });
        match refusal {
            Some(error) => self.say(line, ToPage::Refused { id, error }),
            None if self.faults.mute_answers => {}
            None => self.say(line, ToPage::Sent { id, t: now / 1000 }),
        }
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
            // What one writes to oneself is read (assumed).
            ack: if recipients.is_empty() && !group {
                ack::READ
            } else {
                ack::SENT
            },
        };
        let receipts: BTreeMap<String, u8> = recipients.iter().map(|other| (wid(other), ack::SENT)).collect();
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
                message: own.clone(),
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
            self.queue(
                &other,
                None,
                &Item::Message {
                    message: theirs,
                    offline: false,
                },
            );
            if online {
                self.deliver(&other, &chat, Some(&id), now);
            }
        }
        Ok(())
    }

    /// An account has a message of others (with no `id`, all of the chat) on one of its devices: the first that has it says
    /// so (assumed of WhatsApp's multi-device; it makes the second tick appear once).
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
    fn receipts(&mut self, number: &str, chat: &str, given: Vec<(String, String)>, level: u8, now: i64) {
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
            let mut by_level: BTreeMap<u8, Vec<String>> = BTreeMap::new();
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

    /// Puts an item into the queue of every device of an account but `except`.
    pub(super) fn queue(&mut self, number: &str, except: Option<&str>, item: &Item) {
        let mut lost = Vec::new();
        for (id, linked) in self.devices.iter_mut().filter(|(_, linked)| linked.number == number) {
            if except == Some(id.as_str()) {
                continue;
            }
            if linked.queue.len() >= QUEUE {
                lost.push(id.clone());
                continue;
            }
            let mut item = item.clone();
            if let Item::Message { offline, .. } = &mut item {
                *offline = linked.line.is_none();
            }
            linked.last += 1;
            linked.queue.push_back(Waiting {
                n: linked.last,
                what: Parcel::Item(item),
            });
        }
        for id in lost {
            self.unlink_device(&id);
        }
    }

    /// A device has stored an item. A message it has counts as delivered, also when the phone is away.
    pub(super) fn got(&mut self, line: u64, n: u64, now: i64) {
        let Some((device, number)) = self.device_on(line) else {
            return;
        };
        let Some(linked) = self.devices.get_mut(&device) else {
            return;
        };
        let Ok(at) = linked.queue.binary_search_by_key(&n, |waiting| waiting.n) else {
            return;
        };
        if let Some(Waiting {
            what: Parcel::Item(Item::Message { message, .. }),
            ..
        }) = linked.queue.remove(at)
            && !message.from_me
        {
            self.deliver(&number, &message.chat, Some(&message.id), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Device, ToServer};
    use super::*;

    /// Ada and Bob have phones, Cleo as well; Ada has as many linked devices as asked for.
    struct Town {
        world: World,
        lines: Vec<u64>,
        devices: Vec<Device>,
    }

    impl Town {
        fn new(devices: usize) -> Self {
            let mut world = World::new(20_000);
            for (number, name) in [("100", "Ada"), ("200", "Bob"), ("300", "Cleo")] {
                world.add_phone(number, name).unwrap();
            }
            let mut town = Self {
                world,
                lines: Vec::new(),
                devices: Vec::new(),
            };
            for _ in 0..devices {
                town.link("100");
            }
            town
        }

        fn link(&mut self, number: &str) {
            let line = self.world.connect();
            self.world.receive(line, ToServer::Hello { device: None }, 0);
            let Some(ToPage::Qr { reference, .. }) = self.world.take(line).frames.pop() else {
                panic!("no code")
            };
            self.world.scan(number, &reference, 0).unwrap();
            for frame in self.world.take(line).frames {
                if let ToPage::Paired { device, .. } = frame {
                    self.devices.push(device);
                }
            }
            self.world.receive(line, ToServer::Got { n: 1 }, 0);
            self.lines.push(line);
        }

        fn write(&mut self, from: &str, to: &str, text: &str) -> String {
            let draft = Draft {
                to: to.to_owned(),
                text: text.to_owned(),
                ..Draft::default()
            };
            self.world.write(from, draft, 5_000).unwrap().1
        }

        fn send(&mut self, line: u64, id: &str, chat: &str, text: &str) {
            let message = serde_json::json!({"id": id, "chat": chat, "body": text});
            let message = serde_json::from_value(message).unwrap();
            self.world.receive(line, ToServer::Send { message }, 7_500);
        }

        fn items(&mut self, line: u64) -> Vec<Item> {
            let frames = self.world.take(line).frames.into_iter();
            frames
                .filter_map(|frame| {
                    if let ToPage::Item { item, .. } = frame {
                        Some(item)
                    } else {
                        None
                    }
                })
                .collect()
        }

        fn acks(&self, number: &str, chat: &str) -> Vec<u8> {
            self.world.phones[number].chats[chat]
                .entries
                .iter()
                .map(|entry| entry.message.ack)
                .collect()
        }

        fn bodies(&self, number: &str, chat: &str) -> Vec<String> {
            let log = self.world.phones[number].chats.get(chat);
            log.into_iter()
                .flat_map(|log| &log.entries)
                .map(|entry| entry.message.body.clone())
                .collect()
        }
    }

    #[test]
    fn a_message_of_a_page_is_sent_delivered_and_read() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        town.send(line, "3EB0A", "200@c.us", "hello");
        let frames = town.world.take(line).frames;
        assert_eq!(
            frames[0],
            ToPage::Sent {
                id: "3EB0A".to_owned(),
                t: 7
            }
        );
        assert!(
            matches!(&frames[1], ToPage::Item { item: Item::Receipt { ack: 2, level: 2, chat, sender, .. }, .. }
            if chat == "200@c.us" && sender == "200@c.us")
        );
        assert_eq!(town.bodies("200", "100@c.us"), ["hello"]);
        town.world.read("200", "100@c.us", None, 9_000);
        assert!(matches!(&town.items(line)[..], [Item::Receipt { ack: 3, ids, .. }] if ids == &["3EB0A"]));
        assert_eq!(town.acks("100", "200@c.us"), [ack::READ]);
    }

    #[test]
    fn an_id_that_is_sent_twice_is_delivered_twice() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        town.send(line, "3EB0A", "200@c.us", "hello");
        town.send(line, "3EB0A", "200@c.us", "hello");
        assert_eq!(town.bodies("200", "100@c.us"), ["hello", "hello"]);
        let sent = town
            .world
            .take(line)
            .frames
            .into_iter()
            .filter(|frame| matches!(frame, ToPage::Sent { .. }))
            .count();
        assert_eq!(sent, 2);
    }

    #[test]
    fn a_phone_without_network_acknowledges_when_it_is_back() {
        let mut town = Town::new(0);
        town.world.set_online("200", false, 0).unwrap();
        town.write("100", "200", "hello");
        assert_eq!(town.acks("100", "200@c.us"), [ack::SENT]);
        assert!(matches!(
            town.world.write("200", Draft::default(), 0),
            Err(Error::Offline(_))
        ));
        town.world.set_online("200", true, 0).unwrap();
        assert_eq!(town.acks("100", "200@c.us"), [ack::DELIVERED]);
    }

    #[test]
    fn a_linked_device_acknowledges_for_a_phone_without_network() {
        let mut town = Town::new(1);
        town.world.set_online("100", false, 0).unwrap();
        town.write("200", "100", "hello");
        assert_eq!(town.acks("200", "100@c.us"), [ack::SENT]);
        let line = town.lines[0];
        assert_eq!(town.items(line).len(), 1);
        town.world.receive(line, ToServer::Got { n: 2 }, 0);
        assert_eq!(town.acks("200", "100@c.us"), [ack::DELIVERED]);
    }

    #[test]
    fn every_device_of_an_account_has_every_message_once() {
        let mut town = Town::new(2);
        let (first, second) = (town.lines[0], town.lines[1]);
        town.send(first, "3EB0A", "200@c.us", "from the first");
        town.write("100", "200", "from the phone");
        town.write("200", "100", "from Bob");
        let bodies = |items: Vec<Item>| -> Vec<String> {
            let bodies = items.into_iter().filter_map(|item| match item {
                Item::Message { message, .. } => Some(message.body),
                _ => None,
            });
            bodies.collect()
        };
        let (at_first, at_second) = (town.items(first), town.items(second));
        assert_eq!(bodies(at_first), ["from the phone", "from Bob"]);
        assert_eq!(bodies(at_second), ["from the first", "from the phone", "from Bob"]);
    }

    #[test]
    fn two_accounts_write_to_each_other() {
        let mut town = Town::new(1);
        town.link("200");
        let (ada, bob) = (town.lines[0], town.lines[1]);
        town.send(ada, "A", "200@c.us", "ping");
        let items = town.items(bob);
        let [
            Item::Message {
                message,
                offline: false,
            },
        ] = &items[..]
        else {
            panic!("{items:?}")
        };
        let seen = (
            message.chat.as_str(),
            message.from.as_str(),
            message.to.as_str(),
            message.from_me,
            message.name.as_str(),
        );
        assert_eq!(seen, ("100@c.us", "100@c.us", "200@c.us", false, "Ada"));
        let lid = town.world.phones["100"].lid.clone();
        town.send(bob, "B", &lid, "pong");
        assert_eq!(town.bodies("100", "200@c.us"), ["ping", "pong"]);
    }

    #[test]
    fn a_group_has_authors_and_a_receipt_of_each_member() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        let members = ["100", "200", "300"].map(str::to_owned);
        let group = town.world.add_group("Lunch", &members, 0).unwrap();
        assert!(
            matches!(&town.items(line)[..], [Item::Group { chat }] if chat.participants.len() == 3 && chat.name == "Lunch")
        );
        town.write("200", &group, "pizza?");
        let items = town.items(line);
        let [Item::Message { message, .. }] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!(
            (message.chat.as_str(), message.from.as_str()),
            (group.as_str(), group.as_str())
        );
        assert_eq!(message.author.as_deref(), Some("200@c.us"));

        town.send(line, "3EB0A", &group, "yes");
        town.world.read("200", &group, None, 0);
        town.world.read("300", &group, None, 0);
        let receipts: Vec<(String, u8, u8)> = town
            .items(line)
            .into_iter()
            .filter_map(|item| match item {
                Item::Receipt { sender, ack, level, .. } => Some((sender, ack, level)),
                _ => None,
            })
            .collect();
        let (bob, cleo) = ("200@c.us".to_owned(), "300@c.us".to_owned());
        assert_eq!(
            receipts,
            [(bob.clone(), 2, 1), (cleo.clone(), 2, 2), (bob, 3, 2), (cleo, 3, 3)]
        );
    }

    #[test]
    fn who_is_not_in_a_group_cannot_write_to_it() {
        let mut town = Town::new(1);
        let group = town.world.add_group("Lunch", &["200".to_owned()], 0).unwrap();
        let line = town.lines[0];
        town.send(line, "3EB0A", &group, "hello");
        assert_eq!(
            town.world.take(line).frames,
            [ToPage::Refused {
                id: "3EB0A".to_owned(),
                error: "ERROR_UNKNOWN".to_owned()
            }]
        );
        assert!(town.bodies("200", &group).is_empty());
    }

    #[test]
    fn a_refused_send_reaches_nobody_and_a_muted_one_is_not_answered() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        town.world.faults.refuse_sends = Some("ERROR_NETWORK".to_owned());
        town.send(line, "A", "200@c.us", "one");
        assert_eq!(
            town.world.take(line).frames,
            [ToPage::Refused {
                id: "A".to_owned(),
                error: "ERROR_NETWORK".to_owned()
            }]
        );
        town.world.faults = super::super::world::Faults {
            mute_answers: true,
            ..Default::default()
        };
        town.send(line, "B", "200@c.us", "two");
        assert!(
            !town
                .world
                .take(line)
                .frames
                .iter()
                .any(|frame| matches!(frame, ToPage::Sent { .. }))
        );
        assert_eq!(town.bodies("200", "100@c.us"), ["two"]);
    }

    #[test]
    fn reading_on_a_device_reads_on_all_and_tells_the_writer() {
        let mut town = Town::new(2);
        let (first, second) = (town.lines[0], town.lines[1]);
        town.write("200", "100", "hello");
        assert_eq!(town.world.phones["100"].chats["200@c.us"].unread, 1);
        town.items(second);
        town.world.receive(
            first,
            ToServer::Read {
                chat: "200@c.us".to_owned(),
                ids: Vec::new(),
            },
            0,
        );
        assert!(matches!(&town.items(second)[..], [Item::Chat { chat }] if chat.unread == 0));
        assert_eq!(town.acks("200", "100@c.us"), [ack::READ]);
    }

    #[test]
    fn who_answers_a_message_quotes_it_and_has_read_it() {
        let mut town = Town::new(0);
        let id = town.write("200", "100", "how much?");
        let draft = Draft {
            to: "200".into(),
            text: "ten".into(),
            quote: Some(id.clone()),
            ..Draft::default()
        };
        town.world.write("100", draft, 0).unwrap();
        let answer = &town.world.phones["200"].chats["100@c.us"].entries[1].message;
        let quoted = Quoted {
            id,
            body: "how much?".into(),
            author: Some("200@c.us".into()),
        };
        assert_eq!(answer.quoted, Some(quoted));
        assert_eq!(town.acks("200", "100@c.us").first(), Some(&ack::READ));
        assert_eq!(town.acks("100", "200@c.us").last(), Some(&ack::DELIVERED));
        let draft = Draft {
            to: "200".into(),
            quote: Some("nothing".into()),
            ..Draft::default()
        };
        assert!(matches!(
            town.world.write("100", draft, 0),
            Err(Error::NoSuchMessage(_))
        ));
    }

    #[test]
    fn a_device_that_stays_away_too_long_is_unlinked() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        town.world.disconnect(line);
        let item = Item::Chat {
            chat: town.world.chat("100", "200@c.us"),
        };
        for _ in 0..QUEUE {
            town.world.queue("100", None, &item);
        }
        assert_eq!(town.world.devices.len(), 1);
        town.world.queue("100", None, &item);
        assert!(town.world.devices.is_empty());
        let line = town.world.connect();
        let device = town.devices.remove(0);
        town.world.receive(line, ToServer::Hello { device: Some(device) }, 0);
        assert_eq!(town.world.take(line).frames, [ToPage::Unpaired]);
    }

    #[test]
    fn what_one_writes_to_oneself_is_there_once() {
        let mut town = Town::new(1);
        let line = town.lines[0];
        town.send(line, "A", "100@c.us", "milk");
        assert_eq!(town.bodies("100", "100@c.us"), ["milk"]);
        assert_eq!(town.world.phones["100"].chats["100@c.us"].unread, 0);
        assert_eq!(
            town.world.take(line).frames,
            [ToPage::Sent {
                id: "A".to_owned(),
                t: 7
            }]
        );
    }
}
