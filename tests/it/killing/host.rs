//! The host that is killed: a process of its own, all rooms of the real program, a page from elsewhere.
//!
//! In: a configuration, the page's address, a line at which it is to stand still. Out: its end, by SIGKILL or in order.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tracing::field::{Field, Visit};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use wharf::app::App;
use wharf::config::Sources;

use super::tab::Remote;
use crate::support::host::{Home, PATIENCE};

pub(super) const CONFIG: &str = "WHARF_TEST_KILLED_HOST";
pub(super) const PAGE: &str = "WHARF_TEST_KILLED_PAGE";
pub(super) const PLACE: &str = "WHARF_TEST_KILLED_PLACE";
const CHILD: &str = "killing::child_that_hosts";

/// The host's own lines before and after each commit on the way.
pub(super) const LINES: [&str; 6] = [
    "message in commit",
    "rows before the sync",
    "rows synced",
    "message in handler",
    "run in commit",
    "run committed",
];

/// A host at work. Killed when it is dropped.
pub(super) struct Child {
    process: std::process::Child,
    log: PathBuf,
    stands: tokio::sync::oneshot::Receiver<()>,
}

impl Child {
    /// Starts one. It stands still when it comes to the line for the so-and-so-many-th time; with 0, for the first time
    /// after the endpoint has answered.
    pub(super) fn start(home: &Home, page: SocketAddr, line: Option<(&str, usize)>) -> Self {
        let log = home.path().join("log");
        let written = OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--ignored", "--exact", CHILD, "--nocapture", "--test-threads=1"])
            .env(CONFIG, home.config())
            .env(PAGE, page.to_string())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(written);
        if let Some((line, times)) = line {
            command.env(PLACE, format!("{times} {line}"));
        }
        let mut process = command.spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap());
        let (sender, stands) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = said.lines().map_while(Result::ok);
            // At the end of a process that was killed elsewhere as well.
            lines.any(|line| line.ends_with("stands"));
            sender.send(()).ok();
        });
        Self { process, log, stands }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) {
        self.process.kill().unwrap();
        self.ended("its kill").await;
    }

    /// Until it stands still, and is killed then; or until somebody else has killed it.
    pub(super) async fn until_dead(mut self, what: &str) {
        if tokio::time::timeout(PATIENCE, &mut self.stands).await.is_err() {
            panic!("{what}: it never came there\n{}", self.log_text());
        }
        self.process.kill().unwrap();
        let status = self.ended(what).await;
        let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
        assert!(killed, "{what}: it ended by itself, {status}\n{}", self.log_text());
    }

    /// Asks it to end in order.
    pub(super) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.process.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.ended("its stop").await;
        assert!(status.success(), "{status}\n{}", self.log_text());
    }

    async fn ended(&mut self, what: &str) -> std::process::ExitStatus {
        let look = async {
            loop {
                if let Some(status) = self.process.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look)
            .await
            .unwrap_or_else(|_| panic!("{what}: it does not end"))
    }

    /// The last it has logged.
    fn log_text(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// The child's work: a host, until it is killed or asked to end.
pub(super) fn run(config: &str, page: &str, place: Option<&str>) {
    let places = Places::at(place);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false);
    let path = filter_fn(|of| of.target() == "wharf::path");
    let subscriber = tracing_subscriber::registry()
        .with(lines.with_filter(LevelFilter::INFO))
        .with(Listener(Arc::clone(&places)).with_filter(path));
    // Before the host's own, which then is none: the first in a process wins.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate()).unwrap();
        let config = PathBuf::from(config);
        let sources = Sources {
            data: Some(config.parent().unwrap().join("data")),
            file: Some(config),
            ..Sources::default()
        };
        let tabs = Arc::new(Remote {
            page: page.to_owned(),
            places,
        });
        let app = App::start_on(sources, Some(tabs)).await.unwrap();
        end.recv().await;
        app.stop().await;
    });
}

/// Where this process stands still.
pub(super) struct Places {
    line: String,
    armed: AtomicBool,
    left: AtomicUsize,
}

impl Places {
    fn at(place: Option<&str>) -> Arc<Self> {
        let (times, line) = place.map_or(("0", ""), |place| place.split_once(' ').unwrap());
        let times: usize = times.parse().unwrap();
        Arc::new(Self {
            line: line.to_owned(),
            armed: AtomicBool::new(times > 0),
            left: AtomicUsize::new(times.max(1)),
        })
    }

    /// From now on.
    pub(super) fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    fn come(&self, line: &str) {
        let is_here = line == self.line && self.armed.load(Ordering::SeqCst);
        if is_here && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            println!("{line}: stands");
            loop {
                std::thread::park();
            }
        }
    }
}

struct Listener(Arc<Places>);

impl<S: tracing::Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut said = Said(String::new());
        event.record(&mut said);
        self.0.come(&said.0);
    }
}

struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
