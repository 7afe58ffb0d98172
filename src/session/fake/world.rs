//! The fake WhatsApp of the tests: what is linked, kept, delivered, and what goes wrong next.
//!
//! In: what a test does to it. Out: what its tab answers. Must not act by itself.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::action::Act;
use crate::event::Message;
use crate::page::{Error, Me, Ordered, PageEvent, PageStatus, Report};

/// What happens to the next order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) enum Fate {
    /// WhatsApp refuses it.
    Refused,
    /// The page throws before it did anything.
    Thrown,
    /// The document is replaced before anything was sent.
    LostBefore,
    /// It is delivered and the document is replaced before the answer; WhatsApp Web has kept it with this ack, if at all.
    LostAfter(Option<i64>),
    /// It is delivered and there is never an answer to this call; the table knows later.
    Mute,
    /// It is never delivered, the call never ends.
    Hangs,
}

/// WhatsApp, and what a profile keeps of it.
#[derive(Default)]
pub(in crate::session) struct World {
    /// Whether the profile is linked.
    pub(in crate::session) linked: bool,
    /// The page does not become usable.
    pub(in crate::session) offline: bool,
    /// Round trips are not answered.
    pub(in crate::session) hung: bool,
    /// Acknowledgements do not arrive.
    pub(in crate::session) deaf: bool,
    /// What the library lacks.
    pub(in crate::session) missing: Vec<String>,
    /// What arrived at the other end, in order: id, chat, text.
    pub(in crate::session) delivered: Vec<(String, String, String)>,
    /// WhatsApp Web's own store: id to ack.
    pub(in crate::session) kept: HashMap<String, i64>,
    pub(in crate::session) chats: BTreeMap<String, Vec<Message>>,
    /// The numbers of chats that are kept under another id.
    pub(in crate::session) numbers: HashMap<String, String>,
    /// A chat whose messages the page cannot give.
    pub(in crate::session) unreadable: Option<String>,
    pub(in crate::session) fates: VecDeque<Fate>,
    /// What was done beside sending.
    pub(in crate::session) acts: Vec<Act>,
    /// Errors of the next acts and looks.
    pub(in crate::session) troubles: VecDeque<Error>,
    /// Errors of the next attempts to open.
    pub(in crate::session) refusals: VecDeque<Error>,
    pub(in crate::session) opened: usize,
    pub(in crate::session) closed: usize,
    pub(in crate::session) refreshed: usize,
    pub(in crate::session) pictures: usize,
    /// The next opening finds the document of before: the browser outlived its host.
    pub(in crate::session) outlives: bool,
    pub(super) ids: usize,
    pub(super) document: Document,
    pub(in crate::session) reports: Option<mpsc::Sender<Report>>,
    pub(in crate::session) acked: Vec<(String, u64)>,
}

#[derive(Default)]
pub(super) struct Document {
    number: usize,
    pub(super) table: HashMap<String, Option<Ordered>>,
    /// Files that were put into it, by the message that will carry them.
    pub(super) files: HashMap<String, Bytes>,
    pub(super) ring: Vec<(u64, PageEvent)>,
    seq: u64,
}

/// The world, shared by a test and its tabs.
#[derive(Clone, Default)]
pub(in crate::session) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(in crate::session) fn linked() -> Self {
        let shared = Self::default();
        shared.lock().linked = true;
        shared
    }

    pub(in crate::session) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The page reports something.
    pub(in crate::session) fn report(&self, event: PageEvent) {
        let mut world = self.lock();
        world.document.seq += 1;
        let seq = world.document.seq;
        world.document.ring.push((seq, event.clone()));
        let report = Report::Event {
            page_id: world.page_id(),
            page_seq: seq,
            event,
        };
        world.reports.as_ref().expect("a tab is open").try_send(report).unwrap();
    }

    /// Reports everything in the ring again.
    pub(in crate::session) fn drain(&self) {
        let world = self.lock();
        world.drain();
    }

    /// A message arrives while the page is open.
    pub(in crate::session) fn arrives(&self, message: Message) {
        let chat = message.chat.clone();
        self.lock().chats.entry(chat).or_default().push(message.clone());
        self.tells(message, true);
    }

    /// The page reports a message.
    pub(in crate::session) fn tells(&self, message: Message, is_new: bool) {
        let canonical = self.lock().canonical(&message.chat);
        self.report(PageEvent::Message {
            message,
            canonical,
            is_new,
        });
    }

    pub(in crate::session) fn scan(&self) {
        self.lock().linked = true;
        self.report(PageEvent::Authenticated);
    }

    pub(in crate::session) fn crash(&self, how: &str) {
        let world = self.lock();
        world
            .reports
            .as_ref()
            .expect("a tab is open")
            .try_send(Report::Gone(how.to_owned()))
            .unwrap();
    }

    pub(in crate::session) fn texts(&self) -> Vec<String> {
        self.lock().delivered.iter().map(|(_, _, text)| text.clone()).collect()
    }
}

impl World {
    pub(super) fn canonical(&self, chat: &str) -> String {
        self.numbers.get(chat).cloned().unwrap_or_else(|| chat.to_owned())
    }

    pub(super) fn page_id(&self) -> String {
        format!("doc-{}", self.document.number)
    }

    pub(super) fn new_document(&mut self) {
        self.document = Document {
            number: self.document.number + 1,
            ..Document::default()
        };
    }

    pub(super) fn drain(&self) {
        for (page_seq, event) in &self.document.ring {
            let report = Report::Event {
                page_id: self.page_id(),
                page_seq: *page_seq,
                event: event.clone(),
            };
            self.reports.as_ref().expect("a tab is open").try_send(report).unwrap();
        }
    }

    pub(super) fn status(&self) -> PageStatus {
        let (mode, info) = match (self.linked, self.offline) {
            (false, _) => ("QR", "NORMAL"),
            (true, true) => ("MAIN", "OFFLINE"),
            (true, false) => ("MAIN", "NORMAL"),
        };
        let me = Me {
            id: "491@c.us".to_owned(),
            phone: Some("491".to_owned()),
            ..Me::default()
        };
        PageStatus {
            page_id: self.page_id(),
            recognised: true,
            injected: true,
            full_ready: true,
            authenticated: self.linked,
            mode: Some(mode.to_owned()),
            info: Some(info.to_owned()),
            qr: (!self.linked).then(|| "2@the-secret-code,a,b,c".to_owned()),
            me: self.linked.then_some(me),
            missing: self.missing.clone(),
            ..PageStatus::default()
        }
    }
}
