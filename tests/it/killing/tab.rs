//! The tab of a host whose page is in another process.
//!
//! In: the calls of a session. Out: the page's answers and reports. Must not remember anything: it dies with the host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use wharf::action::{Act, Content, Found, Look};
use wharf::event::{AccountId, Message};
use wharf::page::{
    Begun, ChatSummary, Error, Fetched, Format, Ordered, PageEvent, PageStatus, REPORTS, Report, Resolved,
};
use wharf::session::{Answer, Opened, Opener, Tab, Wanted};

use super::host::Places;

/// Opens tabs onto the page at an address.
pub(super) struct Remote {
    pub(super) page: String,
    pub(super) places: Arc<Places>,
}

struct RemoteTab {
    account: AccountId,
    write: tokio::sync::Mutex<OwnedWriteHalf>,
    next: AtomicU64,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>,
}

impl Opener for Remote {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>> {
        let (page, places) = (self.page.clone(), Arc::clone(&self.places));
        async move {
            let stream = TcpStream::connect(page).await.unwrap();
            let (read, write) = stream.into_split();
            let (sender, reports) = mpsc::channel(REPORTS);
            let tab = RemoteTab {
                account: wanted.account,
                write: tokio::sync::Mutex::new(write),
                next: AtomicU64::new(0),
                waiting: Arc::default(),
            };
            let waiting = Arc::clone(&tab.waiting);
            #[allow(clippy::disallowed_methods, reason = "ends with its process")]
            tokio::spawn(async move {
                let mut lines = BufReader::new(read).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    let mut said: Value = serde_json::from_str(&line).unwrap();
                    if let Some(n) = said["n"].as_u64() {
                        let answer = waiting.lock().unwrap().remove(&n);
                        drop(answer.map(|answer| answer.send(said["ok"].take())));
                    } else if said["answered"] == true {
                        places.arm();
                    } else if sender.send(report(&said["report"])).await.is_err() {
                        return;
                    }
                }
            });
            Ok((Arc::new(tab) as Arc<dyn Tab>, reports))
        }
        .boxed()
    }

    fn clear(&self, _: AccountId, _: PathBuf) -> BoxFuture<'static, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

fn report(said: &Value) -> Report {
    let event = match said.get("message") {
        Some(message) => {
            let message: Message = serde_json::from_value(message.clone()).unwrap();
            PageEvent::Message {
                canonical: message.chat.clone(),
                message,
                is_new: true,
            }
        }
        None => PageEvent::State(serde_json::from_value(said["state"].clone()).unwrap()),
    };
    Report::Event {
        page_id: said["page_id"].as_str().unwrap().to_owned(),
        page_seq: said["page_seq"].as_u64().unwrap(),
        event,
    }
}

impl RemoteTab {
    fn ask<T: DeserializeOwned + Send>(&self, mut question: Value) -> Answer<'_, T> {
        async move {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let (sender, answer) = oneshot::channel();
            self.waiting.lock().unwrap().insert(n, sender);
            question["n"] = json!(n);
            let line = format!("{question}\n");
            let gone = || self.cannot("ask the page");
            self.write
                .lock()
                .await
                .write_all(line.as_bytes())
                .await
                .map_err(|_| gone())?;
            let answer = answer.await.map_err(|_| gone())?;
            Ok(serde_json::from_value(answer).unwrap())
        }
        .boxed()
    }

    fn cannot(&self, step: &'static str) -> Error {
        Error::Page {
            account: self.account.clone(),
            step,
            message: "the page of this test does not do that".to_owned(),
        }
    }

    fn refuse<'a, T: Send + 'a>(&'a self, step: &'static str) -> Answer<'a, T> {
        std::future::ready(Err(self.cannot(step))).boxed()
    }
}

impl Tab for RemoteTab {
    fn ack<'a>(&'a self, page_id: &'a str, page_seq: u64) -> Answer<'a, ()> {
        self.ask(json!({ "call": "ack", "page_id": page_id, "page_seq": page_seq }))
    }

    fn status(&self) -> Answer<'_, PageStatus> {
        self.ask(json!({ "call": "status" }))
    }

    fn chats(&self, _: usize) -> Answer<'_, Vec<ChatSummary>> {
        self.ask(json!({ "call": "chats" }))
    }

    fn history<'a>(&'a self, chat: &'a str, until_ms: i64, limit: usize) -> Answer<'a, Vec<Message>> {
        self.ask(json!({ "call": "history", "chat": chat, "until": until_ms, "limit": limit }))
    }

    fn close(&self) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn resolve<'a>(&'a self, _: &'a str) -> Answer<'a, Resolved> {
        self.refuse("find a chat")
    }

    fn order<'a>(&'a self, _: &'a str, _: &'a str, _: &'a Content) -> Answer<'a, Ordered> {
        self.refuse("send a message")
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a Bytes) -> Answer<'a, ()> {
        self.refuse("take a file")
    }

    fn fetch<'a>(&'a self, _: &'a str, _: u64) -> Answer<'a, Fetched> {
        self.refuse("give a file")
    }

    fn ask<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Begun> {
        self.refuse("look into its table")
    }

    fn find_message<'a>(&'a self, _: &'a str, _: &'a str) -> Answer<'a, Option<i64>> {
        self.refuse("find a message")
    }

    fn act<'a>(&'a self, _: &'a Act) -> Answer<'a, ()> {
        self.refuse("act")
    }

    fn look<'a>(&'a self, _: &'a Look) -> Answer<'a, Found> {
        self.refuse("look something up")
    }

    fn refresh_qr(&self) -> Answer<'_, ()> {
        self.refuse("make a code")
    }

    fn snapshot(&self, _: Format) -> Answer<'_, Vec<u8>> {
        self.refuse("take a picture")
    }

    fn reload(&self) -> Answer<'_, ()> {
        self.refuse("reload")
    }

    fn logout(&self) -> Answer<'_, ()> {
        self.refuse("log out")
    }
}
