//! Messages and receipts, tried on the model.

use super::super::protocol::{Device, ToServer};
use super::super::queue::QUEUE;
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
        self.order(
            line,
            serde_json::json!({"op": "send", "message": {"id": id, "chat": chat, "body": text}}),
        );
    }

    fn order(&mut self, line: u64, frame: serde_json::Value) {
        self.world.receive(line, serde_json::from_value(frame).unwrap(), 7_500);
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

    fn acks(&self, number: &str, chat: &str) -> Vec<i8> {
        self.world.phones[number].chats[chat]
            .entries()
            .map(|entry| entry.message.ack)
            .collect()
    }

    fn bodies(&self, number: &str, chat: &str) -> Vec<String> {
        let log = self.world.phones[number].chats.get(chat);
        log.into_iter()
            .flat_map(|log| log.entries())
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
fn what_a_page_sends_again_by_itself_is_delivered_once() {
    let mut town = Town::new(1);
    let line = town.lines[0];
    let frame = serde_json::json!({"op": "send", "again": true, "message": {"id": "3EB0A", "chat": "200@c.us", "body": "hello"}});
    town.order(line, frame.clone());
    town.order(line, frame);
    assert_eq!(town.bodies("200", "100@c.us"), ["hello"]);
    let sent = town
        .world
        .take(line)
        .frames
        .into_iter()
        .filter(|frame| matches!(frame, ToPage::Sent { .. }))
        .count();
    assert_eq!(sent, 2, "each is answered");
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
    let receipts: Vec<(String, i8, i8)> = town
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
    assert_eq!(town.world.phones["100"].chats["200@c.us"].unread(), 1);
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
    let answer = &town.world.phones["200"].chats["100@c.us"]
        .entries()
        .nth(1)
        .unwrap()
        .message;
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
    assert_eq!(town.world.phones["100"].chats["100@c.us"].unread(), 0);
    assert_eq!(
        town.world.take(line).frames,
        [ToPage::Sent {
            id: "A".to_owned(),
            t: 7
        }]
    );
}
