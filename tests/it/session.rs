//! The session room: accounts in real browsers, against the simulator.

mod browser {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::json;
    use tokio::sync::watch;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use wharf::action::{Content, SendOrder, State, Status};
    use wharf::config::{Config, Sources};
    use wharf::event::{AccountId, Event, Source};
    use wharf::page::Format;
    use wharf::session::{Deps, Error, Sessions};
    use wharf::simulator;
    use wharf::store::Store;

    use crate::support::host::PATIENCE;
    use crate::support::phones::Phones;
    use crate::support::processes_with;

    const SHOP: &str = "491700000001";
    const ANNA: &str = "491700000002";

    /// The store and the sessions of a host, without its other rooms.
    struct Host {
        sessions: Sessions,
        store: Store,
        tracker: TaskTracker,
        _config: watch::Sender<Arc<Config>>,
    }

    impl Host {
        async fn start(data: &Path, url: &str, max: usize) -> Self {
            let mut config = Sources {
                data: Some(data.to_owned()),
                ..Sources::default()
            }
            .load()
            .unwrap();
            url.clone_into(&mut config.whatsapp.url);
            config.browser.sandbox = !rustix::process::geteuid().is_root();
            config.accounts.max = max;
            config.pacing.enabled = false;
            let config = watch::Sender::new(Arc::new(config));
            let folder = data.to_owned();
            let store = tokio::task::spawn_blocking(move || Store::open(&folder, 1 << 20))
                .await
                .unwrap()
                .unwrap();
            let tracker = TaskTracker::new();
            let deps = Deps {
                store: store.clone(),
                config: config.subscribe(),
                tracker: tracker.clone(),
                stop: CancellationToken::new(),
            };
            let sessions = Sessions::open(deps).await.unwrap();
            Self {
                sessions,
                store,
                tracker,
                _config: config,
            }
        }

        /// As a host ends: browsers first, then the store.
        async fn stop(self) {
            self.sessions.close().await;
            self.tracker.close();
            tokio::time::timeout(PATIENCE, self.tracker.wait()).await.unwrap();
            self.store.close().await.unwrap();
        }

        async fn link(&self, phones: &Phones, id: &AccountId) {
            self.sessions.create(Some(id.clone()), None).await.unwrap();
            self.event("account.qr", 1).await;
            let qr = self.sessions.qr(id).unwrap();
            assert_eq!(qr.attempt, 1);
            phones.scan(SHOP, &qr.text).await;
            self.state(id, State::Ready).await;
        }

        async fn state(&self, id: &AccountId, state: State) {
            let reached = async {
                while self.sessions.get(id).unwrap().state != state {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let reached = tokio::time::timeout(PATIENCE, reached).await;
            assert!(reached.is_ok(), "{id} is not {state} but {:?}", self.sessions.get(id));
        }

        async fn events(&self) -> Vec<Arc<Event>> {
            let events = self.store.events(0, 1000).await.unwrap();
            events.into_iter().map(|(_, event)| event).collect()
        }

        async fn named(&self, name: &str) -> Vec<Arc<Event>> {
            let events = self.events().await;
            events
                .into_iter()
                .filter(|event| event.event.to_string() == name)
                .collect()
        }

        /// Waits until there are so many events of a name.
        async fn event(&self, name: &str, count: usize) -> Vec<Arc<Event>> {
            let mut head = self.store.head();
            let found = async {
                loop {
                    head.mark_unchanged();
                    let found = self.named(name).await;
                    if found.len() >= count {
                        return found;
                    }
                    head.changed().await.unwrap();
                }
            };
            match tokio::time::timeout(PATIENCE, found).await {
                Ok(found) => found,
                Err(_) => panic!("no {count} events {name} in {:#?}", self.events().await),
            }
        }

        async fn bodies(&self) -> Vec<String> {
            let messages = self.named("message").await;
            messages
                .iter()
                .filter_map(|message| message.text("body").map(ToOwned::to_owned))
                .collect()
        }
    }

    fn shop() -> AccountId {
        "shop".parse().unwrap()
    }

    async fn phones() -> Phones {
        let phones = Phones::start().await;
        phones.add(SHOP, "Shop").await;
        phones.add(ANNA, "Anna").await;
        phones
    }

    fn order(key: &str, text: &str) -> SendOrder {
        SendOrder {
            key: key.to_owned(),
            account: shop(),
            to: ANNA.to_owned(),
            content: Content::Text {
                text: text.to_owned(),
                quote: None,
                mentions: Vec::new(),
            },
            source: Source::Api,
            patience: PATIENCE,
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_linked_account_is_ready_again_without_a_code_and_misses_nothing() {
        let (phones, data) = (phones().await, tempfile::tempdir().unwrap());
        // Unread, from before the link.
        phones.write(ANNA, SHOP, "before").await;
        tokio::time::sleep(Duration::from_millis(1100)).await;

        let host = Host::start(data.path(), &phones.url, 5).await;
        host.link(&phones, &shop()).await;
        host.event("account.synced", 1).await;
        let view = host.sessions.get(&shop()).unwrap();
        assert_eq!(view.phone.as_deref(), Some(SHOP));
        assert!(view.proof_age_ms.is_some() && view.degraded.is_empty(), "{view:?}");
        phones.write(ANNA, SHOP, "live").await;
        host.event("message", 1).await;

        let sent = host.sessions.send(order("api/1", "hello")).await.unwrap();
        assert_eq!(sent.status, Status::Sent);
        assert_eq!(host.sessions.send(order("api/1", "hello")).await.unwrap(), sent);
        phones.until_text(ANNA, "hello").await;
        let own = host.event("message.any", 1).await;
        assert_eq!(own[0].text("source"), Some("api"));
        host.event("message.ack", 1).await;
        let picture = host.sessions.snapshot(&shop(), Format::Png).await.unwrap();
        assert!(picture.bytes.starts_with(b"\x89PNG"));
        host.stop().await;
        assert_eq!(processes_with(&data.path().display().to_string()), [0; 0]);

        phones.write(ANNA, SHOP, "while it was down").await;
        let host = Host::start(data.path(), &phones.url, 5).await;
        host.event("account.synced", 2).await;
        host.event("message", 2).await;
        phones.write(ANNA, SHOP, "live again").await;
        host.event("message", 3).await;
        assert_eq!(host.bodies().await, ["live", "while it was down", "live again"]);
        assert_eq!(host.named("account.qr").await.len(), 1);
        let texts = phones.texts(ANNA).await;
        assert_eq!(texts.iter().filter(|text| *text == "hello").count(), 1);
        host.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_that_is_not_whatsapp_web_is_a_failure_and_its_browser_ends() {
        let of = async |page: &str| {
            let (phones, data) = (phones().await, tempfile::tempdir().unwrap());
            phones.fault(json!({ "unrecognised_page": page })).await;
            let host = Host::start(data.path(), &phones.url, 5).await;
            host.sessions.create(Some(shop()), None).await.unwrap();
            host.state(&shop(), State::Failed).await;
            assert_eq!(
                host.sessions.get(&shop()).unwrap().reason.as_deref(),
                Some("page_not_recognised"),
                "{page}"
            );
            // A command is answered when what came before it is done.
            host.sessions.stop(&shop()).await.unwrap();
            assert_eq!(processes_with(&data.path().display().to_string()), [0; 0], "{page}");
            phones.fault(json!({})).await;
            host.sessions.start(&shop()).await.unwrap();
            host.state(&shop(), State::Qr).await;
            host.stop().await;
        };
        tokio::join!(of("404"), of("empty"), of("login"), of("302"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_page_that_the_network_does_not_bring_is_loaded_again_until_it_comes() {
        let data = tempfile::tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let host = Host::start(data.path(), &format!("http://{free}/"), 5).await;
        host.sessions.create(Some(shop()), None).await.unwrap();
        let reason = async {
            while !host
                .sessions
                .get(&shop())
                .unwrap()
                .reason
                .is_some_and(|reason| reason.contains("net::ERR_"))
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reason).await.unwrap();
        let stop = CancellationToken::new();
        simulator::serve(simulator::Options::new(free), stop.clone())
            .await
            .unwrap();
        host.state(&shop(), State::Qr).await;
        host.stop().await;
        stop.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn codes_that_nobody_scans_end_as_unpaired_and_the_browser_ends() {
        let data = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let options = simulator::Options::new("127.0.0.1:0".parse().unwrap());
        let options = simulator::Options {
            qr_ttl: Duration::from_millis(150),
            ..options
        };
        let running = simulator::serve(options, stop.clone()).await.unwrap();
        let host = Host::start(data.path(), &format!("http://{}/", running.addr), 5).await;
        host.sessions.create(Some(shop()), None).await.unwrap();
        host.state(&shop(), State::Unpaired).await;
        let codes = host.named("account.qr").await;
        assert!(codes.len() > 6, "one round is not the end: {}", codes.len());
        assert_eq!(codes.last().unwrap().data["attempt"], codes.len());
        assert!(matches!(
            host.sessions.qr(&shop()),
            Err(Error::NoQr {
                state: State::Unpaired,
                ..
            })
        ));
        host.sessions.start(&shop()).await.unwrap();
        assert_eq!(
            host.event("account.qr", codes.len() + 1).await.last().unwrap().data["attempt"],
            1
        );
        host.stop().await;
        assert_eq!(processes_with(&data.path().display().to_string()), [0; 0]);
        stop.cancel();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_limit_holds_and_a_delete_ends_the_browser_and_removes_the_profile() {
        let (phones, data) = (phones().await, tempfile::tempdir().unwrap());
        let host = Host::start(data.path(), &phones.url, 1).await;
        host.sessions.create(Some(shop()), None).await.unwrap();
        host.state(&shop(), State::Qr).await;
        let second = host.sessions.create(None, None).await;
        assert!(matches!(second, Err(Error::Limit { current: 1, max: 1 })), "{second:?}");
        let profiles = data.path().join("profiles");
        assert_eq!(std::fs::read_dir(&profiles).unwrap().count(), 1);
        assert_ne!(processes_with(&profiles.display().to_string()), [0; 0]);

        host.sessions.delete(&shop()).await.unwrap();
        assert_eq!(std::fs::read_dir(&profiles).unwrap().count(), 0);
        assert_eq!(processes_with(&profiles.display().to_string()), [0; 0]);
        assert!(host.store.accounts().await.unwrap().is_empty());
        host.sessions.create(Some(shop()), None).await.unwrap();
        host.event("account.qr", 2).await;
        host.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_browser_that_is_killed_is_replaced_and_what_came_meanwhile_is_found() {
        let (phones, data) = (phones().await, tempfile::tempdir().unwrap());
        let host = Host::start(data.path(), &phones.url, 5).await;
        host.link(&phones, &shop()).await;
        host.event("account.synced", 1).await;
        // What is linked just now is on disk some seconds later.
        tokio::time::sleep(Duration::from_secs(10)).await;
        for pid in processes_with(&data.path().display().to_string()) {
            let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
        phones.write(ANNA, SHOP, "while it was dead").await;
        host.event("account.ready", 2).await;
        host.event("message", 1).await;
        assert_eq!(host.bodies().await, ["while it was dead"]);
        assert_eq!(
            host.named("account.disconnected").await[0].text("state"),
            Some("starting")
        );
        host.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_link_that_ends_is_seen_as_such_whoever_ended_it() {
        let (phones, data) = (phones().await, tempfile::tempdir().unwrap());
        let host = Host::start(data.path(), &phones.url, 5).await;
        host.link(&phones, &shop()).await;
        host.sessions.logout(&shop()).await.unwrap();
        host.state(&shop(), State::LoggedOut).await;
        host.sessions.start(&shop()).await.unwrap();
        host.event("account.qr", 2).await;
        host.state(&shop(), State::Qr).await;

        phones.scan(SHOP, &host.sessions.qr(&shop()).unwrap().text).await;
        host.state(&shop(), State::Ready).await;
        assert_eq!(host.named("account.authenticated").await.len(), 2);
        phones.unlink(SHOP).await;
        host.state(&shop(), State::LoggedOut).await;
        host.stop().await;
    }
}
