//! The world as the control API and the page for people show it.
//!
//! In: the world. Out: JSON shapes; times are in ms since 1970. Must not change anything.

use std::collections::BTreeMap;

use serde::Serialize;

use super::log::Entry;
use super::phone::Phone;
use super::protocol::{Message, Quoted};
use super::world::{Faults, Stage, World};

/// `GET /control/state`
#[derive(Debug, Serialize)]
pub(super) struct State {
    phones: Vec<PhoneView>,
    groups: Vec<GroupView>,
    waiting: Vec<Code>,
    faults: Faults,
    /// Links that pages have followed, under the fault `follow_links`.
    followed: u64,
    now: i64,
}

/// A phone with its devices and chats.
#[derive(Debug, Serialize)]
pub(super) struct PhoneView {
    number: String,
    name: String,
    wid: String,
    lid: String,
    online: bool,
    devices: Vec<DeviceView>,
    chats: Vec<ChatView>,
}

#[derive(Debug, Serialize)]
struct DeviceView {
    id: String,
    connected: bool,
    linked_at: i64,
    /// Items that it has not confirmed.
    waiting: usize,
}

#[derive(Debug, Serialize)]
struct ChatView {
    id: String,
    name: String,
    group: bool,
    unread: u32,
    timestamp: i64,
    /// Whether somebody is typing in it.
    typing: bool,
    last: Option<MessageView>,
}

#[derive(Debug, Serialize)]
struct GroupView {
    id: String,
    name: String,
    members: Vec<String>,
    created_at: i64,
}

/// A code that a page shows now.
#[derive(Debug, Serialize)]
struct Code {
    #[serde(rename = "ref")]
    reference: String,
    round: u32,
    expires_at: i64,
    /// The number of the page's socket: the same while the code changes.
    page: u64,
}

/// A message, as its phone shows it.
#[derive(Debug, Serialize)]
pub(super) struct MessageView {
    id: String,
    chat: String,
    from: String,
    to: String,
    author: Option<String>,
    from_me: bool,
    /// The name of who wrote it.
    name: String,
    /// `text`, or WhatsApp's type if it is not a text.
    #[serde(rename = "type")]
    kind: String,
    text: String,
    timestamp: i64,
    /// Of an own message, how far it came; of another's, the receipt given for it.
    ack: i8,
    quoted: Option<Quoted>,
    mentions: Vec<String>,
    /// The file that it carries.
    media: Option<MediumView>,
    /// By who gave them.
    reactions: BTreeMap<String, String>,
    edited: bool,
}

/// A file, where to fetch it.
#[derive(Debug, Serialize)]
struct MediumView {
    url: String,
    mimetype: String,
    filename: Option<String>,
    size: u64,
}

impl MessageView {
    fn new(entry: &Entry) -> Self {
        let Message {
            id,
            chat,
            from,
            to,
            author,
            from_me,
            kind,
            body,
            name,
            quoted,
            mentions,
            ack,
            media,
            caption,
            reactions,
            edited,
            ..
        } = entry.message.clone();
        Self {
            id,
            chat,
            from,
            to,
            author,
            from_me,
            name,
            kind: if kind == "chat" { "text".to_owned() } else { kind },
            text: if media.is_some() { caption } else { body },
            timestamp: entry.at,
            ack: if from_me { ack } else { entry.given },
            quoted,
            mentions,
            media: media.map(|medium| MediumView {
                url: format!("/files/{}", medium.reference),
                mimetype: medium.mimetype,
                filename: medium.filename,
                size: medium.size,
            }),
            reactions,
            edited,
        }
    }
}

impl World {
    /// Everything but the messages.
    pub(super) fn state(&self, now: i64) -> State {
        let codes = self.lines.iter().filter_map(|(page, line)| match &line.stage {
            Stage::Code {
                reference,
                round,
                until,
            } => Some(Code {
                reference: reference.clone(),
                round: *round,
                expires_at: *until,
                page: *page,
            }),
            _ => None,
        });
        let groups = self.groups.iter().map(|(id, group)| GroupView {
            id: id.clone(),
            name: group.name.clone(),
            members: group.members.clone(),
            created_at: group.at,
        });
        State {
            phones: self.phones.values().map(|phone| self.phone_view(phone)).collect(),
            groups: groups.collect(),
            waiting: codes.collect(),
            faults: self.faults.clone(),
            followed: self.followed,
            now,
        }
    }

    /// One phone.
    pub(super) fn phone_view(&self, phone: &Phone) -> PhoneView {
        let devices = self.devices_of(&phone.number).map(|linked| DeviceView {
            id: linked.device.id.clone(),
            connected: linked.line.is_some(),
            linked_at: linked.at,
            waiting: linked.queue.len(),
        });
        let mut chats: Vec<ChatView> = phone
            .chats
            .iter()
            .map(|(id, log)| ChatView {
                id: id.clone(),
                name: self.chat(&phone.number, id).name,
                group: self.groups.contains_key(id),
                unread: log.unread(),
                timestamp: log.at,
                typing: phone.typing.contains(id),
                last: log.newest().map(MessageView::new),
            })
            .collect();
        chats.sort_by_key(|chat| std::cmp::Reverse(chat.timestamp));
        PhoneView {
            number: phone.number.clone(),
            name: phone.name.clone(),
            wid: phone.wid(),
            lid: phone.lid.clone(),
            online: phone.online,
            devices: devices.collect(),
            chats,
        }
    }

    /// The messages of a phone, of one chat or of all, by time and then by arrival; the newest `limit` of them.
    pub(super) fn messages(&self, phone: &Phone, chat: Option<&str>, limit: usize) -> Vec<MessageView> {
        let logs = phone
            .chats
            .iter()
            .filter(|(id, _)| chat.is_none_or(|chat| chat == id.as_str()));
        let mut entries: Vec<&Entry> = logs.flat_map(|(_, log)| log.entries()).collect();
        entries.sort_by_key(|entry| entry.at);
        let from = entries.len().saturating_sub(limit);
        entries.into_iter().skip(from).map(MessageView::new).collect()
    }

    /// One message of a phone: the newest with this id.
    pub(super) fn message(&self, phone: &Phone, chat: &str, id: &str) -> Option<MessageView> {
        phone.chats.get(chat)?.find(id).map(MessageView::new)
    }
}
