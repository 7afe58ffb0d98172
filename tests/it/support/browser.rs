//! A browser of the test's own, on a profile folder, with the unmodified library in its tab.
//!
//! In: an address, JavaScript. Out: values, and the library's events in order. Must not use the host's own browser
//! code: what it would get wrong must not go unseen here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chromiumoxide::Page;
use chromiumoxide::browser::Browser;
use chromiumoxide::cdp::browser_protocol::network;
use chromiumoxide::cdp::browser_protocol::page::{AddScriptToEvaluateOnNewDocumentParams, NavigateParams};
use chromiumoxide::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide::handler::HandlerConfig;
use futures::StreamExt;
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio_util::task::TaskTracker;

use super::{processes_with, until};

/// Time for one call; a page that takes longer is stuck.
const CALL: Duration = Duration::from_secs(30);

/// Where Debian has it.
const BROWSERS: &[&str] = &[
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/bin/chromium-headless-shell",
    "/usr/lib/chromium/chromium",
    "/usr/bin/chromium",
];

const LIBRARY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js"
);

/// What the library is told before it starts: nothing leaves the page.
const CONFIG: &str = "window.WPPConfig = {disableGoogleAnalytics: true, linkPreviewApiServers: []};";

/// Notes every event of the library that the tests ask for, across navigations of the tab.
const RECORDER: &str = include_str!("recorder.js");

/// A running browser with one tab.
pub(crate) struct Tab {
    profile: PathBuf,
    child: Child,
    browser: Browser,
    page: Page,
    tasks: TaskTracker,
}

impl Tab {
    /// Starts a browser on a profile and opens an address, with the library injected into every document.
    pub(crate) async fn open(profile: &Path, url: &str) -> Self {
        let library = tokio::fs::read_to_string(LIBRARY)
            .await
            .expect("run `npm ci --ignore-scripts` first");
        Self::bare(profile, url, &[CONFIG, &library, RECORDER]).await
    }

    /// Starts a browser and opens an address with these scripts in every document.
    pub(crate) async fn bare(profile: &Path, url: &str, scripts: &[&str]) -> Self {
        tokio::fs::create_dir_all(profile).await.unwrap();
        let port_file = profile.join("DevToolsActivePort");
        drop(tokio::fs::remove_file(&port_file).await);
        let executable = BROWSERS.iter().find(|path| Path::new(path).exists());
        let executable = executable.expect("install chromium-headless-shell or chromium");
        let mut command = Command::new(executable);
        command
            .args([
                "--headless=new",
                "--remote-debugging-port=0",
                "--no-first-run",
                "--no-default-browser-check",
            ])
            .args([
                "--disable-gpu",
                "--disable-quic",
                "--disable-sync",
                "--disable-component-update",
            ])
            .args([
                "--disable-background-networking",
                "--disable-breakpad",
                "--disable-crashpad-for-testing",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--password-store=basic",
                "--mute-audio",
                "--window-size=1280,800",
            ])
            .args([
                "--disable-background-timer-throttling",
                "--disable-renderer-backgrounding",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        let child = command.spawn().expect("the browser starts");
        let address = until("the browser's debugging port", async || {
            let text = tokio::fs::read_to_string(&port_file).await.ok()?;
            let (port, path) = text.trim().split_once('\n')?;
            Some(format!("ws://127.0.0.1:{port}{path}"))
        })
        .await;
        let config = HandlerConfig {
            ignore_https_errors: false,
            viewport: None,
            ..HandlerConfig::default()
        };
        let (browser, mut handler) = Browser::connect_with_config(address, config)
            .await
            .expect("the browser answers");
        let tasks = TaskTracker::new();
        tasks.spawn(async move {
            // What cannot be read is of no concern here; everything else ends the connection.
            while let Some(Ok(()) | Err(chromiumoxide::error::CdpError::InvalidMessage(..))) = handler.next().await {}
        });
        let page = within("a new tab", browser.new_page("about:blank")).await;
        for script in scripts {
            let script = AddScriptToEvaluateOnNewDocumentParams::new(*script);
            within("a script for every document", page.execute(script)).await;
        }
        let tab = Self {
            profile: profile.to_owned(),
            child,
            browser,
            page,
            tasks,
        };
        tab.go(url).await;
        tab
    }

    /// Opens an address.
    pub(crate) async fn go(&self, url: &str) {
        within("a navigation", self.page.execute(NavigateParams::new(url))).await;
    }

    /// Opens an address in another tab of the same browser, with the library.
    pub(crate) async fn another(&self, url: &str) -> Page {
        let library = tokio::fs::read_to_string(LIBRARY).await.unwrap();
        let page = within("a new tab", self.browser.new_page("about:blank")).await;
        for script in [CONFIG, &library, RECORDER] {
            let script = AddScriptToEvaluateOnNewDocumentParams::new(script);
            within("a script for every document", page.execute(script)).await;
        }
        within("a navigation", page.execute(NavigateParams::new(url))).await;
        page
    }

    /// Tells the tab that the machine's network is gone, or is back.
    pub(crate) async fn set_offline(&self, offline: bool) {
        within(
            "the network's domain",
            self.page.execute(network::EnableParams::default()),
        )
        .await;
        let conditions = network::OverrideNetworkStateParams::new(offline, 0.0, -1.0, -1.0);
        within("the network", self.page.execute(conditions)).await;
    }

    /// The value of an expression; a promise is awaited.
    pub(crate) async fn eval(&self, script: &str) -> Value {
        match self.try_eval(script).await {
            Ok(value) => value,
            Err(error) => panic!("{script}: {error}"),
        }
    }

    /// The same, or what it threw.
    pub(crate) async fn try_eval(&self, script: &str) -> Result<Value, String> {
        let evaluate = EvaluateParams::builder()
            .expression(script)
            .await_promise(true)
            .return_by_value(true);
        let evaluate = evaluate.build().expect("it has an expression");
        let answer = tokio::time::timeout(CALL, self.page.execute(evaluate)).await;
        let answer = answer
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())?;
        if let Some(thrown) = &answer.exception_details {
            let text = thrown
                .exception
                .as_ref()
                .and_then(|exception| exception.description.clone());
            return Err(text.unwrap_or_else(|| format!("{thrown:?}")));
        }
        Ok(answer.result.result.value.clone().unwrap_or(Value::Null))
    }

    /// Waits until an expression is true in the sense of JavaScript, and answers its value. What it throws counts as
    /// not yet: the document may be on its way.
    pub(crate) async fn until(&self, script: &str) -> Value {
        until(script, async || {
            let value = self.try_eval(script).await.ok()?;
            let no = matches!(&value, Value::Null | Value::Bool(false)) || value == 0 || value == "";
            (!no).then_some(value)
        })
        .await
    }

    /// The library's events so far, `{event, data}`, oldest first.
    pub(crate) async fn events(&self) -> Vec<Value> {
        match self.eval("window.__events ?? []").await {
            Value::Array(events) => events,
            other => panic!("events are a list, not {other}"),
        }
    }

    /// Waits for an event of which `wanted` is true and that is the `from`-th or later; answers its place and its data.
    pub(crate) async fn event(&self, name: &str, from: usize, wanted: impl Fn(&Value) -> bool) -> (usize, Value) {
        until(name, async || {
            let Ok(Value::Array(events)) = self.try_eval("window.__events ?? []").await else {
                return None;
            };
            let fits = |event: &Value| event["event"] == name && wanted(&event["data"]);
            let at = events.iter().skip(from).position(fits)? + from;
            Some((at, events[at]["data"].clone()))
        })
        .await
    }

    /// Waits until the page is linked, connected and has everything.
    pub(crate) async fn ready(&self) {
        self.until(
            "WPP.isFullReady && WPP.conn.isAuthenticated() && WPP.conn.getStreamData().mode === 'MAIN' \
             && WPP.conn.getStreamData().info === 'NORMAL'",
        )
        .await;
    }

    /// The text of the code that is shown.
    pub(crate) async fn code(&self) -> String {
        let code = self
            .until("WPP.conn.getAuthCode().then((code) => code && code.fullCode)")
            .await;
        code.as_str().unwrap().to_owned()
    }

    /// Asks the browser to close, and checks that nothing of it is left.
    pub(crate) async fn close(mut self) {
        // The answer may be lost in the closing.
        drop(tokio::time::timeout(CALL, self.browser.close()).await);
        self.gone().await;
    }

    /// Ends the browser as a crash does.
    pub(crate) async fn kill(mut self) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        self.gone().await;
    }

    async fn gone(&mut self) {
        let ended = tokio::time::timeout(CALL, self.child.wait()).await;
        ended.expect("the browser ends").unwrap();
        let profile = self.profile.to_str().expect("paths of tests are text");
        until("no process of the profile", async || {
            processes_with(profile).is_empty().then_some(())
        })
        .await;
        self.tasks.close();
    }
}

async fn within<T>(what: &str, call: impl Future<Output = chromiumoxide::error::Result<T>>) -> T {
    let answer = tokio::time::timeout(CALL, call).await;
    answer
        .unwrap_or_else(|_| panic!("{what}: no answer in time"))
        .unwrap_or_else(|error| panic!("{what}: {error}"))
}
