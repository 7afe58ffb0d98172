//! The real program on a data folder of its own, driven as a user would: command line, HTTP, signals.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::client::{Answer, Client};

/// Longest time for anything that involves a browser on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The files of a host: configuration, scripts, data. Survives the host.
pub(crate) struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// Makes a home whose WhatsApp is at `url`; `extra` is added to the configuration.
    pub(crate) fn new(url: &str, extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self { folder };
        std::fs::create_dir(home.path().join("scripts")).unwrap();
        home.configure(url, extra);
        home
    }

    /// Writes the configuration anew.
    pub(crate) fn configure(&self, url: &str, extra: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let library = root.join("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js");
        let mut text = String::new();
        writeln!(text, "[admin]\nlisten = \"127.0.0.1:0\"").unwrap();
        writeln!(text, "[whatsapp]\nurl = \"{url}\"\nlibrary = \"{}\"", library.display()).unwrap();
        // The tests may run as root, for whom Chromium's sandbox does not work.
        let sandbox = !rustix::process::geteuid().is_root();
        writeln!(
            text,
            "[browser]\nsandbox = {sandbox}\nsnapshot_interval = [\"0s\", \"0s\"]"
        )
        .unwrap();
        writeln!(text, "[scripts]\nplugins = \"{}\"", root.join("plugins").display()).unwrap();
        text.push_str(extra);
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("config.toml")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Saves a script as an editor does: beside, then renamed.
    pub(crate) fn script(&self, name: &str, text: &str) {
        let path = self.path().join("scripts").join(name);
        let beside = path.with_extension("tmp~");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, path).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .current_dir(self.path());
        command
    }

    /// How many profiles it keeps.
    pub(crate) fn profiles(&self) -> usize {
        std::fs::read_dir(self.data().join("profiles")).unwrap().count()
    }

    /// Makes a key with `wharf key new` and these scopes.
    pub(crate) fn key(&self, scopes: &[&str]) -> String {
        let mut command = self.command(&["key", "new"]);
        command.args(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let made = command.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Processes that work on one of its profiles.
    pub(crate) fn browsers(&self) -> Vec<u32> {
        super::processes_with(&self.data().join("profiles").display().to_string())
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // A test that failed half-way leaves its browsers to be ended here, by the ids of processes on this home's profiles.
        for pid in self.browsers() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

/// A running host.
pub(crate) struct Host {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
    client: Client,
}

impl Host {
    /// Starts it and waits until the admin answers.
    pub(crate) async fn start(home: &Home) -> Self {
        Self::start_logging(home, "info").await
    }

    pub(crate) async fn start_logging(home: &Home, level: &str) -> Self {
        let mut command = home.command(&["run"]);
        command
            .env("WHARF_LOG__LEVEL", level)
            .stderr(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (counter, lines) = watch::channel(0);
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { return };
                kept.lock().unwrap().push(line);
                counter.send_modify(|count| *count += 1);
            }
        });
        let mut host = Self {
            child,
            log,
            lines,
            client: Client::new("http://127.0.0.1:1", None),
        };
        let line = host.line(0, "the admin is at ").await;
        let url = line
            .split("the admin is at ")
            .nth(1)
            .unwrap()
            .split('/')
            .take(3)
            .collect::<Vec<_>>()
            .join("/");
        host.client = Client::new(&url, Some(&home.key(&["admin"])));
        host
    }

    /// Waits for a line of the log, from line `from` on, that holds `text`.
    pub(crate) async fn line(&mut self, from: usize, text: &str) -> String {
        let found = async {
            loop {
                let line = self
                    .log
                    .lock()
                    .unwrap()
                    .iter()
                    .skip(from)
                    .find(|line| line.contains(text))
                    .cloned();
                if let Some(line) = line {
                    return Some(line);
                }
                if self.lines.changed().await.is_err() {
                    return None;
                }
            }
        };
        match tokio::time::timeout(PATIENCE, found).await {
            Ok(Some(line)) => line,
            _ => panic!("no line with {text:?} in:\n{}", self.log_text()),
        }
    }

    /// How many lines it has logged so far.
    pub(crate) fn logged(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// The lines from `from` on.
    pub(crate) fn log_since(&self, from: usize) -> Vec<String> {
        self.log.lock().unwrap().iter().skip(from).cloned().collect()
    }

    pub(crate) fn log_text(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Who asks with its first key.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    #[allow(dead_code, reason = "the bench reads its memory")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.client.get(path).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.client.post(path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.client.put(path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.client.delete(path).await
    }

    /// Makes an account and waits for its QR text.
    pub(crate) async fn create_account(&self, id: &str) -> String {
        let made = self.post("/api/accounts", json!({ "id": id, "name": id })).await;
        assert!(made.status < 300, "{made:?}");
        self.qr(id).await
    }

    pub(crate) async fn qr(&self, id: &str) -> String {
        let path = format!("/api/accounts/{id}/qr");
        let answer = self
            .until("a QR code", || self.get(&path), |answer| answer.status == 200)
            .await;
        answer.json["qr"].as_str().unwrap().to_owned()
    }

    /// Waits until the account is in this state.
    pub(crate) async fn state(&self, id: &str, state: &str) -> Value {
        let path = format!("/api/accounts/{id}");
        let what = format!("{id} {state}");
        self.until(&what, || self.get(&path), |answer| answer.json["state"] == state)
            .await
            .json
    }

    /// Asks again and again until the answer is right.
    pub(crate) async fn until<F, A>(&self, what: &str, ask: impl Fn() -> F, right: impl Fn(&A) -> bool) -> A
    where
        F: Future<Output = A>,
        A: std::fmt::Debug,
    {
        let since = Instant::now();
        loop {
            let answer = ask().await;
            if right(&answer) {
                return answer;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "waited for {what}, got {answer:?}\n{}",
                self.log_text()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Asks it to end and waits; answers its exit code.
    pub(crate) async fn stop(mut self) -> Option<i32> {
        self.signal(rustix::process::Signal::TERM);
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the host did not end:\n{}", self.log_text());
    }

    /// kill -9, its browsers stay.
    pub(crate) fn kill(mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().unwrap();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A failed test must not leave a host behind; after `stop` and `kill` it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
