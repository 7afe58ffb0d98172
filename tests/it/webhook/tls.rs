//! Certificates: of whom, for which name, and that another configuration file changes it at once.

use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use wharf::config::{Error, Sources};

use super::rig::{Outbox, PATIENCE, read, retries};

/// An authority of our own.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }
}

/// A listener with a certificate for `localhost` that answers 200.
struct Secure {
    port: u16,
    got: mpsc::Receiver<()>,
    _task: AbortOnDropHandle<()>,
}

impl Secure {
    async fn start(authority: &Authority) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority.issuer).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, got) = mpsc::channel(16);
        let task = TaskTracker::new().spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not trust the certificate goes away here.
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut head = vec![0; 8192];
                if stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                    sender.send(()).await.unwrap();
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                    drop(stream.shutdown().await);
                }
            }
        });
        Self {
            port,
            got,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn config(&self, host: &str, ca: Option<&Path>) -> String {
        let ca = ca.map_or_else(String::new, |ca| format!("ca = {ca:?}\n"));
        let url = format!("https://{host}:{}/", self.port);
        format!("{}[endpoint.crm]\nurl = \"{url}\"\n{ca}", retries("\"1h\""))
    }

    async fn next(&mut self) {
        tokio::time::timeout(PATIENCE, self.got.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_endpoint_is_trusted_by_its_own_authority_for_its_own_name_alone() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let mut secure = Secure::start(&authority).await;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, &authority.pem).unwrap();

    let outbox = Outbox::open(folder.path(), &secure.config("localhost", None));
    outbox.post("crm", "a/1", "{}").await;
    let error = outbox.tried(1).await.last_error.unwrap();
    assert!(
        error.starts_with("no connection") && error.contains("UnknownIssuer"),
        "{error}"
    );

    outbox.change_config(&secure.config("127.0.0.1", Some(&ca)));
    outbox.post("crm", "a/2", "{}").await;
    let wrong_name = crate::support::until("the second failure", async || {
        let waiting = outbox.store.deliveries(10).await.unwrap();
        waiting.into_iter().find(|row| row.chat_key == "a/2" && row.tries == 1)
    })
    .await;
    let error = wrong_name.last_error.unwrap();
    assert!(
        error.starts_with("no connection") && error.contains("not valid for name"),
        "{error}"
    );
    assert!(
        secure.got.try_recv().is_err(),
        "nothing was sent to a name that is not proven"
    );

    outbox.change_config(&secure.config("localhost", Some(&ca)));
    outbox.post("crm", "a/3", "{}").await;
    secure.next().await;

    // A new authority in the same file holds from the next reading of the configuration on.
    let other = Authority::new();
    let mut renewed = Secure::start(&other).await;
    std::fs::write(&ca, &other.pem).unwrap();
    outbox.change_config(&renewed.config("localhost", Some(&ca)));
    outbox.post("crm", "a/4", "{}").await;
    renewed.next().await;
    outbox.close().await;
}

fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    std::fs::write(folder.path().join("none.pem"), "hello\n").unwrap();
    let sources = Sources {
        file: Some(file),
        ..Sources::default()
    };
    match sources.load() {
        Err(Error::Invalid { place, message }) => {
            assert_eq!(place.line, Some(3));
            message
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_is_missing_or_holds_no_certificate_is_refused_with_its_path() {
    let with = |ca: &str| format!("[endpoint.crm]\nurl = \"https://x/\"\nca = \"{ca}\"\n");
    let missing = refused(&with("nowhere.pem"));
    assert!(
        missing.starts_with("cannot read the file: ") && missing.contains("/nowhere.pem"),
        "{missing}"
    );
    let none = refused(&with("none.pem"));
    assert!(
        none.starts_with("there is no certificate in the file") && none.contains("/none.pem"),
        "{none}"
    );
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, Authority::new().pem).unwrap();
    let config = read(&with(ca.to_str().unwrap()));
    assert_eq!(config.endpoint["crm"].ca.as_ref().unwrap().path, ca);
}
