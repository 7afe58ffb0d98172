//! Where a tab goes, recorded outside the browser, when its page follows every link that it is sent; and the same page in a
//! browser without wharf's limits, which shows that the record would tell.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokio::net::UdpSocket;
use wharf::action::Content;
use wharf::config::resolved::BrowserKind;
use wharf::page::Ordered;

use crate::page::rig::{Opened, Simulator, launch, processes};
use crate::page::stranger::Forbidden;
use crate::support::browser::Tab;
use crate::support::recorder::Recorder;
use crate::support::until;

const SHELL: &str = "/usr/lib/chromium/chromium-headless-shell";
const CHROMIUM: &str = "/usr/lib/chromium/chromium";
const ADA: &str = "491700000001";
const BOB: &str = "491700000002";

/// A simulator whose page follows links, and the place of a link that nobody may reach: TCP and UDP, another port of the
/// page's own address.
struct World {
    simulator: Simulator,
    other: Forbidden,
    datagrams: UdpSocket,
}

impl World {
    async fn start() -> Self {
        let simulator = Simulator::start().await;
        simulator.phone(ADA, "Ada").await;
        simulator.phone(BOB, "Bob").await;
        simulator
            .control("POST", "faults", &json!({"follow_links": true}))
            .await;
        let other = Forbidden::start().await;
        let datagrams = UdpSocket::bind(other.addr).await.unwrap();
        Self {
            simulator,
            other,
            datagrams,
        }
    }

    /// A text with links to another host, by name, and to another port of this one.
    fn links(&self, about: &str) -> String {
        let port = self.other.addr.port();
        format!("{about} http://wharf-leak.test/ http://127.0.0.1:{port}/ http://localhost:{port}/")
    }

    /// Waits until the page has followed the links of so many messages.
    async fn followed(&self, many: u64) {
        until("the page follows links", async || {
            let state = self.simulator.control("GET", "state", &Value::Null).await;
            (state["followed"].as_u64()? >= many).then_some(())
        })
        .await;
    }

    /// What of the record is not the page's own address.
    fn elsewhere(&self, recorder: &Recorder) -> BTreeSet<String> {
        let own = format!("tcp 127.0.0.1 {}", self.simulator.addr.port());
        let mut seen = recorder.seen();
        assert!(
            seen.remove(&own),
            "the recorder did not see the page's own address: {seen:?}"
        );
        // To look an address up is to read it.
        seen.remove("name 127.0.0.1");
        seen
    }

    fn datagrams(&self) -> usize {
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| self.datagrams.try_recv(&mut buffer).ok()).count()
    }
}

fn stays_at_its_origin(kind: BrowserKind, browser: &str) {
    let folder = tempfile::tempdir().unwrap();
    let profile = folder.path().join("profile");
    let recorder = Recorder::new(folder.path(), browser);
    let watching = tokio::runtime::Runtime::new().unwrap();
    let world = watching.block_on(World::start());

    let host = tokio::runtime::Runtime::new().unwrap();
    let opened = host.block_on(async {
        let mut wanted = launch(&profile, &world.simulator.url(), kind);
        wanted.browser.executable = Some(recorder.program());
        let mut opened = Opened::open_as(wanted).await;
        opened.link(&world.simulator, ADA).await;
        world.simulator.write(BOB, ADA, &world.links("in")).await;
        let tab = opened.tab.clone();
        let to = tab.resolve(BOB).await.unwrap();
        let content = Content::Text {
            text: world.links("out"),
            quote: None,
            mentions: Vec::new(),
        };
        let ordered = tab.order(&to.message_id, &to.chat, &content).await.unwrap();
        assert!(matches!(ordered, Ordered::Sent { .. }), "{ordered:?}");
        world.followed(2).await;
        opened
    });
    assert_eq!(world.elsewhere(&recorder), BTreeSet::new(), "with a host");

    // As when a host is killed: nothing of it runs on, nothing is said to the browser.
    let left = opened.tab.pid();
    host.shutdown_background();
    drop(opened);
    watching.block_on(async {
        world.simulator.write(BOB, ADA, &world.links("without a host")).await;
        world.followed(3).await;
        assert!(processes(&profile).contains(&left));
        assert_eq!(world.elsewhere(&recorder), BTreeSet::new(), "without a host");
        assert_eq!(world.other.visits().await, 0);
        assert_eq!(world.datagrams(), 0);
        end(&profile, &world).await;
    });
}

/// Closes what is left, as the next host does.
async fn end(profile: &Path, world: &World) {
    let account = "one".parse().unwrap();
    wharf::page::Tab::end_leftover(&account, profile).await.unwrap();
    assert_eq!(processes(profile), Vec::<i32>::new());
    drop(world.simulator.control("POST", "faults", &json!({})).await);
}

#[test]
fn the_shell_reaches_the_configured_origin_only_whatever_links_it_is_sent_and_whoever_is_attached() {
    stays_at_its_origin(BrowserKind::Shell, SHELL);
}

#[test]
fn chromium_reaches_the_configured_origin_only_whatever_links_it_is_sent_and_whoever_is_attached() {
    stays_at_its_origin(BrowserKind::Chromium, CHROMIUM);
}

/// Without wharf's limits the same page leaves by all of its ways, and the record has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_page_in_a_browser_without_limits_is_recorded_at_every_place_that_a_link_names() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::new(folder.path(), SHELL);
    let world = World::start().await;
    let tab = Tab::open_with(
        &recorder.program(),
        &folder.path().join("profile"),
        &world.simulator.url(),
    )
    .await;
    let code = tab.code().await;
    world
        .simulator
        .control("POST", &format!("phones/{ADA}/scan"), &json!({"qr": code}))
        .await;
    tab.ready().await;
    world.simulator.write(BOB, ADA, &world.links("in")).await;
    world.followed(1).await;
    let port = world.other.addr.port();
    for wanted in [
        "name wharf-leak.test".to_owned(),
        format!("tcp 127.0.0.1 {port}"),
        format!("udp 127.0.0.1 {port}"),
    ] {
        until(&wanted, async || recorder.seen().contains(&wanted).then_some(())).await;
    }
    assert!(world.other.visits().await > 0);
    tab.close().await;
}
