//! A page without a browser, for tests of what needs exact moments: crashes between two steps, pages that are lost.
//!
//! It keeps to what `page::Tab` promises: a table of begun ids per document, WhatsApp Web's own store that outlives the document,
//! a ring that keeps events until they are acknowledged. The store of the tests is the real one.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::action::{Content, SendOrder};
use crate::config::{Config, Sources};
use crate::event::{AccountId, Event, Message, Sender, Source};
use crate::page::{
    Begun, ChatSummary, Error, Format, Me, Ordered, PageEvent, PageStatus, Report, Resolved,
};
use crate::store::Store;

use super::tab::{Opened, Opener, Tab, Wanted};
use super::{Deps, Sessions, Tempo};

/// The built-in configuration with a data folder, and without pacing.
pub(super) fn config(data: &Path) -> Config {
    let mut config = Sources { data: Some(data.to_owned()), ..Sources::default() }.load().unwrap();
    config.pacing.enabled = false;
    config
}

/// What happens to the next order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
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
pub(super) struct World {
    /// Whether the profile is linked.
    pub(super) linked: bool,
    /// The page does not become usable.
    pub(super) offline: bool,
    /// Round trips are not answered.
    pub(super) hung: bool,
    /// Acknowledgements do not arrive.
    pub(super) deaf: bool,
    /// What the library lacks.
    pub(super) missing: Vec<String>,
    /// What arrived at the other end, in order: id, chat, text.
    pub(super) delivered: Vec<(String, String, String)>,
    /// WhatsApp Web's own store: id to ack.
    pub(super) kept: HashMap<String, i64>,
    pub(super) chats: BTreeMap<String, Vec<Message>>,
    pub(super) fates: VecDeque<Fate>,
    /// Errors of the next attempts to open.
    pub(super) refusals: VecDeque<Error>,
    pub(super) opened: usize,
    pub(super) closed: usize,
    pub(super) refreshed: usize,
    pub(super) pictures: usize,
    /// The next opening finds the document of before: the browser outlived its host.
    pub(super) outlives: bool,
    ids: usize,
    document: Document,
    pub(super) reports: Option<mpsc::Sender<Report>>,
    pub(super) acked: Vec<(String, u64)>,
}

#[derive(Default)]
struct Document {
    number: usize,
    table: HashMap<String, Option<Ordered>>,
    ring: Vec<(u64, PageEvent)>,
    seq: u64,
}

/// The world, shared by a test and its tabs.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(super) fn linked() -> Self {
        let shared = Self::default();
        shared.lock().linked = true;
        shared
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The page reports something.
    pub(super) fn report(&self, event: PageEvent) {
        let mut world = self.lock();
        world.document.seq += 1;
        let seq = world.document.seq;
        world.document.ring.push((seq, event.clone()));
        let report = Report::Event { page_id: world.page_id(), page_seq: seq, event };
        world.reports.as_ref().expect("a tab is open").try_send(report).unwrap();
    }

    /// Reports everything in the ring again.
    pub(super) fn drain(&self) {
        let world = self.lock();
        world.drain();
    }

    /// A message arrives while the page is open.
    pub(super) fn arrives(&self, message: Message) {
        let chat = message.chat.clone();
        self.lock().chats.entry(chat).or_default().push(message.clone());
        self.report(PageEvent::Message { message, is_new: true });
    }

    pub(super) fn scan(&self) {
        self.lock().linked = true;
        self.report(PageEvent::Authenticated);
    }

    pub(super) fn crash(&self, how: &str) {
        let world = self.lock();
        world.reports.as_ref().expect("a tab is open").try_send(Report::Gone(how.to_owned())).unwrap();
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.lock().delivered.iter().map(|(_, _, text)| text.clone()).collect()
    }
}

impl World {
    fn page_id(&self) -> String {
        format!("doc-{}", self.document.number)
    }

    fn new_document(&mut self) {
        self.document = Document { number: self.document.number + 1, ..Document::default() };
    }

    fn drain(&self) {
        for (page_seq, event) in &self.document.ring {
            let report = Report::Event { page_id: self.page_id(), page_seq: *page_seq, event: event.clone() };
            self.reports.as_ref().expect("a tab is open").try_send(report).unwrap();
        }
    }

    fn status(&self) -> PageStatus {
        let (mode, info) = match (self.linked, self.offline) {
            (false, _) => ("QR", "NORMAL"),
            (true, true) => ("MAIN", "OFFLINE"),
            (true, false) => ("MAIN", "NORMAL"),
        };
        let me = Me { id: "491@c.us".to_owned(), phone: Some("491".to_owned()), ..Me::default() };
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

struct FakeTab {
    account: AccountId,
    world: Shared,
}

impl FakeTab {
    fn changed(&self) -> Error {
        Error::DocumentChanged { account: self.account.clone(), step: "send a message" }
    }

    async fn carry_out(&self, id: &str, chat: &str, content: &Content) -> Result<Ordered, Error> {
        let Content::Text { text, .. } = content;
        let fate = {
            let mut world = self.world.lock();
            match world.document.table.get(id) {
                Some(Some(answer)) => return Ok(answer.clone()),
                Some(None) => Some(Fate::Hangs),
                None => world.fates.pop_front(),
            }
        };
        let deliver = |kept: Option<i64>| {
            let mut world = self.world.lock();
            world.delivered.push((id.to_owned(), chat.to_owned(), text.clone()));
            kept.map(|ack| world.kept.insert(id.to_owned(), ack));
            world.document.table.insert(id.to_owned(), Some(Ordered::Sent { ack: 1 }));
        };
        match fate {
            None => {
                deliver(Some(1));
                Ok(Ordered::Sent { ack: 1 })
            }
            Some(Fate::Refused) => {
                let refused = Ordered::Refused { reason: "ERROR_NETWORK".to_owned() };
                self.world.lock().document.table.insert(id.to_owned(), Some(refused.clone()));
                Ok(refused)
            }
            Some(Fate::Thrown) => {
                let (account, step) = (self.account.clone(), "send a message");
                Err(Error::Page { account, step, message: "it is too long".to_owned() })
            }
            Some(Fate::LostBefore) => {
                self.world.lock().new_document();
                Err(self.changed())
            }
            Some(Fate::LostAfter(kept)) => {
                deliver(kept);
                self.world.lock().new_document();
                Err(self.changed())
            }
            Some(Fate::Mute) => {
                deliver(Some(1));
                std::future::pending().await
            }
            Some(Fate::Hangs) => {
                self.world.lock().document.table.insert(id.to_owned(), None);
                std::future::pending().await
            }
        }
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

fn now<'a, T: Send + 'a>(answer: T) -> Answer<'a, T> {
    std::future::ready(Ok(answer)).boxed()
}

impl Tab for FakeTab {
    fn ack<'a>(&'a self, page_id: &'a str, page_seq: u64) -> Answer<'a, ()> {
        let mut world = self.world.lock();
        world.acked.push((page_id.to_owned(), page_seq));
        if world.page_id() == page_id && !world.deaf {
            world.document.ring.retain(|(seq, _)| *seq > page_seq);
        }
        now(())
    }

    fn status(&self) -> Answer<'_, PageStatus> {
        let world = self.world.lock();
        if world.hung { std::future::pending().boxed() } else { now(world.status()) }
    }

    fn resolve<'a>(&'a self, to: &'a str) -> Answer<'a, Resolved> {
        let mut world = self.world.lock();
        if to == "nobody" {
            let (account, to, reason) = (self.account.clone(), to.to_owned(), "not on WhatsApp".to_owned());
            return std::future::ready(Err(Error::NoChat { account, to, reason })).boxed();
        }
        world.ids += 1;
        let chat = if to.contains('@') { to.to_owned() } else { format!("{to}@c.us") };
        let message_id = format!("true_{chat}_3EB0{:04}", world.ids);
        now(Resolved { chat, message_id, page_id: world.page_id() })
    }

    fn order<'a>(&'a self, message_id: &'a str, chat: &'a str, content: &'a Content) -> Answer<'a, Ordered> {
        self.carry_out(message_id, chat, content).boxed()
    }

    fn ask<'a>(&'a self, page_id: &'a str, message_id: &'a str) -> Answer<'a, Begun> {
        let world = self.world.lock();
        now(match world.document.table.get(message_id) {
            _ if world.page_id() != page_id => Begun::OtherDocument,
            None => Begun::NeverOrdered,
            Some(None) => Begun::Running,
            Some(Some(answer)) => Begun::Answered(answer.clone()),
        })
    }

    fn find_message<'a>(&'a self, _chat: &'a str, message_id: &'a str) -> Answer<'a, Option<i64>> {
        now(self.world.lock().kept.get(message_id).copied())
    }

    fn chats(&self, limit: usize) -> Answer<'_, Vec<ChatSummary>> {
        let world = self.world.lock();
        let newest = |messages: &Vec<Message>| messages.iter().map(|message| message.timestamp).max().unwrap_or_default();
        let mut chats: Vec<ChatSummary> = world
            .chats
            .iter()
            .map(|(id, messages)| ChatSummary { id: id.clone(), timestamp_ms: newest(messages), unread: 0 })
            .collect();
        chats.sort_by_key(|chat| std::cmp::Reverse(chat.timestamp_ms));
        chats.truncate(limit);
        now(chats)
    }

    fn history<'a>(&'a self, chat: &'a str, until_ms: i64, limit: usize) -> Answer<'a, Vec<Message>> {
        let world = self.world.lock();
        let mut found: Vec<Message> =
            world.chats[chat].iter().filter(|message| message.timestamp > until_ms).cloned().collect();
        found.sort_by_key(|message| message.timestamp);
        now(found.split_off(found.len().saturating_sub(limit)))
    }

    fn refresh_qr(&self) -> Answer<'_, ()> {
        self.world.lock().refreshed += 1;
        now(())
    }

    fn snapshot(&self, _format: Format) -> Answer<'_, Vec<u8>> {
        let mut world = self.world.lock();
        world.pictures += 1;
        now(vec![u8::try_from(world.pictures).unwrap()])
    }

    fn reload(&self) -> Answer<'_, ()> {
        self.world.lock().new_document();
        now(())
    }

    fn logout(&self) -> Answer<'_, ()> {
        self.world.lock().linked = false;
        self.world.report(PageEvent::LoggedOut { reason: None });
        now(())
    }

    fn close(&self) -> Answer<'_, ()> {
        let mut world = self.world.lock();
        world.closed += 1;
        world.reports = None;
        now(())
    }
}

impl Opener for Shared {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>> {
        let shared = self.clone();
        async move {
            let mut world = shared.lock();
            if let Some(refusal) = world.refusals.pop_front() {
                return Err(refusal);
            }
            world.opened += 1;
            std::fs::create_dir_all(wanted.profile.join("Default")).unwrap();
            let (sender, receiver) = mpsc::channel(1024);
            world.reports = Some(sender);
            if std::mem::take(&mut world.outlives) {
                world.drain();
            } else {
                world.new_document();
            }
            drop(world);
            Ok((Arc::new(FakeTab { account: wanted.account, world: shared }) as Arc<dyn Tab>, receiver))
        }
        .boxed()
    }

    fn clear(&self, _account: AccountId, _profile: PathBuf) -> BoxFuture<'static, Result<(), Error>> {
        now(())
    }
}

/// A host with a real store and a page of the fake world; its runtime dies with it, as a process does.
pub(super) struct Host {
    runtime: Option<tokio::runtime::Runtime>,
    pub(super) sessions: Sessions,
    pub(super) store: Store,
    pub(super) config: watch::Sender<Arc<Config>>,
}

impl Host {
    pub(super) fn start(data: &Path, world: &Shared) -> Host {
        Self::start_with(data, world, |_| {})
    }

    pub(super) fn start_with(data: &Path, world: &Shared, change: impl FnOnce(&mut Config)) -> Host {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = config(data);
        change(&mut config);
        let config = watch::Sender::new(Arc::new(config));
        let tempo = Tempo {
            proof_every: Duration::from_millis(20),
            look_every: Duration::from_millis(20),
            proof_limit: Duration::from_millis(200),
            link_kept: Duration::from_millis(10),
            mark_every: Duration::from_millis(20),
            settle: Duration::from_millis(300),
            save_again: Duration::from_millis(20),
        };
        // The writer of a host that was killed just now may still be letting go of the folder.
        let store = loop {
            match Store::open(data, 1 << 20) {
                Ok(store) => break store,
                Err(crate::store::Error::InUse { .. }) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        let deps = Deps {
            store: store.clone(),
            config: config.subscribe(),
            tracker: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let sessions = runtime.block_on(Sessions::open_with(deps, Arc::new(world.clone()), tempo)).unwrap();
        Host { runtime: Some(runtime), sessions, store, config }
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let limited = async { tokio::time::timeout(Duration::from_secs(20), future).await };
        self.runtime.as_ref().unwrap().block_on(limited).expect("it takes too long")
    }

    /// Runs in the host, whether or not the test waits for it.
    pub(super) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        drop(TaskTracker::new().spawn_on(future, self.runtime.as_ref().unwrap().handle()));
    }

    /// Every task ends where it stands; nothing is closed.
    pub(super) fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }

    /// Makes account `one`, and waits until it is ready.
    pub(super) fn with_ready_account(self) -> Self {
        self.run(self.sessions.create(Some(one()), None)).unwrap();
        self.wait_ready();
        self
    }

    pub(super) fn wait_ready(&self) {
        self.until(|| self.sessions.get(&one()).is_some_and(|view| view.state == crate::action::State::Ready));
    }

    /// Waits for a condition that has no signal of its own.
    pub(super) fn until(&self, mut holds: impl FnMut() -> bool) {
        let start = std::time::Instant::now();
        while !holds() {
            assert!(start.elapsed() < Duration::from_secs(20), "it takes too long");
            self.run(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
    }

    pub(super) fn events(&self) -> Vec<Arc<Event>> {
        let events = self.run(self.store.events(0, 10_000)).unwrap();
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub(super) fn named(&self, name: &str) -> Vec<Arc<Event>> {
        self.events().into_iter().filter(|event| event.event.to_string() == name).collect()
    }

    pub(super) fn wait_for(&self, name: &str, count: usize) -> Vec<Arc<Event>> {
        self.until(|| self.named(name).len() >= count);
        self.named(name)
    }

    pub(super) fn send(&self, key: &str, text: &str) -> Result<crate::action::Sent, crate::action::Failure> {
        self.run(self.sessions.send(order(key, text)))
    }
}

pub(super) fn one() -> AccountId {
    "one".parse().unwrap()
}

pub(super) fn order(key: &str, text: &str) -> SendOrder {
    SendOrder {
        key: key.to_owned(),
        account: one(),
        to: "492@c.us".to_owned(),
        content: Content::Text { text: text.to_owned(), quote: None, mentions: Vec::new() },
        source: Source::Script,
        patience: Duration::from_secs(10),
    }
}

/// A message from 492, so many ms from now.
pub(super) fn message(id: &str, from_now: i64) -> Message {
    Message {
        id: format!("false_492@c.us_{id}"),
        chat: "492@c.us".to_owned(),
        from: "492@c.us".to_owned(),
        to: "491@c.us".to_owned(),
        author: None,
        sender: Sender { id: "492@c.us".to_owned(), ..Sender::default() },
        from_me: false,
        source: None,
        kind: "chat".to_owned(),
        body: Some(id.to_owned()),
        caption: None,
        media: None,
        quoted: None,
        mentions: Vec::new(),
        timestamp: super::whole_second(super::now() + from_now),
        ack: 1,
    }
}
