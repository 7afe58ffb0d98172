//! What the tests of the page room share: a simulator, its control API, a tab, and a second look into a tab's page.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use chromiumoxide::cdp::browser_protocol::target::{CloseTargetParams, GetTargetsParams};
use chromiumoxide::handler::HandlerConfig;
use futures::StreamExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wharf::config::resolved::{Browser, BrowserKind};
use wharf::page::{Launch, Library, PageEvent, PageStatus, Report, Tab};
use wharf::simulator;

/// Far more than any step takes; only a defect lets it pass.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn library_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js")
}

/// A simulator of its own, on a free port.
pub(super) struct Simulator {
    pub(super) addr: SocketAddr,
    stop: CancellationToken,
}

impl Simulator {
    pub(super) async fn start() -> Self {
        let stop = CancellationToken::new();
        let options = simulator::Options::new("127.0.0.1:0".parse().unwrap());
        let running = simulator::serve(options, stop.clone()).await.unwrap();
        Self {
            addr: running.addr,
            stop,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// One request of the control API.
    pub(super) async fn control(&self, method: &str, path: &str, body: &Value) -> Value {
        let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://{}/control/{path}", self.addr))
            .header("content-type", "application/json")
            .body(if body.is_null() {
                Body::empty()
            } else {
                Body::from(body.to_string())
            })
            .unwrap();
        let response = timeout(PATIENCE, client.request(request)).await.unwrap().unwrap();
        let status = response.status();
        let bytes = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
        assert!(
            status.is_success(),
            "{method} {path}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    pub(super) async fn phone(&self, number: &str, name: &str) {
        self.control("POST", "phones", &json!({"number": number, "name": name}))
            .await;
    }

    pub(super) async fn write(&self, from: &str, to: &str, text: &str) -> Value {
        self.control(
            "POST",
            &format!("phones/{from}/messages"),
            &json!({"to": to, "text": text}),
        )
        .await
    }

    /// How often the phone holds a message with this text.
    pub(super) async fn count(&self, number: &str, text: &str) -> usize {
        let messages = self
            .control("GET", &format!("phones/{number}/messages"), &Value::Null)
            .await;
        messages
            .as_array()
            .unwrap()
            .iter()
            .filter(|message| message["text"] == text)
            .count()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An open tab with what it reports.
pub(super) struct Opened {
    pub(super) tab: Tab,
    pub(super) reports: mpsc::Receiver<Report>,
    /// The document that reported last.
    pub(super) page_id: String,
}

pub(super) fn launch(profile: &Path, url: &str, kind: BrowserKind) -> Launch {
    Launch {
        account: "one".parse().unwrap(),
        profile: profile.to_owned(),
        browser: Browser {
            executable: None,
            kind,
            sandbox: !rustix::process::geteuid().is_root(),
            snapshot_interval: (Duration::from_secs(2), Duration::from_secs(4)),
        },
        kind,
        url: url.to_owned(),
        library: Library::read(&library_path()).unwrap(),
    }
}

impl Opened {
    pub(super) async fn open(profile: &Path, url: &str) -> Self {
        Self::open_kind(profile, url, BrowserKind::Auto).await
    }

    pub(super) async fn open_kind(profile: &Path, url: &str, kind: BrowserKind) -> Self {
        Self::open_as(launch(profile, url, kind)).await
    }

    pub(super) async fn open_as(launch: Launch) -> Self {
        let tracker = TaskTracker::new();
        let opening = Box::pin(Tab::open(launch, &tracker));
        let (tab, reports) = timeout(PATIENCE, opening).await.unwrap().unwrap();
        Self {
            tab,
            reports,
            page_id: String::new(),
        }
    }

    /// The next report, without acknowledging it.
    pub(super) async fn next(&mut self) -> Option<Report> {
        let report = timeout(PATIENCE, self.reports.recv()).await.expect("a report in time");

        if let Some(Report::Event { page_id, .. }) = &report {
            self.page_id.clone_from(page_id);
        }
        report
    }

    /// The next event that `wanted` takes; others are passed over. Nothing is acknowledged.
    pub(super) async fn event<T>(&mut self, mut wanted: impl FnMut(&PageEvent) -> Option<T>) -> (u64, T) {
        loop {
            match self.next().await {
                Some(Report::Event { page_seq, event, .. }) => {
                    if let Some(found) = wanted(&event) {
                        return (page_seq, found);
                    }
                }
                other => panic!("no event any more: {other:?}"),
            }
        }
    }

    /// The next message with this text.
    pub(super) async fn message(&mut self, text: &str) -> (u64, wharf::event::Message) {
        self.event(|event| match event {
            PageEvent::Message { message, .. } if message.body.as_deref() == Some(text) => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// The QR text that is shown.
    pub(super) async fn qr(&mut self) -> String {
        self.event(|event| match event {
            PageEvent::Qr(Some(code)) => Some(code.clone()),
            _ => None,
        })
        .await
        .1
    }

    /// Waits until the status answers so.
    pub(super) async fn status(&self, wanted: impl Fn(&PageStatus) -> bool) -> PageStatus {
        let asked = async {
            loop {
                let status = self.tab.status().await.unwrap();
                if wanted(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, asked).await.expect("the status in time")
    }

    /// Links a new phone and waits until the account is usable.
    pub(super) async fn link(&mut self, simulator: &Simulator, number: &str) -> PageStatus {
        let code = self.qr().await;
        simulator
            .control("POST", &format!("phones/{number}/scan"), &json!({"qr": code}))
            .await;
        self.status(PageStatus::is_usable).await
    }

    pub(super) async fn close(self) {
        timeout(PATIENCE, self.tab.close()).await.unwrap().unwrap();
    }
}

/// Processes that have this profile among their arguments.
pub(super) fn processes(profile: &Path) -> Vec<i32> {
    let wanted = format!("--user-data-dir={}", profile.canonicalize().unwrap().display());
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&wanted)
        })
        .collect()
}

/// Runs an expression in the page through a connection of the test's own.
pub(super) async fn look(profile: &Path, expression: &str) -> Value {
    in_page(profile, async |_, page| {
        let result = page.evaluate_expression(expression).await.unwrap();
        result.value().cloned().unwrap_or(Value::Null)
    })
    .await
}

/// Closes the tab's page, as a person at a debugger can.
pub(super) async fn close_page(profile: &Path) {
    in_page(profile, async |browser, page| {
        let close = CloseTargetParams::new(page.target_id().clone());
        browser.execute(close).await.unwrap();
    })
    .await;
}

async fn in_page<T>(profile: &Path, act: impl AsyncFnOnce(&chromiumoxide::Browser, &chromiumoxide::Page) -> T) -> T {
    let file = std::fs::read_to_string(profile.join("DevToolsActivePort")).unwrap();
    let (port, path) = file.trim().split_once('\n').unwrap();
    let config = HandlerConfig {
        viewport: None,
        ignore_https_errors: false,
        ..HandlerConfig::default()
    };
    let address = format!("ws://127.0.0.1:{port}{path}");
    let (browser, mut handler) = chromiumoxide::Browser::connect_with_config(address, config)
        .await
        .unwrap();
    let asked = async {
        let targets = browser
            .execute(GetTargetsParams::default())
            .await
            .unwrap()
            .result
            .target_infos;
        let target = targets.into_iter().find(|target| target.r#type == "page").unwrap();
        let page = loop {
            if let Ok(page) = browser.get_page(target.target_id.clone()).await {
                break page;
            }
        };
        act(&browser, &page).await
    };
    tokio::select! {
        value = timeout(PATIENCE, asked) => value.unwrap(),
        () = async { while handler.next().await.is_some() {} } => panic!("the connection broke"),
    }
}
