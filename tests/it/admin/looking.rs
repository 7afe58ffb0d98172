//! What programs can look at: scripts, the outbox, health; and that every route is documented.

use std::time::Duration;

use serde_json::json;
use wharf::admin;
use wharf::store::{Batch, OutboxChange, Post};

use super::rig::{Host, PATIENCE};

#[tokio::test]
async fn scripts_are_shown_with_their_handlers_and_a_mistake_with_its_line() {
    let host = Host::start().await;
    // As an editor saves: a file that is read while it is half written would be a generation more.
    let save = |name: &str, text: &str| {
        let beside = host.folder.path().join(name);
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, host.folder.path().join("scripts").join(name)).unwrap();
    };
    save(
        "good.lua",
        "wharf.on(\"message\", { is_group = false }, function(msg) end)\n",
    );
    save(
        "bad.lua",
        "wharf.on(\"message\", function(msg)\n  local x = = 1\nend)\n",
    );
    let both = async {
        loop {
            let answer = host.get("/api/scripts").await.json();
            let find = |name: &str| {
                let all = answer["scripts"].as_array().unwrap();
                all.iter()
                    .find(|script| script["name"] == name)
                    .cloned()
                    .unwrap_or_default()
            };
            let (good, bad) = (find("good"), find("bad"));
            if good["state"] == "running" && bad["state"] == "refused" {
                return (good, bad);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (good, bad) = tokio::time::timeout(PATIENCE, both).await.expect("both are read");
    assert!(good["handlers"][0].as_str().unwrap().contains("message"), "{good}");
    assert_eq!(good["generation"], 1);
    assert!(
        bad["refused"]["file"].as_str().unwrap().ends_with("bad.lua") && bad["refused"]["line"] == 2,
        "{bad}"
    );
    let page = host.get("/scripts").await;
    assert!(page.text.contains("bad.lua:2:"), "{}", page.text);
    assert!(host.get("/").await.text.contains("bad.lua:2:"));
    host.close().await;
}

#[tokio::test]
async fn the_outbox_shows_what_waits_and_what_was_given_up_without_bodies() {
    let host = Host::start().await;
    let post = |endpoint: &str| Post {
        endpoint: endpoint.to_owned(),
        chat_key: "sales/1".to_owned(),
        body: b"private words".to_vec(),
        script: Some("webhook".to_owned()),
        event_id: None,
    };
    let batch = Batch {
        posts: vec![post("crm"), post("crm")],
        ..Batch::default()
    };
    let ids = host.store.commit(batch).await.unwrap().deliveries;
    let dead = OutboxChange::Dead {
        id: ids[0].clone(),
        reason: "blocked".to_owned(),
    };
    host.store
        .commit(Batch {
            outbox: vec![dead],
            ..Batch::default()
        })
        .await
        .unwrap();
    let waiting = host.get("/api/outbox").await;
    let row = &waiting.json()["deliveries"][0];
    assert_eq!(
        (row["id"].as_str(), row["sequence"].as_u64(), row["tries"].as_u64()),
        (Some(ids[1].as_str()), Some(2), Some(0))
    );
    let dead = host.get("/api/outbox/dead?limit=5").await;
    let row = &dead.json()["deliveries"][0];
    assert_eq!(
        (row["id"].as_str(), row["reason"].as_str()),
        (Some(ids[0].as_str()), Some("blocked"))
    );
    assert!(!waiting.text.contains("private") && !dead.text.contains("private"));
    assert_eq!(host.get("/api/outbox?limit=x").await.code(), "BAD_REQUEST");
    host.close().await;
}

#[tokio::test]
async fn health_is_for_everybody_and_says_no_more() {
    let host = Host::start().await;
    assert_eq!(
        host.ask("GET", "/healthz", &[], "").await.json(),
        json!({"status": "ok"})
    );
    assert_eq!(
        host.ask("GET", "/readyz", &[], "").await.json(),
        json!({"status": "ready"})
    );
    host.close().await;
}

#[test]
fn every_route_is_documented() {
    let page = include_str!("../../../docs/http-api.md");
    for (method, path, _) in admin::routes() {
        if path.starts_with("/api") || path.ends_with("z") {
            assert!(
                page.contains(&format!("{method} {path}")),
                "docs/http-api.md lacks `{method} {path}`"
            );
        }
    }
}
