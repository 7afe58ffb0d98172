//! The invented world of a test: clock, accounts, endpoints, keys, and a record of what was sent and posted.
//!
//! In: calls of the API, and what the test says happens. Out: the same answers as the real world gives. Must not wait.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::action::{
    ActOrder, Content, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent, State, Status,
};
use crate::config::resolved::Secret;
use crate::event::{AccountId, Event};
use crate::http::Request;
use crate::script::past::{Past, Query, Since};
use crate::script::run::{Change, Effects, Later, Posted, Write, number};
use crate::script::world::{Answer, Kept, LogLine, World};
use crate::script::{AccountState, Made};

use super::accounts::{Done, Known};
use super::failing::Failing;

/// The phone number of every account.
pub(super) const OWN: &str = "491700000001";

/// A message that the script sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) account: String,
    pub(super) chat: String,
    pub(super) text: String,
    pub(super) quote: Option<String>,
    pub(super) file: Option<File>,
}

/// A call of a service.
pub(super) struct Called {
    /// `POST https://…`
    pub(super) what: String,
    pub(super) body: Vec<u8>,
}

/// The world of one bot.
pub(super) struct Invented {
    /// Answers of services, by method and address.
    pub(super) services: RefCell<BTreeMap<String, Answer>>,
    pub(super) called: RefCell<VecDeque<Called>>,
    now: Cell<i64>,
    zone: TimeZone,
    accounts: BTreeMap<String, State>,
    endpoints: BTreeSet<String>,
    secrets: BTreeMap<String, String>,
    keys: RefCell<BTreeMap<String, Kept>>,
    commits: Cell<u64>,
    answers: RefCell<HashMap<String, Sent>>,
    pub(super) failing: Failing,
    pub(super) sent: RefCell<VecDeque<Said>>,
    /// What was done beside sending.
    pub(super) done: RefCell<VecDeque<Done>>,
    /// Bytes of files, by their hash.
    pub(super) files: RefCell<BTreeMap<String, Bytes>>,
    /// What the accounts know.
    pub(super) known: RefCell<Known>,
    /// Events to come.
    pub(super) jobs: RefCell<Vec<Later>>,
    pub(super) posted: RefCell<VecDeque<Posted>>,
    /// What has happened, and when.
    pub(super) past: RefCell<Vec<(i64, Arc<Event>)>>,
}

impl Invented {
    pub(super) fn new(
        now: i64,
        zone: TimeZone,
        accounts: Vec<String>,
        endpoints: Vec<String>,
        secrets: BTreeMap<String, String>,
    ) -> Self {
        Self {
            services: RefCell::default(),
            called: RefCell::default(),
            now: Cell::new(now),
            zone,
            accounts: accounts.into_iter().map(|id| (id, State::Ready)).collect(),
            endpoints: endpoints.into_iter().collect(),
            secrets,
            keys: RefCell::default(),
            commits: Cell::default(),
            answers: RefCell::default(),
            failing: Failing::default(),
            sent: RefCell::default(),
            done: RefCell::default(),
            known: RefCell::default(),
            files: RefCell::default(),
            jobs: RefCell::default(),
            posted: RefCell::default(),
            past: RefCell::default(),
        }
    }

    /// The account that events are of if the test does not say.
    pub(super) fn first_account(&self) -> String {
        self.accounts.keys().next().cloned().unwrap_or_default()
    }

    /// The account of that id; of a host that the test does not have, the one that events are of if it does not say.
    pub(super) fn known_account(&self, id: &str) -> String {
        match self.accounts.contains_key(id) {
            true => id.to_owned(),
            false => self.first_account(),
        }
    }

    pub(super) fn set_now(&self, now: i64) {
        self.now.set(now);
    }

    /// How the test lets a call fail, if it does.
    pub(super) fn failure(&self, call: &str, account: &AccountId) -> Option<Failure> {
        let kind = self.failing.next(call)?;
        Some(Failure {
            kind,
            message: format!(
                "account '{account}': the test lets this {call} fail as {}",
                kind.as_str()
            ),
            account: Some(account.clone()),
        })
    }

    /// Keeps what a run that ended well wants kept.
    ///
    /// # Errors
    /// A sentence, if a key that is counted up is no number.
    pub(super) fn commit(&self, effects: Effects) -> Result<(), String> {
        let version = self.commits.get() + 1;
        self.commits.set(version);
        for write in effects.writes {
            self.write(write, version)?;
        }
        self.posted.borrow_mut().extend(effects.posts);
        for job in effects.jobs {
            self.jobs.borrow_mut().push(job);
        }
        for order in effects.queued {
            // The queue of a gate: whether it can be sent is no longer the script's business.
            self.deliver(order).ok();
        }
        Ok(())
    }

    fn write(&self, write: Write, version: u64) -> Result<(), String> {
        let mut keys = self.keys.borrow_mut();
        let (value, expires_at) = match write.change {
            Change::Delete | Change::Update(None) => {
                keys.remove(&write.key);
                return Ok(());
            }
            Change::Set(value) | Change::Update(Some(value)) => (value, write.expires_at),
            Change::Incr(by) => {
                let now = self.now.get();
                let live = keys
                    .get(&write.key)
                    .filter(|entry| entry.expires_at.is_none_or(|at| at > now));
                // As the store does it: without an end of its own, it ends as before.
                let expires_at = write.expires_at.or(live.and_then(|entry| entry.expires_at));
                let sum = match live.map(|entry| &entry.value) {
                    None => number(by),
                    Some(Value::Number(base)) => number(base.as_f64().unwrap_or_default() + by),
                    Some(other) => return Err(format!("kv.incr: '{}' is not a number but {other}", write.key)),
                };
                (sum, expires_at)
            }
        };
        let kept = Kept {
            value,
            version,
            expires_at,
        };
        keys.insert(write.key, kept);
        Ok(())
    }

    /// A committed key.
    pub(super) fn key(&self, key: &str) -> Option<Kept> {
        let keys = self.keys.borrow();
        let entry = keys.get(key)?;
        entry
            .expires_at
            .is_none_or(|at| at > self.now.get())
            .then(|| entry.clone())
    }

    /// When the next job is due.
    pub(super) fn next_job(&self) -> Option<i64> {
        self.jobs.borrow().iter().map(|job| job.due).min()
    }

    /// Takes the first of the jobs that are due.
    pub(super) fn take_job(&self) -> Option<Later> {
        let mut jobs = self.jobs.borrow_mut();
        let due = |job: &&Later| job.due <= self.now.get();
        let first = jobs.iter().filter(due).map(|job| job.due).min()?;
        let at = jobs.iter().position(|job| job.due == first)?;
        Some(jobs.remove(at))
    }

    fn deliver(&self, order: SendOrder) -> Result<Sent, Failure> {
        if let Some(sent) = self.answers.borrow().get(&order.key) {
            // A repeated run: the first send stands.
            return Ok(sent.clone());
        }
        let id = order.account.as_str().to_owned();
        let refuse = |kind, message| Failure {
            kind,
            message,
            account: Some(order.account.clone()),
        };
        if !self.accounts.contains_key(&id) {
            return Err(refuse(FailureKind::NoAccount, format!("there is no account '{id}'")));
        }
        if let Some(failure) = self.failure("send", &order.account) {
            return Err(failure);
        }
        let (text, quote, file) = match order.content {
            Content::Text { text, quote, .. } => (text, quote, None),
            Content::File {
                file, caption, quote, ..
            } => (caption.unwrap_or_default(), quote, Some(*file)),
        };
        self.sent.borrow_mut().push_back(Said {
            account: id,
            chat: order.to.clone(),
            text,
            quote,
            file,
        });
        let mut answers = self.answers.borrow_mut();
        let sent = Sent {
            id: format!("true_{}_3EB0{:04}", order.to, answers.len() + 1),
            status: Status::Sent,
        };
        answers.insert(order.key, sent.clone());
        Ok(sent)
    }
}

impl World for Invented {
    fn now(&self) -> i64 {
        self.now.get()
    }

    fn zone(&self) -> TimeZone {
        self.zone.clone()
    }

    fn log(&self, line: LogLine) {
        tracing::debug!(target: "wharf::script", "{}", line.text);
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        let state = *self.accounts.get(id)?;
        Some(AccountState {
            state,
            reason: None,
            since: self.now.get(),
            proof_age: Some(0),
            phone: Some(OWN.to_owned()),
        })
    }

    fn has_endpoint(&self, name: &str) -> bool {
        self.endpoints.contains(name)
    }

    fn kv_get(&self, key: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>> {
        let kept = self.key(&key);
        async move { Ok(kept) }.boxed_local()
    }

    fn kv_list(&self, prefix: String, limit: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>> {
        let names: Vec<String> = self
            .keys
            .borrow()
            .keys()
            .filter(|key| key.starts_with(&prefix))
            .cloned()
            .collect();
        let found = names
            .into_iter()
            .filter_map(|name| self.key(&name).map(|kept| (name, kept)))
            .take(limit)
            .collect();
        async move { Ok(found) }.boxed_local()
    }

    fn journal(&self, query: Query) -> LocalBoxFuture<'static, Result<Past, Failure>> {
        let mut page = Past::default();
        let past = self.past.borrow();
        page.last = past.last().map(|(_, event)| event.id.clone());
        let comes_after = |(at, event): &&(i64, Arc<Event>)| match &query.since {
            Since::First => true,
            Since::After(id) => event.id > *id,
            Since::At(time) => at >= time,
        };
        for (_, event) in past.iter().filter(comes_after) {
            if !page.look(&query, event) {
                break;
            }
        }
        async move { Ok(page) }.boxed_local()
    }

    fn http(&self, method: Method, request: Request) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let what = format!("{method} {}", request.url);
        let answer = self.services.borrow().get(&what).cloned();
        let answer = answer.ok_or_else(|| Failure {
            kind: FailureKind::NotConnected,
            message: format!("the test has no answer for it: bot:http(\"{what}\", {{ … }})"),
            account: None,
        });
        self.called.borrow_mut().push_back(Called {
            what,
            body: request.body.to_vec(),
        });
        async { answer }.boxed_local()
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        self.secrets.get(name).map(|text| Secret::new(text.clone()))
    }

    /// Lets as much time of the test pass.
    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.now.set(self.now.get().saturating_add(time));
        async {}.boxed_local()
    }

    fn send(&self, order: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>> {
        let answer = self.deliver(order);
        async move { answer }.boxed_local()
    }

    fn act(&self, order: ActOrder) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let done = self.perform(order);
        async move { done }.boxed_local()
    }

    fn look(&self, order: LookOrder) -> LocalBoxFuture<'static, Result<Found, Failure>> {
        let found = self.find(&order);
        async move { found }.boxed_local()
    }

    fn download(&self, order: DownloadOrder) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let file = self.fetch(&order);
        async move { file }.boxed_local()
    }

    fn keep(&self, file: Made) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let kept = self.keep_file(file);
        async move { Ok(kept) }.boxed_local()
    }

    fn read(&self, file: File) -> LocalBoxFuture<'static, Result<Bytes, Failure>> {
        let bytes = self.bytes_of(&file);
        async move { bytes }.boxed_local()
    }
}
