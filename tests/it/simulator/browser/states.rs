//! Codes, linking, restored and lost profiles, and what ends a link.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;

fn names(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["event"].as_str()).collect()
}

fn place(events: &[Value], name: &str) -> usize {
    names(events)
        .iter()
        .position(|found| *found == name)
        .unwrap_or_else(|| panic!("no {name} in {events:?}"))
}

#[tokio::test]
async fn a_page_is_linked_by_the_text_of_its_code_and_restored_from_its_profile() {
    let simulator = town().await;
    simulator.write(BOB, ADA, "before the link").await;
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");

    let tab = Tab::open(&kept, &simulator.url()).await;
    let code = tab.code().await;
    assert_eq!(code.split(',').count(), 4, "{code}");
    tab.event("conn.require_auth", 0, |_| true).await;
    tab.event("conn.auth_code_change", 0, |shown| shown == &json!(code))
        .await;
    tab.until("WPP.isFullReady").await;
    assert_eq!(
        tab.eval("[WPP.conn.isAuthenticated(), WPP.conn.isRegistered(), WPP.conn.isMainReady()]")
            .await,
        json!([false, false, true])
    );
    assert_eq!(tab.eval("WPP.conn.getStreamData().mode").await, "QR");

    simulator.scan(ADA, &code).await;
    tab.ready().await;
    let events = tab.events().await;
    let first_code = place(&events, "conn.auth_code_change");
    assert!(first_code < place(&events, "conn.authenticated"), "{events:?}");
    assert!(
        place(&events, "conn.authenticated") <= place(&events, "conn.main_loaded") + 1,
        "{events:?}"
    );
    let of = |name: &str| -> Vec<Value> {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .map(|event| event["data"].clone())
            .collect()
    };
    assert_eq!(
        of("conn.stream_mode_changed").last(),
        Some(&json!("MAIN")),
        "{events:?}"
    );
    assert!(of("conn.stream_info_changed").contains(&json!("PAIRING")), "{events:?}");
    assert_eq!(
        of("conn.stream_info_changed").last(),
        Some(&json!("NORMAL")),
        "{events:?}"
    );
    assert_eq!(
        of("conn.auth_code_change").last(),
        Some(&Value::Null),
        "the code is gone"
    );
    assert_eq!(of("conn.main_ready").len(), 1, "once for a document");
    assert!(
        !names(&events).contains(&"chat.new_message"),
        "history is not news: {events:?}"
    );
    assert_eq!(tab.eval("String(WPP.conn.getMyUserId())").await, format!("{ADA}@c.us"));
    assert!(
        tab.eval("String(WPP.conn.getMyUserLid())")
            .await
            .as_str()
            .unwrap()
            .ends_with("@lid")
    );
    assert_eq!(tab.eval("WPP.conn.getHistorySyncProgress().progress").await, 100);
    let history = format!("WPP.chat.getMessages('{BOB_CHAT}', {{count: 5}}).then((all) => all.map((msg) => msg.body))");
    assert_eq!(tab.eval(&history).await, json!(["before the link"]));
    tab.close().await;

    let tab = Tab::open(&kept, &simulator.url()).await;
    tab.ready().await;
    let events = tab.events().await;
    assert!(
        !names(&events).contains(&"conn.authenticated"),
        "that is for a fresh link alone: {events:?}"
    );
    assert!(
        !events
            .iter()
            .any(|event| event["event"] == "conn.auth_code_change" && !event["data"].is_null()),
        "{events:?}"
    );
    assert_eq!(tab.eval(&history).await, json!(["before the link"]));
    assert_eq!(simulator.phone(ADA).await["devices"].as_array().unwrap().len(), 1);
    tab.close().await;

    // Half a profile is no login.
    let lost = kept.join("Default/Local Storage");
    std::fs::remove_dir_all(lost).unwrap();
    let tab = Tab::open(&kept, &simulator.url()).await;
    tab.code().await;
    assert_eq!(tab.eval("WPP.conn.isAuthenticated()").await, false);
    tab.close().await;
    simulator.end().await;
}

#[tokio::test]
async fn codes_rotate_until_the_page_is_asked_for_new_ones() {
    let simulator = Simulator::with_codes_of(Duration::from_millis(1500)).await;
    // Six codes in nine seconds: the library must be there before the last of them is gone.
    let folder = tempfile::tempdir().unwrap();
    let tab = Tab::open(folder.path(), &simulator.url()).await;
    let (idle, _) = tab.event("conn.qrcode_idle", 0, |_| true).await;
    let events = tab.events().await;
    let mut codes: Vec<_> = events
        .iter()
        .filter(|event| event["event"] == "conn.auth_code_change" && !event["data"].is_null())
        .collect();
    let shown = codes.len();
    codes.dedup();
    assert!(
        shown >= 3 && codes.len() == shown,
        "{shown} codes, {} of them different",
        codes.len()
    );
    assert!(simulator.state().await["waiting"].as_array().unwrap().is_empty());

    tab.eval("WPP.conn.refreshQR().then(() => true)").await;
    tab.event("conn.auth_code_change", idle, |code| !code.is_null()).await;
    tab.close().await;
}

#[tokio::test]
async fn a_page_is_told_when_it_is_unlinked_replaced_or_not_served() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;

    // The same profile in another tab: the newer one wins, the older can take over.
    let other = tab.another(&simulator.url()).await;
    tab.event("conn.stream_mode_changed", 0, |mode| mode == "CONFLICT")
        .await;
    let (at, _) = tab
        .event("conn.stream_mode_changed", 0, |mode| mode == "CONFLICT")
        .await;
    tab.eval("WPP.whatsapp.Socket.takeover()").await;
    tab.event("conn.stream_mode_changed", at, |mode| mode == "MAIN").await;
    other.close().await.unwrap();
    tab.ready().await;

    // The server does not serve it for a while.
    for mode in ["PROXYBLOCK", "TOS_BLOCK", "SMB_TOS_BLOCK"] {
        simulator.faults(json!({"block": mode})).await;
        tab.event("conn.stream_mode_changed", 0, |now| now == mode).await;
        let stands = tab
            .eval("[WPP.conn.getStreamData().mode, WPP.whatsapp.Socket.state]")
            .await;
        assert_eq!(stands, json!([mode, mode]));
        simulator.faults(json!({})).await;
        tab.go(&simulator.url()).await;
        tab.ready().await;
    }
    simulator.faults(json!({"block": "DEPRECATED_VERSION"})).await;
    tab.event("conn.needs_update", 0, |_| true).await;
    tab.event("conn.stream_mode_changed", 0, |mode| mode == "DEPRECATED_VERSION")
        .await;
    simulator.faults(json!({})).await;
    tab.go(&simulator.url()).await;
    tab.ready().await;

    // The phone removes it.
    let before = tab.events().await.len();
    simulator.unlink(ADA).await;
    let (out, _) = tab.event("conn.logout", before, |_| true).await;
    tab.event("conn.logout_reason", before, |reason| reason == "unknown_companion")
        .await;
    tab.event("conn.auth_code_change", out, |code| !code.is_null()).await;
    assert!(
        tab.eval("location.search")
            .await
            .as_str()
            .unwrap()
            .starts_with("?post_logout=1")
    );
    assert_eq!(tab.eval("WPP.conn.isAuthenticated()").await, false);

    // It unlinks itself.
    let code = tab.code().await;
    simulator.scan(ADA, &code).await;
    tab.ready().await;
    let before = tab.events().await.len();
    tab.eval("WPP.conn.logout().then(() => true)").await;
    tab.event("conn.logout", before, |_| true).await;
    tab.event("conn.logout_reason", before, |reason| reason == "user_initiated")
        .await;
    until("the phone has no device", async || {
        simulator.phone(ADA).await["devices"]
            .as_array()
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    tab.close().await;
}

#[tokio::test]
async fn a_page_without_its_server_is_offline_after_a_while_and_connects_again() {
    let simulator = town().await;
    let folder = tempfile::tempdir().unwrap();
    let tab = linked(&simulator, folder.path(), ADA).await;
    assert_eq!(tab.eval("WPP.whatsapp.Socket.state").await, "CONNECTED");
    simulator
        .faults(json!({"drop_sockets": true, "refuse_sockets": true}))
        .await;
    let (at, _) = tab.event("conn.stream_mode_changed", 0, |mode| mode == "OFFLINE").await;
    assert_eq!(tab.eval("WPP.whatsapp.Socket.state").await, "TIMEOUT");
    simulator.faults(json!({})).await;
    tab.event("conn.stream_mode_changed", at, |mode| mode == "MAIN").await;
    tab.ready().await;
    assert_eq!(tab.eval("WPP.whatsapp.Socket.state").await, "CONNECTED");
    tab.close().await;
}
