//! The listener: what it refuses, and where it listens.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::rig::{Host, PATIENCE};

#[tokio::test]
async fn requests_over_the_limits_are_refused() {
    let host = Host::start().await;
    let bearer = format!("Bearer {}", host.key);
    let large = host
        .ask(
            "POST",
            "/api/accounts",
            &[("authorization", &bearer)],
            &"x".repeat((1 << 20) + 1),
        )
        .await;
    assert_eq!((large.status, large.code().as_str()), (413, "BODY_TOO_LARGE"));
    let raw = async |request: String| {
        let mut stream = TcpStream::connect(host.addr).await.unwrap();
        // The server may answer and close before it has read all.
        stream.write_all(request.as_bytes()).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    };
    let head = |fields: &str| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fields}\r\n");
    assert!(raw(head("")).await.starts_with("HTTP/1.1 200"));
    assert!(
        raw(head(&format!("x: {}\r\n", "y".repeat(17 * 1024))))
            .await
            .starts_with("HTTP/1.1 431")
    );
    assert!(raw(head(&"x: y\r\n".repeat(70))).await.starts_with("HTTP/1.1 431"));
    assert!(
        raw("GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned())
            .await
            .starts_with("HTTP/1.1 421")
    );
    host.close().await;
}

#[tokio::test]
async fn the_listener_follows_the_configuration() {
    let mut host = Host::start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let before = host.addr;
    host.change_config(&format!("[admin]\nlisten = \"{free}\"\n"));
    let moved = async {
        while TcpStream::connect(free).await.is_err() || TcpStream::connect(before).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, moved).await.expect("it moves");
    host.addr = free;
    assert_eq!(host.get("/api/accounts").await.status, 200);
    host.change_config("[admin]\nenabled = false\n");
    let gone = async {
        while TcpStream::connect(free).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it goes");
    assert!(
        host.control().await.list_keys().await.is_ok(),
        "the control socket stays"
    );
    host.close().await;
}
