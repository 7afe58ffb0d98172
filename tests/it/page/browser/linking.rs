//! Codes, links that are kept, the end of a link, and what the library may and may not do.

use tokio_util::task::TaskTracker;
use wharf::config::resolved::BrowserKind;
use wharf::page::{Error, Format, PageEvent, PageStatus};

use crate::page::rig::{Opened, Simulator, look, processes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_profile_shows_a_code_and_a_linked_one_does_not_in_the_shell() {
    linked_once(BrowserKind::Shell).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_profile_shows_a_code_and_a_linked_one_does_not_in_chromium() {
    linked_once(BrowserKind::Chromium).await;
}

async fn linked_once(kind: BrowserKind) {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open_kind(profile.path(), &simulator.url(), kind).await;
    let status = opened.status(|status| status.full_ready && status.qr.is_some()).await;
    assert!(
        status.recognised && !status.authenticated && !status.is_usable(),
        "{status:?}"
    );
    assert_eq!(status.mode.as_deref(), Some("QR"));

    let png = opened.tab.snapshot(Format::Png).await.unwrap();
    let picture = image::load_from_memory(&png).unwrap();
    // Chromium takes a part of its window for a bar that nobody sees.
    assert!(
        picture.width() == 1280 && (600..=800).contains(&picture.height()),
        "{picture:?}"
    );
    let first = picture.to_rgb8().get_pixel(0, 0).to_owned();
    assert!(
        picture.to_rgb8().pixels().any(|pixel| *pixel != first),
        "the picture shows nothing"
    );
    let jpeg = opened.tab.snapshot(Format::Jpeg).await.unwrap();
    assert!(jpeg.starts_with(&[0xff, 0xd8, 0xff]) && jpeg.ends_with(&[0xff, 0xd9]));

    let status = opened.link(&simulator, "491700000001").await;
    let me = status.me.unwrap();
    assert_eq!(
        (me.id.as_str(), me.phone.as_deref()),
        ("491700000001@c.us", Some("491700000001"))
    );
    opened
        .event(|event| matches!(event, PageEvent::Authenticated).then_some(()))
        .await;
    opened.close().await;
    assert_eq!(processes(profile.path()), Vec::<i32>::new());

    let opened = Opened::open_kind(profile.path(), &simulator.url(), kind).await;
    let status = opened.status(PageStatus::is_usable).await;
    assert_eq!(status.me.unwrap().phone.as_deref(), Some("491700000001"));
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobodys_presence_is_asked_for_and_no_receipt_of_reading_is_sent() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    simulator.write("491700000002", "491700000001", "hello").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    // Restored with its chats there: now the library would subscribe to each.
    opened.tab.reload().await.unwrap();
    opened
        .status(|status| status.is_usable() && status.page_id != opened.page_id)
        .await;
    let asked = look(
        profile.path(),
        "JSON.stringify(WPP.whatsapp.ChatStore.getModelsArray().map((chat) => chat.presence.subscriptions))",
    )
    .await;
    let asked: Vec<u64> = serde_json::from_str(asked.as_str().unwrap()).unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|count| *count == 0), "{asked:?}");
    // Only kept quiet, not broken.
    let later = look(
        profile.path(),
        "(() => { const it = WPP.whatsapp.ChatStore.getModelsArray()[0].presence; it.subscribe(); return it.subscriptions; })()",
    )
    .await;
    assert_eq!(later, 1);
    let settings = look(
        profile.path(),
        "JSON.stringify([WPPConfig.disableGoogleAnalytics, WPPConfig.linkPreviewApiServers])",
    )
    .await;
    assert_eq!(settings, "[true,[]]");
    let written = simulator
        .control("GET", "phones/491700000002/messages", &serde_json::Value::Null)
        .await;
    assert_eq!(
        (&written[0]["text"], &written[0]["ack"]),
        (&"hello".into(), &2.into()),
        "delivered, not read"
    );
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_library_does_not_find_in_the_page_is_named() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.status(|status| status.full_ready).await;
    look(
        profile.path(),
        "importNamespace('WAWebFindChatAction').findOrCreateLatestChat = undefined; 0",
    )
    .await;
    opened.link(&simulator, "491700000001").await;
    let status = opened.status(|status| !status.missing.is_empty()).await;
    assert_eq!(status.missing, ["whatsapp.functions.findOrCreateLatestChat"]);
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_reported_and_shows_a_code_again() {
    let profile = tempfile::tempdir().unwrap();
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    let mut opened = Opened::open(profile.path(), &simulator.url()).await;
    opened.link(&simulator, "491700000001").await;
    let tab = opened.tab.clone();
    let asked = TaskTracker::new().spawn(async move { tab.logout().await });
    opened
        .event(|event| matches!(event, PageEvent::LoggedOut { .. }).then_some(()))
        .await;
    // The page loads itself anew at once, so the answer may be cut off; the event is what counts.
    if let Err(error) = asked.await.unwrap() {
        assert!(matches!(error, Error::DocumentChanged { .. }), "{error}");
    }
    opened.qr().await;
    opened.close().await;
}
