//! Callers that take their time: a body that does not come, and so many of them that nobody else gets in.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::rig::{Host, PATIENCE};

/// A request whose body is announced and held back. What it answers first says that somebody waits for the body.
async fn held_back(host: &Host, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.addr).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-length: 9\r\n\
         content-type: application/x-www-form-urlencoded\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        host.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 25];
    timeout(PATIENCE, stream.read_exact(&mut first))
        .await
        .expect("it is asked to go on")
        .unwrap();
    assert_eq!(&first, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up_on_the_sign_in_page_too() {
    let host = Host::start().await;
    for path in ["/api/accounts", "/sign-in"] {
        let mut stream = held_back(&host, path).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(31)).await;
        tokio::time::resume();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer))
            .await
            .unwrap_or_else(|_| panic!("{path} waits for ever"))
            .unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{path}: {answer}");
    }
    host.close().await;
}

/// Sockets that this process holds, both ends of its own connections included.
fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let places = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    places
        .filter(|place| place.to_string_lossy().starts_with("socket:"))
        .count()
}

#[tokio::test]
async fn a_full_listener_does_not_lock_the_owner_out_of_the_control_socket() {
    /// As many as the listener takes.
    const CONNECTIONS: usize = 1_024;
    /// Its body has half a minute to come.
    const WAITING: &[u8] = b"POST /sign-in HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\
        content-type: application/x-www-form-urlencoded\r\n\r\n";
    // Each connection has two ends here, and many systems grant a process 1,024 files until it asks for more.
    let files = getrlimit(Resource::Nofile);
    let more = Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, more).unwrap();
    let host = Host::start().await;
    let before = sockets();
    let mut held = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(host.addr).await.unwrap();
        stream.write_all(WAITING).await.unwrap();
        held.push(stream);
    }
    let all_are_in = async {
        while sockets() < before + 2 * CONNECTIONS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, all_are_in)
        .await
        .expect("it takes them all: none of its places is the control socket's");
    let keys = async { host.control().await.list_keys().await };
    let keys = timeout(Duration::from_secs(5), keys)
        .await
        .expect("the control socket answers");
    assert_eq!(keys.unwrap().len(), 1);
    drop(held);
    host.close().await;
}
