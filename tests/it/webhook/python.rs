//! The standard's own library for Python accepts what we sign: one signature, two after a change of secret, and the vector of
//! the documentation.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::rig::{Got, Outbox, Receiver, SECRET, at_once, endpoint};

const LIBRARY: &str = "standardwebhooks==1.1.0";
const NEW: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

const VERIFY: &str = r#"
import json, sys
from datetime import datetime, timezone
import standardwebhooks.webhooks as library
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for case in json.load(sys.stdin):
    if case["now"]:
        moment = datetime.fromtimestamp(case["now"], tz=timezone.utc)
        class Then(datetime):
            @classmethod
            def now(cls, tz=None):
                return moment
        library.datetime = Then
    try:
        Webhook(case["secret"]).verify(case["body"].encode(), case["headers"])
        print("good")
    except WebhookVerificationError as error:
        print("bad:", error)
"#;

fn run(command: &mut Command, what: &str) {
    let output = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        output.status.success(),
        "{what} failed; Debian's package python3-venv and access to PyPI are needed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A Python with the library, made once for each target folder.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks-1.1.0");
    let python = home.join("bin/python");
    if !home.join("ready").exists() {
        run(
            Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home),
            "python3 -m venv",
        );
        let mut pip = Command::new(&python);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            LIBRARY,
        ]);
        run(&mut pip, "pip install");
        std::fs::write(home.join("ready"), "").unwrap();
    }
    python
}

fn case(secret: &str, got: &Got) -> Value {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: Vec<(&str, &str)> = names.into_iter().map(|name| (name, got.header(name))).collect();
    json!({"secret": secret, "body": got.body, "now": null, "headers": Value::from_iter(headers)})
}

/// The vector that stands in docs/webhooks.md.
fn documented() -> Value {
    let page = include_str!("../../../docs/webhooks.md");
    let (_, table) = page.split_once("### Test vector").unwrap();
    let cell = |name: &str| {
        let row = table
            .lines()
            .find(|line| line.starts_with(&format!("| {name}")))
            .unwrap();
        row.split('`').rev().nth(1).unwrap().to_owned()
    };
    let timestamp = cell("`webhook-timestamp`");
    json!({
        "secret": cell("secret"), "body": cell("body"), "now": timestamp.parse::<u64>().unwrap(),
        "headers": {"webhook-id": cell("`webhook-id`"), "webhook-timestamp": timestamp, "webhook-signature": cell("`webhook-signature`")},
    })
}

#[tokio::test]
async fn the_standards_library_for_python_accepts_our_signatures_and_no_others() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let with = |secret: &str| format!("{}secret = \"{secret}\"\n", endpoint("crm", &receiver.url("/")));
    let (old, new) = (with(SECRET), with(NEW));
    let outbox = Outbox::open(folder.path(), &old);
    outbox.post("crm", "a/1", r#"{"text":"Grüße"}"#).await;
    let one = receiver.next().await;
    outbox.change_config(&new);
    outbox.post("crm", "a/1", r#"{"text":"zwei"}"#).await;
    let two = receiver.next().await;
    outbox.close().await;
    let mut altered = one.clone();
    altered.body.push(' ');
    let cases = [
        case(SECRET, &one),
        case(NEW, &one),
        case(SECRET, &altered),
        case(SECRET, &two),
        case(NEW, &two),
        documented(),
    ];

    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let mut child = Command::new(python)
        .args(["-c", VERIFY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_string(&cases).unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let said: Vec<&str> = said.lines().map(|line| line.split(':').next().unwrap()).collect();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, ["good", "bad", "bad", "good", "good", "good"], "{wrong}");
}
