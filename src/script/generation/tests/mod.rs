//! Real VMs over a small world of their own.

use std::cell::RefCell;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use hyper::Method;
use hyper::body::Bytes;
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::action::{
    ActOrder, Content, DownloadOrder, Failure, FailureKind, File, Found, LookOrder, SendOrder, Sent, State, Status,
};
use crate::config::resolved::Secret;
use crate::event::{AccountId, Origin};
use crate::http::Request;
use crate::script::library::Libraries;
use crate::script::past::{Past, Query};
use crate::script::world::{Answer, Kept, LogLine};
use crate::script::{AccountState, Made};

mod acts;
mod advice;
mod api;
mod branches;
mod calc;
mod files;
mod http;
mod kv;
mod libraries;
mod limits;
mod permissions;
mod runaways;
mod sandbox;
mod secrets;
mod timers;

const NOW: i64 = 1_767_600_000_000;

#[derive(Default)]
struct Small {
    lines: RefCell<Vec<LogLine>>,
    sends: RefCell<Vec<SendOrder>>,
    acts: RefCell<Vec<ActOrder>>,
    looks: RefCell<Vec<LookOrder>>,
    downloads: RefCell<Vec<DownloadOrder>>,
    made: RefCell<Vec<Made>>,
    found: RefCell<Option<Found>>,
    fail: RefCell<Option<FailureKind>>,
    delay: RefCell<Duration>,
    slow_keys: RefCell<Duration>,
    kept: RefCell<Vec<(String, Kept)>>,
    answer: RefCell<Vec<u8>>,
    calls: RefCell<Vec<(Method, Request)>>,
}

impl Small {
    /// What `fail` says of a call.
    fn refusal(&self, account: AccountId) -> Result<(), Failure> {
        let fail = *self.fail.borrow();
        fail.map_or(Ok(()), |kind| {
            Err(Failure {
                kind,
                message: "account sales: it is so".to_owned(),
                account: Some(account),
            })
        })
    }
}

impl World for Small {
    fn now(&self) -> i64 {
        NOW
    }

    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }

    fn log(&self, line: LogLine) {
        self.lines.borrow_mut().push(line);
    }

    fn account(&self, id: &str) -> Option<AccountState> {
        (id == "sales").then_some(AccountState {
            state: State::Ready,
            reason: None,
            since: 1,
            proof_age: Some(0),
            phone: Some("491700000001".to_owned()),
        })
    }

    fn has_endpoint(&self, name: &str) -> bool {
        name == "crm"
    }

    fn journal(&self, _: Query) -> LocalBoxFuture<'static, Result<Past, Failure>> {
        async { Ok(Past::default()) }.boxed_local()
    }

    fn kv_get(&self, key: String) -> LocalBoxFuture<'static, Result<Option<Kept>, Failure>> {
        let found = self
            .kept
            .borrow()
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, kept)| kept.clone());
        let delay = *self.slow_keys.borrow();
        async move {
            tokio::time::sleep(delay).await;
            Ok(found)
        }
        .boxed_local()
    }

    fn kv_list(&self, prefix: String, limit: usize) -> LocalBoxFuture<'static, Result<Vec<(String, Kept)>, Failure>> {
        let kept = self.kept.borrow();
        let found = kept
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .take(limit)
            .cloned()
            .collect();
        async { Ok(found) }.boxed_local()
    }

    fn http(&self, method: Method, request: Request) -> LocalBoxFuture<'static, Result<Answer, Failure>> {
        let body = self.answer.borrow().clone();
        self.calls.borrow_mut().push((method, request));
        let answer = Answer {
            status: 201,
            headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
            body: body.into(),
        };
        async { Ok(answer) }.boxed_local()
    }

    fn secret(&self, name: &str) -> Option<Secret> {
        (name == "llm").then(|| Secret::new("geheim".into()))
    }

    fn sleep(&self, time: Duration) -> LocalBoxFuture<'static, ()> {
        tokio::time::sleep(time).boxed_local()
    }

    fn act(&self, order: ActOrder) -> LocalBoxFuture<'static, Result<(), Failure>> {
        let done = self.refusal(order.account.clone());
        self.acts.borrow_mut().push(order);
        async move { done }.boxed_local()
    }

    fn look(&self, order: LookOrder) -> LocalBoxFuture<'static, Result<Found, Failure>> {
        let refusal = self.refusal(order.account.clone());
        let found = self.found.borrow_mut().take().unwrap_or(Found::Contact(None));
        self.looks.borrow_mut().push(order);
        async move { refusal.map(|()| found) }.boxed_local()
    }

    fn download(&self, order: DownloadOrder) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let refusal = self.refusal(order.account.clone());
        self.downloads.borrow_mut().push(order);
        let file = File {
            sha256: "aa".repeat(32),
            size: 9,
            mimetype: "image/png".into(),
            filename: Some("dot.png".into()),
        };
        async move { refusal.map(|()| file) }.boxed_local()
    }

    fn keep(&self, file: Made) -> LocalBoxFuture<'static, Result<File, Failure>> {
        let kept = File {
            sha256: "bb".repeat(32),
            size: file.bytes.len() as u64,
            mimetype: file.mimetype.clone(),
            filename: file.filename.clone(),
        };
        self.made.borrow_mut().push(file);
        async move { Ok(kept) }.boxed_local()
    }

    fn read(&self, file: File) -> LocalBoxFuture<'static, Result<Bytes, Failure>> {
        async move { Ok(format!("bytes of {}", file.mimetype).into()) }.boxed_local()
    }

    fn send(&self, order: SendOrder) -> LocalBoxFuture<'static, Result<Sent, Failure>> {
        let n = self.sends.borrow().len();
        let account = order.account.clone();
        self.sends.borrow_mut().push(order);
        let (fail, delay) = (*self.fail.borrow(), *self.delay.borrow());
        async move {
            tokio::time::sleep(delay).await;
            match fail {
                None => Ok(Sent {
                    id: format!("m{n}"),
                    status: Status::Sent,
                }),
                Some(kind) => Err(Failure {
                    kind,
                    message: format!("account '{account}' is not connected"),
                    account: Some(account),
                }),
            }
        }
        .boxed_local()
    }
}

fn limits() -> Limits {
    Limits {
        memory: 16 << 20,
        cpu: Duration::from_millis(100),
        wall: Duration::from_secs(60),
        gate_wall: Duration::from_secs(2),
        load: Duration::from_millis(200),
        patience: Duration::from_secs(600),
    }
}

fn setup(world: &Rc<Small>) -> Setup {
    Setup {
        limits: limits(),
        config: json!({ "zone": "Europe/Berlin", "list": [1, 2] })
            .as_object()
            .cloned()
            .unwrap(),
        permissions: Permissions::All,
        world: Rc::clone(world) as Rc<dyn World>,
    }
}

fn loaded(text: &str, world: &Rc<Small>) -> Result<Generation, LoadError> {
    let source = Source {
        name: "bot".into(),
        file: "scripts/bot.lua".into(),
        text: text.into(),
        libraries: Libraries::new(),
    };
    load(&source, setup(world))
}

fn message(body: &str) -> Arc<Event> {
    let data = json!({
        "id": "m1", "chat": "49170@c.us", "from": "49170@c.us", "to": "1@c.us", "author": null,
        "sender": { "id": "49170@c.us", "lid": null, "phone": "49170", "name": "Ann" },
        "from_me": false, "source": null, "type": "chat", "body": body, "caption": null, "media": null,
        "quoted": null, "mentions": [], "timestamp": NOW, "ack": 1,
    });
    Arc::new(Event {
        schema: crate::event::SCHEMA.into(),
        id: "evt_1".into(),
        seq: 1,
        event: Kind::MESSAGE,
        account: Some("sales".parse().unwrap()),
        timestamp: NOW,
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    })
}

async fn ran(body: &str, world: &Rc<Small>) -> Result<Effects, Fault> {
    let text = format!("wharf.on('message', function(msg)\n{body}\nend)");
    loaded(&text, world)
        .unwrap()
        .run(&message("hello"), false, Place::free())
        .await
}

async fn lines(body: &str) -> Vec<String> {
    let world = Rc::new(Small::default());
    ran(body, &world).await.unwrap();
    world.lines.take().into_iter().map(|line| line.text).collect()
}
