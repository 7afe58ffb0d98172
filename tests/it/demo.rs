//! `wharf demo`, driven as its own instructions say.

mod browser {
    use std::io::{BufRead as _, BufReader};
    use std::path::Path;
    use std::process::{Child, Command, Output, Stdio};
    use std::sync::mpsc;

    use serde_json::json;

    use crate::support::client::Client;
    use crate::support::host::PATIENCE;
    use crate::support::{processes_with, until};

    const SHOP: &str = "491700000001";
    const ANNA: &str = "491700000002";

    /// A folder as a user has it: the scripts and plugins that come with wharf, and a configuration of their own.
    fn workplace() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for part in ["scripts", "plugins"] {
            copy(&root.join(part), &folder.path().join(part));
        }
        // What the demo must not run: it is real.
        let own = "[endpoint.crm]\nurl = \"http://127.0.0.1:1/\"\n[account.real]\nname = \"Real\"\n";
        std::fs::write(folder.path().join("config.toml"), own).unwrap();
        folder
    }

    fn copy(from: &Path, to: &Path) {
        std::fs::create_dir(to).unwrap();
        for entry in from.read_dir().unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }

    fn command(folder: &Path) -> Command {
        command_at(folder, "127.0.0.1:0")
    }

    fn command_at(folder: &Path, admin: &str) -> Command {
        let library =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("node_modules/@wppconnect/wa-js/dist/wppconnect-wa.js");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command
            .args(["demo", "--admin", admin, "--phones", "127.0.0.1:0"])
            .current_dir(folder)
            .env("WHARF_WHATSAPP__LIBRARY", library)
            .env("WHARF_ENDPOINT__HOOK__URL", "http://127.0.0.1:1/")
            .stdin(Stdio::null());
        command
    }

    fn refused(mut command: Command) -> String {
        let Output { status, stderr, .. } = command.output().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{text}");
        text
    }

    /// A demo at work, with what it told its user.
    struct Demo {
        child: Child,
        admin: Client,
        phones: Client,
        said: String,
    }

    impl Demo {
        fn start(folder: &Path) -> Self {
            let mut child = command(folder).stdout(Stdio::piped()).spawn().unwrap();
            let stdout = child.stdout.take().unwrap();
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    tell.send(line).ok();
                }
            });
            let mut said = String::new();
            while !said.contains("Ctrl-C") {
                said += &told.recv_timeout(PATIENCE).expect("the instructions");
                said.push('\n');
            }
            let after = |word: &str| {
                let rest = said.split(word).nth(1).expect("it is said");
                rest.split_whitespace().next().unwrap().to_owned()
            };
            let base = |url: &str| url.split('/').take(3).collect::<Vec<_>>().join("/");
            let admin = Client::new(&base(&after("Admin ")), Some(&after("Key ")));
            let phones = Client::new(&base(&after("Phones ")), None);
            Self {
                child,
                admin,
                phones,
                said,
            }
        }

        async fn scan(&self) {
            let qr = until("the code", async || {
                let answer = self.admin.get("/api/accounts/demo/qr").await;
                answer.json["qr"].as_str().map(ToOwned::to_owned)
            })
            .await;
            let path = format!("/control/phones/{SHOP}/scan");
            let scanned = self.phones.post(&path, json!({"qr": qr})).await;
            assert!(scanned.status < 300, "{scanned:?}");
            self.state("ready").await;
        }

        async fn state(&self, state: &str) {
            until(state, async || {
                let answer = self.admin.get("/api/accounts/demo").await;
                (answer.json["state"] == state).then_some(())
            })
            .await;
        }

        /// Anna asks, and waits for an answer that holds `text`.
        async fn ask(&self, question: &str, text: &str) {
            let path = format!("/control/phones/{ANNA}/messages");
            let sent = self.phones.post(&path, json!({"to": SHOP, "text": question})).await;
            assert!(sent.status < 300, "{sent:?}");
            until(text, async || {
                let all = self.phones.get(&path).await.json;
                let held =
                    |message: &serde_json::Value| message["text"].as_str().is_some_and(|held| held.contains(text));
                all.as_array().unwrap().iter().any(held).then_some(())
            })
            .await;
        }

        fn signal(&self, signal: rustix::process::Signal) {
            let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        }

        fn ended(&mut self) -> Option<i32> {
            self.child.wait().unwrap().code()
        }
    }

    impl Drop for Demo {
        fn drop(&mut self) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }

    fn browsers(folder: &Path) -> usize {
        processes_with(&folder.join("demo-data/profiles").display().to_string()).len()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_demo_does_what_it_tells_and_a_second_one_leaves_it_alone() {
        let folder = workplace();
        let mut demo = Demo::start(folder.path());
        demo.scan().await;
        demo.ask("price", "Chairs from 40 EUR").await;
        let price = folder.path().join("scripts/price.lua");
        assert!(demo.said.contains(price.to_str().unwrap()), "{}", demo.said);
        let edited = std::fs::read_to_string(&price).unwrap().replace("40 EUR", "44 EUR");
        std::fs::write(&price, edited).unwrap();
        until("the new answer", async || {
            demo.ask("price", "Chairs from").await;
            let all = demo.phones.get(&format!("/control/phones/{ANNA}/messages")).await.json;
            all.to_string().contains("44 EUR").then_some(())
        })
        .await;

        let accounts = demo.admin.get("/api/accounts").await.json;
        assert!(
            !accounts.to_string().contains("real"),
            "the user's own configuration: {accounts}"
        );

        let second = refused(command(folder.path()));
        assert!(second.contains("in use") || second.contains("has it"), "{second}");
        demo.state("ready").await;
        demo.ask("price again", "44 EUR").await;

        demo.signal(rustix::process::Signal::INT);
        assert_eq!(demo.ended(), Some(0));
        assert_eq!(browsers(folder.path()), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_browsers_of_a_demo_that_was_killed_end_before_its_folder_is_emptied() {
        let folder = workplace();
        let mut demo = Demo::start(folder.path());
        until("the code", async || {
            (demo.admin.get("/api/accounts/demo/qr").await.status == 200).then_some(())
        })
        .await;
        demo.signal(rustix::process::Signal::KILL);
        demo.ended();
        assert!(browsers(folder.path()) > 0, "a browser outlives its host");

        // A start that fails on the way does not leave one either.
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let refusal = refused(command_at(folder.path(), &taken.local_addr().unwrap().to_string()));
        assert!(refusal.contains("cannot listen"), "{refusal}");
        assert_eq!(browsers(folder.path()), 0);
        assert_eq!(
            folder
                .path()
                .join("demo-data/profiles")
                .read_dir()
                .map_or(0, Iterator::count),
            0
        );
    }
}
