//! Lines and linking: what happens on a socket from `hello` to its end.
//!
//! In: frames of a page, scans and removals of a phone. Out: the frames to write, in order. Must not carry messages itself
//! (`post` does) and must not do I/O.

use super::Error;
use super::phone::Phone;
use super::protocol::{Chat, Device, ToPage, ToServer};
use super::token;
use super::world::{Line, Linked, Parcel, Stage, Waiting, World};

/// Codes that a page gets before it must ask again (public issues of whatsapp-web.js and wppconnect: a handful, then
/// `UNPAIRED_IDLE`).
pub(super) const ROUNDS: u32 = 6;

/// Devices that a phone can link (WhatsApp's help pages).
const DEVICES: usize = 4;

/// Messages of a chat that a new device gets (assumed: enough for more than one page of history).
const HISTORY: usize = 200;

/// Frames that are taken from a queue at once.
const BATCH: usize = 256;

/// What is to be written to a line now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Outgoing {
    /// In this order.
    pub(super) frames: Vec<ToPage>,
    /// The socket is closed after them.
    pub(super) close: bool,
}

impl World {
    /// A page has connected.
    pub(super) fn connect(&mut self) -> u64 {
        let line = self.line_number();
        self.lines.insert(
            line,
            Line {
                stage: Stage::New,
                out: Default::default(),
                closing: false,
            },
        );
        self.touch();
        line
    }

    /// The socket is gone.
    pub(super) fn disconnect(&mut self, line: u64) {
        self.lines.remove(&line);
        for linked in self.devices.values_mut().filter(|linked| linked.line == Some(line)) {
            linked.line = None;
        }
        self.touch();
    }

    /// A frame of a page. A frame that does not fit the stage is passed over: pages of other tabs may be older than the
    /// server's state.
    pub(super) fn receive(&mut self, line: u64, frame: ToServer, now: i64) {
        match frame {
            ToServer::Hello { device } => self.hello(line, device, now),
            ToServer::Refresh => self.refresh(line, now),
            ToServer::Got { n } => self.got(line, n, now),
            ToServer::Send { message } => self.send(line, message, now),
            ToServer::Read { chat, ids } => {
                if let Some((_, number)) = self.device_on(line) {
                    let ids = (!ids.is_empty()).then_some(ids);
                    self.read(&number, &chat, ids.as_deref(), now);
                }
            }
            ToServer::Query { id, what, number } => {
                let who = if what == "exists" {
                    self.whose(&number).map(Phone::me)
                } else {
                    None
                };
                self.say(
                    line,
                    ToPage::Answer {
                        id,
                        exists: who.is_some(),
                        who,
                    },
                );
            }
            ToServer::Logout => {
                if let Some((device, _)) = self.device_on(line) {
                    self.unlink_device(&device);
                }
            }
        }
        self.touch();
    }

    fn hello(&mut self, line: u64, device: Option<Device>, now: i64) {
        let fresh = self
            .lines
            .get(&line)
            .is_some_and(|line| matches!(line.stage, Stage::New));
        match device {
            _ if !fresh => {}
            None => self.show(line, 1, now),
            Some(device) => match self
                .devices
                .get_mut(&device.id)
                .filter(|linked| linked.device.key == device.key)
            {
                Some(linked) => {
                    // The newer connection wins (library: stream mode CONFLICT, `Socket.takeover`).
                    let older = linked.line.replace(line);
                    let (number, last) = (linked.number.clone(), linked.last);
                    for waiting in &mut linked.queue {
                        waiting.mark_offline();
                    }
                    if let Some(older) = older {
                        self.end(older, ToPage::Conflict);
                    }
                    self.enter(line, &device.id, Some(last));
                    if let Some(me) = self.phones.get(&number).map(Phone::me) {
                        self.say(line, ToPage::Welcome { me });
                    }
                }
                // The phone has removed it while it was away (whatsapp-web.js: LOGOUT at the next start).
                None => self.end(line, ToPage::Unpaired),
            },
        }
    }

    /// Shows a code; the one before it is void.
    fn show(&mut self, line: u64, round: u32, now: i64) {
        let reference = token::reference();
        let until = now.saturating_add(self.qr_ttl);
        if let Some(line) = self.lines.get_mut(&line) {
            line.stage = Stage::Code {
                reference: reference.clone(),
                round,
                until,
            };
        }
        let ttl = u64::try_from(self.qr_ttl).unwrap_or(0);
        self.say(line, ToPage::Qr { reference, ttl, round });
    }

    fn refresh(&mut self, line: u64, now: i64) {
        let waits = |line: &Line| matches!(line.stage, Stage::Idle | Stage::Code { .. });
        if self.lines.get(&line).is_some_and(waits) {
            self.show(line, 1, now);
        }
    }

    /// When the code of a line ends, in ms; `None` if it shows none.
    pub(super) fn code_ends(&self, line: u64) -> Option<i64> {
        match self.lines.get(&line)?.stage {
            Stage::Code { until, .. } => Some(until),
            _ => None,
        }
    }

    /// Rotates the code of a line, if its time is over (library: a new `ref` is a new `auth_code_change`).
    pub(super) fn rotate(&mut self, line: u64, now: i64) {
        let Some(Stage::Code { round, until, .. }) = self.lines.get(&line).map(|line| &line.stage) else {
            return;
        };
        let (round, until) = (*round, *until);
        if until > now {
            return;
        }
        if round < ROUNDS {
            self.show(line, round + 1, now);
        } else {
            if let Some(line) = self.lines.get_mut(&line) {
                line.stage = Stage::Idle;
            }
            self.say(line, ToPage::Idle);
        }
        self.touch();
    }

    /// A phone scans the text of a code, or names its ref. Answers the new device's id.
    pub(super) fn scan(&mut self, number: &str, code: &str, now: i64) -> Result<String, Error> {
        let phone = self.phone(number)?;
        let me = phone.me();
        let reference = reference_of(code)?;
        if !phone.online {
            return Err(Error::Offline(number.to_owned()));
        }
        if self.devices_of(number).count() >= DEVICES {
            return Err(Error::TooManyDevices {
                number: number.to_owned(),
                max: DEVICES,
            });
        }
        let shows = |line: &Line| matches!(&line.stage, Stage::Code { reference: shown, until, .. } if shown == reference && *until > now);
        let line = self
            .lines
            .iter()
            .find(|(_, line)| shows(line))
            .map(|(number, _)| *number);
        let line = line.ok_or(Error::NoSuchCode)?;

        let device = Device {
            id: token::device(),
            key: token::key(),
        };
        let mut linked = Linked {
            device: device.clone(),
            number: number.to_owned(),
            at: now,
            queue: Default::default(),
            last: 1,
            line: Some(line),
        };
        linked.queue.push_back(Waiting {
            n: 1,
            what: Parcel::History(self.history(number)),
        });
        self.devices.insert(device.id.clone(), linked);
        self.enter(line, &device.id, Some(1));
        self.say(line, ToPage::Pairing);
        self.say(
            line,
            ToPage::Paired {
                device: device.clone(),
                me,
            },
        );
        self.touch();
        Ok(device.id)
    }

    /// What a new device learns of the past (library: history sync, `isNewMsg` false).
    fn history(&self, number: &str) -> Vec<Chat> {
        let Some(phone) = self.phones.get(number) else {
            return Vec::new();
        };
        let whole = phone.chats.iter().map(|(id, log)| {
            let from = log.entries.len().saturating_sub(HISTORY);
            let mut messages: Vec<_> = log
                .entries
                .iter()
                .skip(from)
                .map(|entry| entry.message.clone())
                .collect();
            messages.sort_by_key(|message| message.t);
            Chat {
                messages,
                ..self.chat(number, id)
            }
        });
        whole.collect()
    }

    /// The phone removes one of its devices, or all of them. Answers how many.
    pub(super) fn unlink(&mut self, number: &str, device: Option<&str>) -> Result<usize, Error> {
        self.phone(number)?;
        let wanted = |linked: &&Linked| device.is_none_or(|device| linked.device.id == device);
        let ids: Vec<String> = self
            .devices_of(number)
            .filter(wanted)
            .map(|linked| linked.device.id.clone())
            .collect();
        if let (Some(device), true) = (device, ids.is_empty()) {
            return Err(Error::NoDevice {
                number: number.to_owned(),
                device: device.to_owned(),
            });
        }
        for id in &ids {
            self.unlink_device(id);
        }
        self.touch();
        Ok(ids.len())
    }

    /// Unlinks a device; its page is told if it is there.
    pub(super) fn unlink_device(&mut self, id: &str) {
        if let Some(line) = self.devices.remove(id).and_then(|linked| linked.line) {
            self.end(line, ToPage::Unpaired);
        }
    }

    /// Cuts every socket without a word, as a network does.
    pub(super) fn drop_lines(&mut self) {
        for line in self.lines.values_mut() {
            line.closing = true;
        }
        self.touch();
    }

    /// The devices of a phone.
    pub(super) fn devices_of(&self, number: &str) -> impl Iterator<Item = &Linked> {
        self.devices.values().filter(move |linked| linked.number == number)
    }

    /// The device on a line and its phone's number.
    pub(super) fn device_on(&self, line: u64) -> Option<(String, String)> {
        let Stage::Linked { device, .. } = &self.lines.get(&line)?.stage else {
            return None;
        };
        Some((device.clone(), self.devices.get(device)?.number.clone()))
    }

    fn enter(&mut self, line: u64, device: &str, catching_up: Option<u64>) {
        if let Some(line) = self.lines.get_mut(&line) {
            line.stage = Stage::Linked {
                device: device.to_owned(),
                written: 0,
                catching_up,
            };
        }
    }

    /// Puts an answer on a line.
    pub(super) fn say(&mut self, line: u64, frame: ToPage) {
        if let Some(line) = self.lines.get_mut(&line).filter(|line| !line.closing) {
            line.out.push_back(frame);
        }
    }

    /// The last frame of a line.
    fn end(&mut self, line: u64, frame: ToPage) {
        self.say(line, frame);
        if let Some(line) = self.lines.get_mut(&line) {
            line.closing = true;
            line.stage = Stage::New;
        }
    }

    /// What is to be written to a line now: answers first, then items, with `synced` after the last one that waited.
    pub(super) fn take(&mut self, line: u64) -> Outgoing {
        // A line that is not in the world any more is closed.
        let Some(line) = self.lines.get_mut(&line) else {
            return Outgoing {
                frames: Vec::new(),
                close: true,
            };
        };
        let mut frames: Vec<ToPage> = line.out.drain(..).collect();
        if let Stage::Linked {
            device,
            written,
            catching_up,
        } = &mut line.stage
        {
            // A queue is in order of its numbers.
            let queue = self.devices.get(device).map(|linked| &linked.queue);
            let next = queue
                .into_iter()
                .flat_map(|queue| queue.range(queue.partition_point(|waiting| waiting.n <= *written)..));
            let next: Vec<&Waiting> = next.take(BATCH).collect();
            let full = next.len() == BATCH;
            for waiting in next {
                if catching_up.is_some_and(|last| waiting.n > last) {
                    *catching_up = None;
                    frames.push(ToPage::Synced);
                }
                *written = waiting.n;
                frames.push(waiting.frame());
            }
            if !full && catching_up.take().is_some() {
                frames.push(ToPage::Synced);
            }
        }
        Outgoing {
            frames,
            close: line.closing,
        }
    }
}

impl Waiting {
    fn frame(&self) -> ToPage {
        match &self.what {
            Parcel::History(chats) => ToPage::History {
                n: self.n,
                chats: chats.clone(),
            },
            Parcel::Item(item) => ToPage::Item {
                n: self.n,
                item: item.clone(),
            },
        }
    }

    /// It has waited while the device was away.
    fn mark_offline(&mut self) {
        if let Parcel::Item(super::protocol::Item::Message { offline, .. }) = &mut self.what {
            *offline = true;
        }
    }
}

/// The ref in the text of a code: `ref,noisePub,identityPub,advSecret` (library: `AuthCode.fullCode`; a fifth field, the
/// platform, is whatsapp-web.js's). A bare ref is what the page for people has.
fn reference_of(code: &str) -> Result<&str, Error> {
    let parts: Vec<&str> = code.trim().split(',').collect();
    let whole = matches!(parts.len(), 1 | 4 | 5) && parts.iter().all(|part| !part.is_empty());
    match parts.first() {
        Some(reference) if whole => Ok(reference),
        _ => Err(Error::Malformed {
            what: "a code",
            why: "is `ref,noisePub,identityPub,advSecret`",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::post::Draft;
    use super::super::protocol::{Item, Me};
    use super::*;

    const TTL: i64 = 20_000;

    fn world() -> World {
        let mut world = World::new(TTL);
        for (number, name) in [("100", "Ada"), ("200", "Bob")] {
            world.add_phone(number, name).unwrap();
        }
        world
    }

    fn hello(world: &mut World, device: Option<Device>, now: i64) -> u64 {
        let line = world.connect();
        world.receive(line, ToServer::Hello { device }, now);
        line
    }

    fn shown(world: &mut World, line: u64) -> String {
        match world.take(line).frames.pop() {
            Some(ToPage::Qr { reference, .. }) => reference,
            other => panic!("a code, not {other:?}"),
        }
    }

    fn code(reference: &str) -> String {
        format!("{reference},bm9pc2U=,aWRlbnRpdHk=,YWR2")
    }

    fn link(world: &mut World, number: &str) -> (u64, Device) {
        let line = hello(world, None, 0);
        let reference = shown(world, line);
        world.scan(number, &code(&reference), 0).unwrap();
        let device = world.take(line).frames.into_iter().find_map(|frame| match frame {
            ToPage::Paired { device, .. } => Some(device),
            _ => None,
        });
        (line, device.unwrap())
    }

    fn write(world: &mut World, from: &str, to: &str, text: &str) {
        let draft = Draft {
            to: to.to_owned(),
            text: text.to_owned(),
            ..Draft::default()
        };
        world.write(from, draft, 1).unwrap();
    }

    #[test]
    fn a_code_rotates_and_only_the_shown_one_links() {
        let mut world = world();
        let line = hello(&mut world, None, 0);
        let first = shown(&mut world, line);
        world.rotate(line, TTL - 1);
        assert_eq!(world.take(line), Outgoing::default(), "its time is not over");
        world.rotate(line, TTL);
        let second = shown(&mut world, line);
        assert_ne!(first, second);
        assert!(matches!(world.scan("100", &code(&first), TTL), Err(Error::NoSuchCode)));
        world.scan("100", &code(&second), TTL).unwrap();
        assert!(
            matches!(world.scan("100", &code(&second), TTL), Err(Error::NoSuchCode)),
            "it was used"
        );
    }

    #[test]
    fn after_the_last_code_the_page_must_ask_again() {
        let mut world = world();
        let line = hello(&mut world, None, 0);
        for round in 1..=i64::from(ROUNDS) {
            assert!(matches!(world.take(line).frames[..], [ToPage::Qr { .. }]));
            world.rotate(line, round * TTL);
        }
        assert_eq!(world.take(line).frames, [ToPage::Idle]);
        assert_eq!(world.code_ends(line), None);
        world.receive(line, ToServer::Refresh, 0);
        assert!(matches!(world.take(line).frames[..], [ToPage::Qr { round: 1, .. }]));
    }

    #[test]
    fn what_is_not_a_code_is_refused() {
        let mut world = world();
        for text in ["", "https://example.org/?a=1,2", "ref,,x,y", "a,b,c,d,e,f"] {
            assert!(
                matches!(world.scan("100", text, 0), Err(Error::Malformed { .. })),
                "{text}"
            );
        }
        assert!(matches!(world.scan("300", "ref", 0), Err(Error::NoPhone(_))));
    }

    #[test]
    fn a_new_device_gets_the_past_as_history_and_then_is_synced() {
        let mut world = world();
        write(&mut world, "200", "100", "before");
        let line = hello(&mut world, None, 0);
        let reference = shown(&mut world, line);
        world.scan("100", &reference, 0).unwrap();
        let frames = world.take(line).frames;
        let [
            ToPage::Pairing,
            ToPage::Paired { me, .. },
            ToPage::History { n: 1, chats },
            ToPage::Synced,
        ] = &frames[..]
        else {
            panic!("{frames:?}");
        };
        assert_eq!(
            me,
            &Me {
                number: "100".into(),
                wid: "100@c.us".into(),
                lid: token::lid("100"),
                name: "Ada".into()
            }
        );
        assert_eq!(
            (
                chats[0].id.as_str(),
                chats[0].unread,
                chats[0].messages[0].body.as_str()
            ),
            ("200@c.us", 1, "before")
        );
    }

    #[test]
    fn what_a_device_has_not_confirmed_comes_again_before_synced() {
        let mut world = world();
        let (line, device) = link(&mut world, "100");
        world.receive(line, ToServer::Got { n: 1 }, 0);
        world.disconnect(line);
        write(&mut world, "200", "100", "away");
        let line = hello(&mut world, Some(device.clone()), 2);
        let frames = world.take(line).frames;
        let [
            ToPage::Welcome { .. },
            ToPage::Item {
                n: 2,
                item: Item::Message { message, offline: true },
            },
            ToPage::Synced,
        ] = &frames[..]
        else {
            panic!("{frames:?}");
        };
        assert_eq!(message.body, "away");
        assert!(world.take(line).frames.is_empty(), "once on a line");
        world.disconnect(line);
        let line = hello(&mut world, Some(device.clone()), 3);
        assert!(matches!(
            world.take(line).frames[..],
            [ToPage::Welcome { .. }, ToPage::Item { n: 2, .. }, ToPage::Synced]
        ));
        world.receive(line, ToServer::Got { n: 2 }, 3);
        world.disconnect(line);
        let line = hello(&mut world, Some(device), 4);
        assert!(matches!(
            world.take(line).frames[..],
            [ToPage::Welcome { .. }, ToPage::Synced]
        ));
    }

    #[test]
    fn a_long_queue_is_taken_whole_and_in_order() {
        let mut world = world();
        let (line, device) = link(&mut world, "100");
        world.disconnect(line);
        for n in 0..600 {
            write(&mut world, "200", "100", &n.to_string());
        }
        let line = hello(&mut world, Some(device), 2);
        let mut bodies = Vec::new();
        let mut synced_after = None;
        loop {
            let frames = world.take(line).frames;
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                match frame {
                    ToPage::Item {
                        item: Item::Message { message, .. },
                        ..
                    } => bodies.push(message.body),
                    ToPage::Synced => synced_after = Some(bodies.len()),
                    _ => {}
                }
            }
        }
        assert_eq!(bodies, (0..600).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(synced_after, Some(600));
    }

    #[test]
    fn the_newer_connection_of_a_device_wins() {
        let mut world = world();
        let (first, device) = link(&mut world, "100");
        let second = hello(&mut world, Some(device), 1);
        let ended = world.take(first);
        assert_eq!((&ended.frames[..], ended.close), (&[ToPage::Conflict][..], true));
        world.disconnect(first);
        assert!(matches!(world.take(second).frames[..], [ToPage::Welcome { .. }, ..]));
        assert!(
            world.devices.values().all(|linked| linked.line == Some(second)),
            "the old one's end changes nothing"
        );
    }

    #[test]
    fn a_removed_device_is_told_at_once_or_when_it_comes_back() {
        let mut world = world();
        let (here, first) = link(&mut world, "100");
        let (away, second) = link(&mut world, "100");
        world.disconnect(away);
        assert_eq!(world.unlink("100", None).unwrap(), 2);
        assert_eq!(world.take(here).frames, [ToPage::Unpaired]);
        for device in [first, second] {
            let line = hello(&mut world, Some(device), 1);
            let said = world.take(line);
            assert_eq!((&said.frames[..], said.close), (&[ToPage::Unpaired][..], true));
        }
    }

    #[test]
    fn a_device_with_a_wrong_key_is_nobody() {
        let mut world = world();
        let (_, device) = link(&mut world, "100");
        let line = hello(
            &mut world,
            Some(Device {
                key: "guess".to_owned(),
                ..device
            }),
            1,
        );
        assert_eq!(world.take(line).frames, [ToPage::Unpaired]);
    }

    #[test]
    fn a_phone_links_four_devices_and_no_more() {
        let mut world = world();
        for _ in 0..DEVICES {
            link(&mut world, "100");
        }
        let line = hello(&mut world, None, 0);
        let reference = shown(&mut world, line);
        assert!(matches!(
            world.scan("100", &reference, 0),
            Err(Error::TooManyDevices { .. })
        ));
    }
}
