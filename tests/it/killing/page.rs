//! The page of a host that is killed, played by the test: it outlives the host, or not, as a browser would.
//!
//! In: messages, and what a tab in another process asks over a socket. Out: reports, numbered in a ring until they are
//! acknowledged; chats and histories, which a new document still has. Must keep to what `page::Tab` promises.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wharf::event::{Message, Sender};
use wharf::page::{ChatSummary, Me, PageStatus};

use super::{Place, Trap};
use crate::support::until;

/// Lines on their way to the host; a page that is not listened to is not held up.
const LINES: usize = 100_000;

struct World {
    document: usize,
    seq: u64,
    /// Number, message id, and the report.
    ring: Vec<(u64, String, Value)>,
    chats: BTreeMap<String, Vec<Message>>,
    acknowledged: HashSet<String>,
    written: Vec<String>,
    keeps_document: bool,
    asked: bool,
    host: Option<mpsc::Sender<String>>,
}

/// The page.
#[derive(Clone)]
pub(super) struct Page {
    addr: SocketAddr,
    world: Arc<Mutex<World>>,
    trap: Trap,
}

impl Page {
    /// Waits for hosts on a free port, and ends with the test's runtime.
    pub(super) async fn start(trap: Trap) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = World {
            document: 0,
            seq: 0,
            ring: Vec::new(),
            chats: BTreeMap::new(),
            acknowledged: HashSet::new(),
            written: Vec::new(),
            keeps_document: false,
            asked: false,
            host: None,
        };
        let page = Self {
            addr: listener.local_addr().unwrap(),
            world: Arc::new(Mutex::new(world)),
            trap,
        };
        let serving = page.clone();
        #[allow(clippy::disallowed_methods, reason = "ends with the test's runtime")]
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.serve(stream).await;
            }
        });
        page
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Until a host has looked for missed messages, which it does when the account is ready.
    pub(super) async fn until_ready(&self) {
        until("the host to look through the chats", async || {
            self.lock().asked.then_some(())
        })
        .await;
    }

    /// Whether the next host finds the document of the one before.
    pub(super) fn next_document(&self, keeps: bool) {
        self.lock().keeps_document = keeps;
    }

    /// The ids of the messages whose numbers a host has acknowledged.
    pub(super) fn acknowledged(&self) -> HashSet<String> {
        self.lock().acknowledged.clone()
    }

    /// The texts of all messages, by time.
    pub(super) fn written(&self) -> Vec<String> {
        self.lock().written.clone()
    }

    /// Tells the host that the endpoint has answered.
    pub(super) fn tell_answered(&self) {
        let host = self.lock().host.clone();
        if let Some(host) = host {
            host.try_send(json!({ "answered": true }).to_string()).ok();
        }
    }

    /// A message comes in.
    pub(super) fn write(&self, chat: usize, n: usize) {
        let mut world = self.lock();
        let chat_id = format!("4917{chat:04}@c.us");
        let message = message(&chat_id, &format!("{chat}-{n}"));
        world.chats.entry(chat_id).or_default().push(message.clone());
        world.written.push(message.body.clone().unwrap());
        if world.document == 0 {
            return;
        }
        world.seq += 1;
        let report = json!({
            "report": { "page_id": world.page_id(), "page_seq": world.seq, "message": message },
        });
        let seq = world.seq;
        world.ring.push((seq, message.id, report.clone()));
        if let Some(host) = &world.host {
            host.try_send(report.to_string()).ok();
            drop(world);
            self.trap.come(Place::Reported);
        }
    }

    /// One host, until its end.
    async fn serve(&self, stream: TcpStream) {
        let (read, mut write) = stream.into_split();
        let (host, mut lines) = mpsc::channel::<String>(LINES);
        {
            let mut world = self.lock();
            if world.document == 0 || !world.keeps_document {
                world.document += 1;
                world.seq = 0;
                world.ring.clear();
            }
            world.seq += 1;
            let state = json!({
                "report": { "page_id": world.page_id(), "page_seq": world.seq, "state": world.status() },
            });
            for (_, _, report) in &world.ring {
                host.try_send(report.to_string()).unwrap();
            }
            host.try_send(state.to_string()).unwrap();
            world.host = Some(host.clone());
        }
        let writing = async {
            while let Some(mut line) = lines.recv().await {
                line.push('\n');
                if write.write_all(line.as_bytes()).await.is_err() {
                    break;
                }
            }
        };
        let reading = async {
            let mut asked = BufReader::new(read).lines();
            while let Ok(Some(line)) = asked.next_line().await {
                let asked: Value = serde_json::from_str(&line).unwrap();
                let answer = json!({ "n": asked["n"], "ok": self.answer(&asked) });
                if host.send(answer.to_string()).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! { () = writing => {}, () = reading => {} }
        self.lock().host = None;
    }

    fn answer(&self, asked: &Value) -> Value {
        let mut world = self.lock();
        match asked["call"].as_str().unwrap() {
            "status" => json!(world.status()),
            "ack" => {
                if asked["page_id"] == world.page_id() {
                    let up_to = asked["page_seq"].as_u64().unwrap();
                    let known: Vec<_> = world.ring.extract_if(.., |(seq, _, _)| *seq <= up_to).collect();
                    let is_any = !known.is_empty();
                    world.acknowledged.extend(known.into_iter().map(|(_, id, _)| id));
                    drop(world);
                    if is_any {
                        self.trap.come(Place::Acknowledged);
                    }
                }
                Value::Null
            }
            "chats" => {
                world.asked = true;
                let of = |(id, messages): (&String, &Vec<Message>)| ChatSummary {
                    id: id.clone(),
                    canonical: id.clone(),
                    timestamp_ms: messages.last().map_or(0, |message| message.timestamp),
                    unread: 0,
                };
                json!(world.chats.iter().map(of).collect::<Vec<_>>())
            }
            "history" => {
                let until = asked["until"].as_i64().unwrap();
                let limit = usize::try_from(asked["limit"].as_u64().unwrap()).unwrap();
                let all = &world.chats[asked["chat"].as_str().unwrap()];
                // What was acknowledged is looked for nowhere else: a chat may be cleared on the phone.
                let is_left =
                    |message: &&Message| message.timestamp > until && !world.acknowledged.contains(&message.id);
                let found: Vec<_> = all.iter().filter(is_left).collect();
                json!(found[found.len().saturating_sub(limit)..])
            }
            other => panic!("the host asked for {other:?}"),
        }
    }
}

impl World {
    fn page_id(&self) -> String {
        format!("document {}", self.document)
    }

    fn status(&self) -> PageStatus {
        PageStatus {
            page_id: self.page_id(),
            recognised: true,
            injected: true,
            full_ready: true,
            authenticated: true,
            mode: Some("MAIN".to_owned()),
            info: Some("NORMAL".to_owned()),
            me: Some(Me {
                id: "491@c.us".to_owned(),
                phone: Some("491".to_owned()),
                ..Me::default()
            }),
            ..PageStatus::default()
        }
    }
}

fn message(chat: &str, text: &str) -> Message {
    let now = jiff::Timestamp::now().as_second() * 1000;
    Message {
        id: format!("false_{chat}_{text}"),
        chat: chat.to_owned(),
        from: chat.to_owned(),
        to: "491@c.us".to_owned(),
        author: None,
        sender: Sender {
            id: chat.to_owned(),
            ..Sender::default()
        },
        from_me: false,
        source: None,
        kind: "chat".to_owned(),
        body: Some(text.to_owned()),
        caption: None,
        media: None,
        quoted: None,
        mentions: Vec::new(),
        timestamp: now,
        ack: 1,
    }
}
