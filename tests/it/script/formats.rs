//! What the shipped formats post, held against the types that the other projects publish.
//!
//! The posts are real: events go through the plugin into an outbox. whatsapp-web.js publishes the types of its library with it,
//! against which TypeScript checks them. WAHA publishes an API description, from which the Python package `waha-py` is
//! generated.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wharf::event::{Draft, Kind, Origin};

use super::bench::{Bench, now};
use super::since::with_plugin;
use crate::support::fetched;

const CHAT: &str = "491700000002@c.us";
const GROUP: &str = "120363041234567890@g.us";
const OWN: &str = "491700000001@c.us";

fn draft(name: &str, data: &Value) -> Draft {
    Draft {
        event: Kind::parse(name).unwrap(),
        account: Some("sales".parse().unwrap()),
        timestamp: now(),
        origin: Origin::Live,
        data: data.as_object().cloned().unwrap(),
    }
}

/// A message with all its fields, some of them other than usual.
fn message(name: &str, more: &Value) -> Draft {
    let from_me = name == "message.any";
    let mut data = json!({
        "id": format!("{from_me}_{CHAT}_3EB0C767D097B7C7C030"), "chat": CHAT,
        "from": if from_me { OWN } else { CHAT }, "to": if from_me { CHAT } else { OWN }, "author": null,
        "sender": {"id": CHAT, "lid": null, "phone": "491700000002", "name": "Ann"}, "from_me": from_me, "source": null,
        "type": "chat", "body": "Grüße \"Ann\"", "caption": null, "media": null, "quoted": null, "mentions": [],
        "timestamp": now(), "ack": 1,
    });
    let fields = data.as_object_mut().unwrap();
    fields.extend(more.as_object().cloned().unwrap());
    draft(name, &data)
}

/// Events of each kind that a format knows.
fn events() -> Vec<Draft> {
    let picture = json!({
        "id": format!("false_{GROUP}_3EB0A1_{CHAT}"), "chat": GROUP, "from": GROUP, "author": CHAT, "type": "image",
        "body": null, "caption": "Look", "mentions": [OWN], "ack": 3,
        "media": {"id": "m1", "mimetype": "image/jpeg", "filename": "a.jpg", "size": 5, "sha256": null, "status": "here"},
        "quoted": {"id": format!("true_{GROUP}_3EB0B2"), "from": OWN, "body": "What?"},
    });
    let acks =
        json!({"chat": CHAT, "ids": [format!("true_{CHAT}_A1"), format!("true_{CHAT}_A2")], "ack": 2, "sender": CHAT});
    let mut events = vec![
        message("message", &json!({})),
        message("message", &picture),
        message("message.any", &json!({"source": "phone", "ack": 0})),
        message("message.any", &json!({"source": "script", "ack": -1})),
        draft("message.ack", &acks),
        draft("account.qr", &json!({"attempt": 1, "expires_at": now()})),
        draft("account.authenticated", &json!({"phone": "491700000001"})),
        draft("account.ready", &json!({"phone": "491700000001"})),
    ];
    for state in ["disconnected", "logged_out", "unpaired", "blocked", "failed"] {
        events.push(draft(
            "account.disconnected",
            &json!({"state": state, "reason": "update_required"}),
        ));
    }
    for state in ["stopped", "starting", "qr", "pairing", "syncing"] {
        events.push(draft(
            "account.status",
            &json!({"state": state, "reason": null, "previous": "ready"}),
        ));
    }
    events
}

/// What is posted of all events in a format.
async fn posts(format: &str, count: usize) -> Vec<Value> {
    let bench: Bench = with_plugin().await;
    bench.route(&format!(
        "{{ endpoint = 'crm', format = '{format}', events = ['message'] }}, \
         {{ endpoint = 'crm', format = '{format}', events = ['*'] }}"
    ));
    bench.until_view("hooks", |view| view.generation == 2).await;
    bench.journal(events()).await;
    bench.until_finished("hooks").await;
    bench.until_posted(count).await;
    bench.posts().await
}

/// How many posts there are of each name.
fn named<'a>(posts: &'a [Value], field: &str) -> Vec<(&'a str, usize)> {
    let mut names: Vec<&str> = posts.iter().map(|post| post[field].as_str().unwrap()).collect();
    names.sort_unstable();
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for name in names {
        match counts.last_mut() {
            Some((last, count)) if *last == name => *count += 1,
            _ => counts.push((name, 1)),
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_as_whatsapp_web_js_is_of_the_types_that_it_publishes() {
    let posts = posts("whatsapp-web.js", 15).await;
    assert_eq!(
        named(&posts, "dataType"),
        [
            ("authenticated", 1),
            ("change_state", 1),
            ("disconnected", 4),
            ("message", 2),
            ("message_ack", 2),
            ("message_create", 4),
            ("ready", 1)
        ]
    );
    let mut source = include_str!("formats/posts.ts").to_owned();
    for post in &posts {
        source += &format!("take({post});\n");
    }
    assert_eq!(typescript(&source), "");
    // The check can fail: a number that is none, a field and a name that the library does not have.
    for (from, to) in [
        ("\"ack\":1", "\"ack\":\"1\""),
        ("\"hasMedia\"", "\"has_media\""),
        ("\"type\":\"chat\"", "\"type\":\"text\""),
        ("\"reason\":\"LOGOUT\"", "\"reason\":\"logged_out\""),
    ] {
        let wrong = source.replace(from, to);
        assert_ne!(wrong, source, "{from}");
        assert!(typescript(&wrong).contains("error TS"), "{to} was taken");
    }
}

/// What the TypeScript compiler says of a source that uses the package.
fn typescript(source: &str) -> String {
    let compiler = fetched::npm("typescript", "5.9.3");
    let library = fetched::npm("whatsapp-web.js", "1.34.7");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("node_modules")).unwrap();
    std::os::unix::fs::symlink(library, folder.path().join("node_modules/whatsapp-web.js")).unwrap();
    std::fs::write(folder.path().join("posts.ts"), source).unwrap();
    let ran = Command::new("node")
        .arg(compiler.join("lib/tsc.js"))
        .args([
            "--noEmit",
            "--strict",
            "--skipLibCheck",
            "--module",
            "nodenext",
            "posts.ts",
        ])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(
        ran.status.success(),
        said.is_empty(),
        "{said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_as_waha_is_what_its_api_description_says() {
    let posts = posts("waha", 20).await;
    assert_eq!(
        named(&posts, "event"),
        [
            ("message", 2),
            ("message.ack", 2),
            ("message.any", 4),
            ("session.status", 12)
        ]
    );
    assert_eq!(described(&posts), "");
    let text = posts.iter().find(|post| post["event"] == "message").unwrap();
    for (field, wrong) in [
        ("/payload/ack", json!("SERVER")),
        ("/payload/hasMedia", json!(null)),
        ("/payload/source", json!("script")),
        ("/engine", json!("WHARF")),
        ("/environment/worker", json!({})),
    ] {
        let mut other = text.clone();
        *other.pointer_mut(field).unwrap_or_else(|| panic!("{field}")) = wrong;
        assert_ne!(described(&[other]), "", "{field} was taken");
    }
    let mut other = text.clone();
    other["payload"]["chat"] = json!(CHAT);
    assert_ne!(described(&[other]), "", "a field that WAHA does not have was taken");
}

/// What is wrong with posts by the description, a line each.
fn described(posts: &[Value]) -> String {
    let packages = ["waha-py==2026.9.2", "pydantic==2.14.4", "httpx==0.28.1"];
    let python = fetched::python("waha-py-2026.9.2", &packages);
    let mut child = Command::new(python)
        .args(["-c", include_str!("formats/described.py")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    for post in posts {
        writeln!(lines, "{post}").unwrap();
    }
    drop(lines);
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}
