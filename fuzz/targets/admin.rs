//! Requests of any form to the control socket, which asks for no key, of a host with all its rooms and a browser that never
//! opens: each is answered, none as the host's own fault.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use wharf::app::App;
use wharf::config::Sources;
use wharf::event::AccountId;
use wharf::page::Error;
use wharf::session::{Opened, Opener, Wanted};

/// Longer than the host waits for a body.
const ANSWER: Duration = Duration::from_secs(60);

struct Host {
    runtime: tokio::runtime::Runtime,
    socket: PathBuf,
    _app: App,
    _folder: tempfile::TempDir,
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Opens nothing.
struct NoBrowser;

impl Opener for NoBrowser {
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Opened, Error>> {
        let refused = Error::Start {
            account: wanted.account,
            problem: "there is none".to_owned(),
        };
        async { Err(refused) }.boxed()
    }

    fn clear(&self, _: AccountId, _: PathBuf) -> BoxFuture<'static, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }
}

fn host() -> &'static Host {
    HOST.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config.toml");
        std::fs::create_dir(folder.path().join("scripts")).expect("it is empty");
        let text = "[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"off\"\n[accounts]\nmax = 3\n";
        std::fs::write(&config, text).expect("it can be written");
        let data = folder.path().join("data");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let sources = Sources {
            file: Some(config),
            data: Some(data.clone()),
            ..Sources::default()
        };
        let app = runtime
            .block_on(App::start_on(sources, Some(Arc::new(NoBrowser))))
            .expect("it starts");
        Host {
            runtime,
            socket: data.join("wharf.sock"),
            _app: app,
            _folder: folder,
        }
    })
}

/// Sends the bytes, and nothing after them.
pub(crate) fn run(data: &[u8]) {
    let host = host();
    let answer = host.runtime.block_on(async {
        let mut stream = UnixStream::connect(&host.socket).await.expect("the host is there");
        // One that refuses early does not read on.
        stream.write_all(data).await.ok();
        stream.shutdown().await.ok();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(ANSWER, stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "no answer and no end");
        answer
    });
    let text = String::from_utf8_lossy(&answer);
    assert!(
        text.is_empty() || text.starts_with("HTTP/1."),
        "an answer that is none: {text}"
    );
    for fault in ["HTTP/1.1 500", "HTTP/1.0 500"] {
        assert!(!text.contains(fault), "the host's own fault: {text}");
    }
}
