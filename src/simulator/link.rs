//! Lines and linking: what happens on a socket from `hello` to its end.
//!
//! In: frames of a page, scans and removals of a phone. Out: the frames to write, in order. Must not carry messages
//! itself (`post` does) and must not do I/O.

use super::Error;
use super::phone::Phone;
use super::protocol::{Chat, Device, ToPage, ToServer};
use super::token;
use super::world::{Faults, Line, Linked, Parcel, Stage, Waiting, World};

/// Codes that a page gets before it must ask again (public issues of whatsapp-web.js and wppconnect: a handful, then
/// `UNPAIRED_IDLE`).
pub(super) const ROUNDS: u32 = 6;

/// Devices that a phone can link (WhatsApp's help pages).
const DEVICES: usize = 4;

/// Messages of a chat that a new device gets (assumed: enough for more than one page of history).
const HISTORY: usize = 200;

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
            ToServer::Send { message, again } => self.send(line, *message, again, now),
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
            ToServer::Change {
                question,
                chat,
                message,
                change,
            } => self.change_by_page(line, question, (chat, message), &change, now),
            ToServer::Typing { chat, on } => {
                if let Some((_, number)) = self.device_on(line) {
                    self.typing(&number, &chat, on);
                }
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
        if let Some(mode) = self.faults.block {
            self.end(line, ToPage::Block { mode });
            return;
        }
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

    /// Shows a code; the one before it is void (assumed: the real page takes the old one away at each rotation).
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
        let shows = |line: &Line| match &line.stage {
            Stage::Code {
                reference: shown,
                until,
                ..
            } => shown == reference && *until > now,
            _ => false,
        };
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
            let from = log.entries().len().saturating_sub(HISTORY);
            let mut messages: Vec<_> = log.entries().skip(from).map(|entry| entry.message.clone()).collect();
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

    /// Sets what goes wrong from now on, and does what happens at once: `drop_sockets` cuts every socket without a
    /// word, as a network does, `conflict` and `block` tell the pages.
    pub(super) fn set_faults(&mut self, faults: Faults) {
        let lines: Vec<u64> = self.lines.keys().copied().collect();
        for number in lines {
            if let Some(mode) = faults.block {
                self.end(number, ToPage::Block { mode });
            }
            if faults.conflict && self.device_on(number).is_some() {
                self.end(number, ToPage::Conflict);
            }
            if let Some(line) = self.lines.get_mut(&number) {
                line.closing |= faults.drop_sockets;
            }
        }
        self.faults = faults;
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
}

/// The ref in the text of a code: `ref,noisePub,identityPub,advSecret` (library: `AuthCode.fullCode`; a fifth field,
/// the platform, is whatsapp-web.js's). A bare ref is what the page for people has.
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
mod tests;
