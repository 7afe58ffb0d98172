//! The server's whole state: phones, groups, linked devices, lines to pages, faults.
//!
//! In: calls of the control API and frames of pages (`link` and `post` hold those parts). Out: frames, taken line by
//! line, and a counter that tells who waits that something has changed. Must not do I/O and must not read the clock:
//! `now`, in ms since 1970, is passed in.
//!
//! Everything is in memory. A simulator that starts again knows no device, and pages that were linked are told
//! `unpaired`.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::Error;
use super::files::Files;
use super::phone::{Phone, wid};
use super::protocol::{Barrier, Chat, Device, Item, Participant, ToPage};
use super::token;

/// The state. One lock holds it; nothing awaits while it is held.
#[derive(Debug)]
pub(super) struct World {
    /// By number.
    pub(super) phones: BTreeMap<String, Phone>,
    /// By `…@g.us`.
    pub(super) groups: BTreeMap<String, Group>,
    /// Linked devices, by id.
    pub(super) devices: BTreeMap<String, Linked>,
    /// Open sockets.
    pub(super) lines: BTreeMap<u64, Line>,
    /// What goes wrong on purpose.
    pub(super) faults: Faults,
    /// How long a code is shown, in ms.
    pub(super) qr_ttl: i64,
    /// Links that pages have followed, under `follow_links`.
    pub(super) followed: u64,
    /// What messages carry.
    pub(super) files: Files,
    next_line: u64,
    changed: watch::Sender<u64>,
}

/// A group.
#[derive(Debug)]
pub(super) struct Group {
    /// Its subject.
    pub(super) name: String,
    /// Numbers; the first one made it and is its admin (assumed: the real one has an admin who made it, and may have more).
    pub(super) members: Vec<String>,
    /// When it was made, in ms.
    pub(super) at: i64,
}

/// A browser that is linked to a phone.
#[derive(Debug)]
pub(super) struct Linked {
    /// What the page keeps.
    pub(super) device: Device,
    /// Of which phone.
    pub(super) number: String,
    /// When it was linked, in ms.
    pub(super) at: i64,
    /// What it has not confirmed yet. At most [`super::queue::QUEUE`]; a device that falls further behind is unlinked,
    /// as WhatsApp does with one that stays away for weeks (its help pages), rather than served with a gap.
    pub(super) queue: VecDeque<Waiting>,
    /// The number of the last item.
    pub(super) last: u64,
    /// Its socket, if it is there.
    pub(super) line: Option<u64>,
}

/// Something that a device has not confirmed yet.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Its number.
    pub(super) n: u64,
    /// What it is.
    pub(super) what: Parcel,
}

/// What can wait for a device.
#[derive(Debug)]
pub(super) enum Parcel {
    /// All chats, after linking.
    History(Vec<Chat>),
    /// Anything later.
    Item(Item),
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Line {
    /// Where its conversation is.
    pub(super) stage: Stage,
    /// Answers that are not written yet. They come from the page's own frames, which are read only when all answers are
    /// written, and from a few acts of people; it needs no bound of its own.
    pub(super) out: VecDeque<ToPage>,
    /// No frame follows those in `out`.
    pub(super) closing: bool,
}

/// Where the conversation on a line is.
#[derive(Debug)]
pub(super) enum Stage {
    /// No `hello` yet.
    New,
    /// It shows a code.
    Code { reference: String, round: u32, until: i64 },
    /// It has shown all its codes.
    Idle,
    /// It is a linked device. `written`: the last item written to this line; `catching_up`: the last item of those that
    /// come before `synced`, `None` once that is said.
    Linked {
        device: String,
        written: u64,
        catching_up: Option<u64>,
    },
}

/// What goes wrong on purpose. Each call of the control API sets all of them anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Faults {
    /// Every send of a page is refused with this `SendMsgResult`.
    pub(super) refuse_sends: Option<String>,
    /// A send of a page is taken and delivered, but its `sent` is never written.
    pub(super) mute_answers: bool,
    /// All sockets are cut once, now.
    #[serde(skip_serializing)]
    pub(super) drop_sockets: bool,
    /// Every linked page is told once, now, that its device has connected elsewhere.
    #[serde(skip_serializing)]
    pub(super) conflict: bool,
    /// New sockets are turned away: with `drop_sockets`, an outage.
    pub(super) refuse_sockets: bool,
    /// Pages are told this and are not served.
    pub(super) block: Option<Barrier>,
    /// `/` is something else than WhatsApp Web.
    pub(super) unrecognised_page: Option<Stranger>,
    /// The page is served without its policy, and follows each link of each message in all ways that a page has. Stands
    /// for a page that was tampered with.
    pub(super) follow_links: bool,
    /// Every frame for a page waits this long, in ms, at most 60,000.
    pub(super) delay_ms: u64,
}

/// What can stand in place of WhatsApp Web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stranger {
    /// An error page with status 404.
    #[serde(rename = "404")]
    NotFound,
    /// A document with nothing in it.
    #[serde(rename = "empty")]
    Empty,
    /// The sign-in form of a network that wants to be asked first.
    #[serde(rename = "login")]
    Login,
    /// The way to another site, as a network's sign-in page is often shown.
    #[serde(rename = "302")]
    Elsewhere,
}

impl World {
    /// Nobody and nothing.
    pub(super) fn new(qr_ttl: i64) -> Self {
        Self {
            phones: BTreeMap::new(),
            groups: BTreeMap::new(),
            devices: BTreeMap::new(),
            lines: BTreeMap::new(),
            faults: Faults::default(),
            qr_ttl,
            followed: 0,
            files: Files::default(),
            next_line: 0,
            changed: watch::Sender::new(0),
        }
    }

    /// Tells of every change; the number itself means nothing.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// To be called after every change.
    pub(super) fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A number that no line has had.
    pub(super) fn line_number(&mut self) -> u64 {
        self.next_line += 1;
        self.next_line
    }

    /// Puts a phone into the world.
    pub(super) fn add_phone(&mut self, number: &str, name: &str) -> Result<(), Error> {
        let number = digits(number)?;
        if self.phones.contains_key(&number) {
            return Err(Error::PhoneExists(number));
        }
        let name = if name.trim().is_empty() {
            number.clone()
        } else {
            name.trim().to_owned()
        };
        self.phones.insert(number.clone(), Phone::new(number, name));
        self.touch();
        Ok(())
    }

    /// Takes a phone's network away or gives it back. Back on, it acknowledges what came meanwhile (assumed: known of the real
    /// phone from the second tick alone).
    pub(super) fn set_online(&mut self, number: &str, online: bool, now: i64) -> Result<(), Error> {
        let phone = self.phone_mut(number)?;
        phone.online = online;
        let chats: Vec<String> = phone.chats.keys().cloned().collect();
        if online {
            for chat in chats {
                self.deliver(number, &chat, None, now);
            }
        }
        self.touch();
        Ok(())
    }

    /// Makes a group; its members' devices are told at once.
    pub(super) fn add_group(&mut self, name: &str, members: &[String], now: i64) -> Result<String, Error> {
        let mut numbers: Vec<String> = Vec::new();
        for member in members {
            let number = self.phone(&digits(member)?)?.number.clone();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
        if numbers.is_empty() {
            return Err(Error::Malformed {
                what: "a group",
                why: "needs at least one member that has a phone",
            });
        }
        let id = token::group();
        let group = Group {
            name: name.to_owned(),
            members: numbers.clone(),
            at: now,
        };
        self.groups.insert(id.clone(), group);
        for number in &numbers {
            let phone = self.phone_mut(number)?;
            phone.chats.entry(id.clone()).or_default().at = now;
            let chat = self.chat(number, &id);
            self.queue(number, None, &Item::Group { chat });
        }
        self.touch();
        Ok(id)
    }

    /// A phone by its number.
    pub(super) fn phone(&self, number: &str) -> Result<&Phone, Error> {
        self.phones.get(number).ok_or_else(|| Error::NoPhone(number.to_owned()))
    }

    /// The same, to change it.
    pub(super) fn phone_mut(&mut self, number: &str) -> Result<&mut Phone, Error> {
        self.phones
            .get_mut(number)
            .ok_or_else(|| Error::NoPhone(number.to_owned()))
    }

    /// The phone behind `NUMBER`, `NUMBER@c.us`, `NUMBER@s.whatsapp.net` or a lid.
    pub(super) fn whose(&self, id: &str) -> Option<&Phone> {
        match id.split_once('@') {
            Some((_, "lid")) => self.phones.values().find(|phone| phone.lid == id),
            Some((number, "c.us" | "s.whatsapp.net")) => self.phones.get(number),
            Some(_) => None,
            None => self.phones.get(&digits(id).ok()?),
        }
    }

    /// A chat of an account as its devices are told of it, without its messages.
    pub(super) fn chat(&self, number: &str, id: &str) -> Chat {
        let log = self.phones.get(number).and_then(|phone| phone.chats.get(id));
        let group = self.groups.get(id);
        let other = if group.is_none() { self.whose(id) } else { None };
        let name = match (group, other) {
            (Some(group), _) => group.name.clone(),
            (None, Some(other)) => other.name.clone(),
            (None, None) => id.to_owned(),
        };
        Chat {
            id: id.to_owned(),
            lid: other.map(|other| other.lid.clone()),
            name,
            unread: log.map_or(0, |log| log.unread()),
            group: group.is_some(),
            participants: group.map_or_else(Vec::new, |group| self.participants(group)),
            t: log.map_or(0, |log| log.at / 1000),
            messages: Vec::new(),
        }
    }

    fn participants(&self, group: &Group) -> Vec<Participant> {
        let known = group
            .members
            .iter()
            .enumerate()
            .filter_map(|(at, number)| Some((at, self.phones.get(number)?)));
        known
            .map(|(at, phone)| Participant {
                id: wid(&phone.number),
                lid: phone.lid.clone(),
                name: phone.name.clone(),
                admin: at == 0,
            })
            .collect()
    }
}

/// A phone number as digits; a plus, blanks and hyphens are left out. E.164 allows 15 digits.
pub(super) fn digits(text: &str) -> Result<String, Error> {
    let plain: String = text.chars().filter(|c| !matches!(c, '+' | ' ' | '-')).collect();
    if (3..=15).contains(&plain.len()) && plain.bytes().all(|c| c.is_ascii_digit()) {
        Ok(plain)
    } else {
        Err(Error::Malformed {
            what: "a phone number",
            why: "is 3 to 15 digits",
        })
    }
}
