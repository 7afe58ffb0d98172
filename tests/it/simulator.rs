//! The simulator from outside: its control API over HTTP, and its page under the unmodified library in a real browser.

mod browser;

use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::json;

use crate::support::simulator::Simulator;

#[tokio::test]
async fn what_one_phone_writes_another_shows_with_its_acks() {
    let simulator = Simulator::start().await;
    simulator.add_phone("+49 151-100", "Ada").await;
    simulator.add_phone("49200", "Bob").await;
    simulator.set_online("49200", false).await;
    let sent = simulator.write("49151100", "49200", "hello").await;
    assert_eq!((sent.kind.as_str(), sent.ack, sent.from_me), ("text", 1, true));

    simulator.set_online("49200", true).await;
    assert_eq!(simulator.messages("49151100").await[0].ack, 2);
    let received = simulator.messages("49200").await.remove(0);
    assert_eq!(received.id, sent.id);
    assert_eq!(
        (received.from.as_str(), received.to.as_str()),
        ("49151100@c.us", "49200@c.us")
    );
    assert_eq!((received.text.as_str(), received.timestamp), ("hello", sent.timestamp));

    simulator.read("49200", "49151100").await;
    assert_eq!(simulator.messages("49151100").await[0].ack, 3);
    simulator.end().await;
}

#[tokio::test]
async fn a_message_can_be_dated_in_the_past() {
    let simulator = Simulator::start().await;
    simulator.add_phone("100", "Ada").await;
    simulator.add_phone("200", "Bob").await;
    simulator.write("100", "200", "now").await;
    let old = json!({"to": "200@c.us", "text": "then", "timestamp": 1_600_000_000_000_i64, "id": "3AOLD"});
    simulator.write_with("100", old).await;
    let texts: Vec<_> = simulator
        .messages("200")
        .await
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(texts, ["then", "now"]);
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_code_and_a_sentence() {
    let simulator = Simulator::start().await;
    simulator.add_phone("100", "Ada").await;
    let group = simulator.add_group("Alone", &["100"]).await;
    simulator.add_phone("200", "Bob").await;
    let cases = [
        (
            "/phones",
            json!({"number": "100"}),
            StatusCode::CONFLICT,
            "PHONE_EXISTS",
        ),
        (
            "/phones",
            json!({"number": "../x"}),
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
        ),
        (
            "/phones",
            json!({"number": "300", "nmae": "Cleo"}),
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
        ),
        (
            "/phones/300/messages",
            json!({"to": "100", "text": "x"}),
            StatusCode::NOT_FOUND,
            "PHONE_NOT_FOUND",
        ),
        (
            "/phones/100/messages",
            json!({"to": "300", "text": "x"}),
            StatusCode::NOT_FOUND,
            "CHAT_NOT_FOUND",
        ),
        (
            "/phones/200/messages",
            json!({"to": group, "text": "x"}),
            StatusCode::FORBIDDEN,
            "NOT_A_MEMBER",
        ),
        (
            "/phones/100/scan",
            json!({"qr": "https://example.org"}),
            StatusCode::GONE,
            "CODE_EXPIRED",
        ),
        (
            "/phones/100/scan",
            json!({"qr": "a,b"}),
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
        ),
        (
            "/groups",
            json!({"name": "Nobody", "members": []}),
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
        ),
        (
            "/faults",
            json!({"refuse_everything": true}),
            StatusCode::BAD_REQUEST,
            "BAD_REQUEST",
        ),
    ];
    for (path, body, status, code) in cases {
        let (answered, error) = simulator.ask(Method::POST, path, Some(body.clone())).await;
        assert_eq!(
            (answered, error["error_code"].as_str()),
            (status, Some(code)),
            "{path} {body} {error}"
        );
        assert!(
            error["error"].as_str().is_some_and(|sentence| sentence.len() > 10),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_turned_away() {
    let simulator = Simulator::start().await;
    let own = format!("http://{}", simulator.addr());
    for path in ["/control/state", "/control/changes", "/ws"] {
        let (status, ..) = simulator
            .raw(Method::GET, path, &[("origin", "http://evil.example")], None)
            .await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    }
    let (status, ..) = simulator
        .raw(Method::GET, "/control/state", &[("origin", &own)], None)
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn both_pages_run_under_a_strict_policy() {
    let simulator = Simulator::start().await;
    for path in ["/", "/?post_logout=1", "/start.js", "/phones", "/phones/phones.js"] {
        let (status, headers, text) = simulator.raw(Method::GET, path, &[], None).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("require-trusted-types-for 'script'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!text.is_empty());
    }
    let (status, ..) = simulator.raw(Method::GET, "/../Cargo.toml", &[], None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_page_can_stand_in_place_of_whatsapp_web() {
    let simulator = Simulator::start().await;
    for (stranger, status, text) in [
        ("404", StatusCode::NOT_FOUND, "Not Found"),
        ("empty", StatusCode::OK, "<title></title>"),
        ("login", StatusCode::OK, "password"),
        ("302", StatusCode::FOUND, ""),
    ] {
        simulator.faults(json!({"unrecognised_page": stranger})).await;
        let (answered, _, page) = simulator.raw(Method::GET, "/", &[], None).await;
        assert_eq!(answered, status);
        assert!(page.contains(text) && !page.contains("start.js"), "{page}");
    }
    simulator.faults(json!({})).await;
    let (_, _, page) = simulator.raw(Method::GET, "/", &[], None).await;
    assert!(page.contains("start.js"), "{page}");
}

#[test]
fn the_simulator_does_not_know_its_host() {
    let words = ["wharf", "use crate::", "agent", "page_seq", "page_id"];
    let mut files = 0;
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/simulator")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap().to_lowercase();
            let found: Vec<_> = words.iter().filter(|word| text.contains(**word)).collect();
            assert!(found.is_empty(), "{} names {found:?}", path.display());
        }
    }
    assert!(files > 40, "only {files} files were looked at");
}
