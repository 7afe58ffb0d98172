//! Where a tab can go, recorded outside the browser, when the page does its worst: it follows every link of every message.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wharf::action::Content;
use wharf::config::resolved::BrowserKind;

use crate::page::recorder::Recorder;
use crate::page::rig::{Opened, Simulator, launch};
use crate::page::stranger::{Forbidden, Stranger};
use crate::support::until;

const SHELL: &str = "/usr/lib/chromium/chromium-headless-shell";
const CHROMIUM: &str = "/usr/lib/chromium/chromium";

/// The arguments that limit where a tab can go, as a pattern of the shell.
const RULES: &str = "--host-resolver-rules=*|--force-webrtc-ip-handling-policy=*|--webrtc-ip-handling-policy=*";

/// As the simulator's page names them.
const WAYS: &[&str] = &["fetch", "image", "socket", "worker", "stun"];
/// The headless shell has nobody who takes these up.
const HINTS: &[&str] = &["prefetch", "preconnect"];

/// A simulator whose page follows links, two phones, and what must not be reached: another port of the same address.
async fn world() -> (Simulator, Forbidden) {
    let simulator = Simulator::start().await;
    simulator.phone("491700000001", "Ada").await;
    simulator.phone("491700000002", "Bob").await;
    simulator
        .control("POST", "faults", &json!({"follow_links": true}))
        .await;
    (simulator, Forbidden::start().await)
}

fn links(forbidden: &Forbidden) -> String {
    format!("see http://wharf-leak.test/a and http://{}/b", forbidden.addr)
}

/// Waits until the page has tried so many links in all ways.
async fn followed(simulator: &Simulator, many: u64) {
    until("the links to be followed", async || {
        let state = simulator.control("GET", "state", &Value::Null).await;
        (state["followed"].as_u64().unwrap() >= many).then_some(())
    })
    .await;
}

fn reaches_its_origin_only(kind: BrowserKind, browser: &str) {
    let profile = tempfile::tempdir().unwrap();
    let recorder = Recorder::new();
    let watching = Runtime::new().unwrap();
    let (simulator, forbidden) = watching.block_on(world());
    let only = BTreeSet::from([format!("tcp {}", simulator.addr)]);

    let host = Runtime::new().unwrap();
    let opened = host.block_on(async {
        let mut wanted = launch(profile.path(), &simulator.url(), kind);
        wanted.browser.executable = Some(recorder.wrap(Path::new(browser), ""));
        let mut opened = Opened::open_as(wanted).await;
        opened.link(&simulator, "491700000001").await;
        simulator
            .write("491700000002", "491700000001", &links(&forbidden))
            .await;
        let to = opened.tab.resolve("491700000002").await.unwrap();
        let content = Content::Text {
            text: links(&forbidden),
            quote: None,
            mentions: Vec::new(),
        };
        opened.tab.order(&to.message_id, &to.chat, &content).await.unwrap();
        opened
    });
    watching.block_on(followed(&simulator, 4));
    assert_eq!(recorder.seen(), only, "with a host");

    // As when a host is killed: nothing of it runs on, nothing is said to the browser.
    host.shutdown_background();
    drop(opened);
    watching.block_on(async {
        simulator
            .write("491700000002", "491700000001", &links(&forbidden))
            .await;
        followed(&simulator, 6).await;
        assert_eq!(recorder.seen(), only, "without a host");
        assert_eq!(forbidden.visits().await, 0);
        let quiet = Stranger::start("<!doctype html>", "").await;
        Opened::open(profile.path(), &quiet.url()).await.close().await;
    });
}

#[test]
fn the_shell_looks_up_and_reaches_the_configured_origin_only_whatever_links_a_message_has() {
    reaches_its_origin_only(BrowserKind::Shell, SHELL);
}

#[test]
fn chromium_looks_up_and_reaches_the_configured_origin_only_whatever_links_a_message_has() {
    reaches_its_origin_only(BrowserKind::Chromium, CHROMIUM);
}

/// Without this the tests above would prove nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_page_in_the_same_browser_without_wharfs_rules_is_seen_to_look_up_and_reach_every_link() {
    for (kind, browser, hints) in [
        (BrowserKind::Shell, SHELL, [].as_slice()),
        (BrowserKind::Chromium, CHROMIUM, HINTS),
    ] {
        let profile = tempfile::tempdir().unwrap();
        let recorder = Recorder::new();
        let (simulator, forbidden) = world().await;
        let mut wanted = launch(profile.path(), &simulator.url(), kind);
        wanted.browser.executable = Some(recorder.wrap(Path::new(browser), RULES));
        let mut opened = Opened::open_as(wanted).await;
        opened.link(&simulator, "491700000001").await;
        simulator
            .write("491700000002", "491700000001", &links(&forbidden))
            .await;
        followed(&simulator, 2).await;
        let seen = recorder.seen();
        let has = |what: &str| seen.iter().any(|line| line.ends_with(what));
        for way in WAYS.iter().chain(hints) {
            assert!(has(&format!(" {way}.wharf-leak.test")), "{browser}, {way}: {seen:?}");
        }
        for protocol in ["tcp", "udp"] {
            assert!(
                has(&format!("{protocol} {}", forbidden.addr)),
                "{browser}, {protocol}: {seen:?}"
            );
        }
        assert!(forbidden.visits().await > 0);
        opened.close().await;
    }
}
