//! What those who run wharf do and see: backups, restoring, the doctor, starts after an end out of order.

mod backups;
mod browser;
mod damage;

use std::path::Path;
use std::process::Command;

use serde_json::json;
use wharf::event::{Draft, Kind, Origin};
use wharf::store::{Batch, KvOp, KvWrite, NewEvent, Post, Store};

use crate::support::host::Home;

/// No WhatsApp is there.
const NOWHERE: &str = "http://127.0.0.1:9/";

/// What a command has ended with and said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Said {
    fn by(mut command: Command) -> Self {
        let ran = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: ran.status.code(),
            out: text(ran.stdout),
            errors: text(ran.stderr),
        }
    }

    /// It went well.
    #[track_caller]
    fn fine(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It failed with a text that holds this.
    #[track_caller]
    fn refused(self, text: &str) -> Self {
        assert!(self.code == Some(1) && self.errors.contains(text), "{self:?}");
        self
    }
}

fn wharf(home: &Home, arguments: &[&str]) -> Said {
    Said::by(home.command(arguments))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// One commit: an event, a count in kv, a post.
fn batch(n: i64) -> Batch {
    let data =
        json!({ "id": format!("M{n}"), "chat": "100@c.us", "body": format!("message number {n}"), "timestamp": n });
    Batch {
        events: vec![NewEvent::from(Draft {
            event: Kind::MESSAGE,
            account: Some("shop".parse().unwrap()),
            timestamp: n,
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap(),
        })],
        kv: vec![KvWrite {
            space: "s".to_owned(),
            key: "count".to_owned(),
            op: KvOp::Set(n.to_string().into()),
            expires_at: None,
        }],
        posts: vec![Post {
            endpoint: "crm".to_owned(),
            chat_key: "shop/100@c.us".to_owned(),
            body: n.to_string().into(),
            script: None,
            event_id: None,
        }],
        ..Batch::default()
    }
}

/// Fills the store of a stopped host.
async fn fill(data: &Path, count: i64) {
    std::fs::create_dir_all(data).unwrap();
    let store = Store::open(data, 16 << 20).unwrap();
    for n in 1..=count {
        store.commit(batch(n)).await.unwrap();
    }
    store.close().await.unwrap();
}

/// What a store that nobody uses holds: events, what was counted, deliveries that wait.
async fn held(data: &Path) -> (usize, i64, usize) {
    let store = Store::open(data, 16 << 20).unwrap();
    let count = store.kv_get("s", "count").await.unwrap().unwrap().value;
    let held = (
        store.events(0, 1000).await.unwrap().len(),
        serde_json::from_slice(&count).unwrap(),
        store.deliveries(1000).await.unwrap().len(),
    );
    store.close().await.unwrap();
    held
}

/// Every file of a store, and what is in it.
fn bytes_of(store: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(store).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(bytes_of(&path));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

/// Changes a bit of the log, in the middle of a text that lies there.
fn flip(data: &Path, text: &str) {
    let log = data.join("store/db");
    let mut bytes = std::fs::read(&log).unwrap();
    let found = bytes.windows(text.len()).position(|part| part == text.as_bytes());
    let at = found.unwrap_or_else(|| panic!("{text:?} is not in the log"));
    bytes[at + text.len() / 2] ^= 0x04;
    std::fs::write(log, bytes).unwrap();
}
