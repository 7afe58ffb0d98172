//! The listeners: the control socket, limits, a changed address.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wharf::admin::control;

use super::rig::{Host, PATIENCE};

#[tokio::test]
async fn the_control_socket_is_private_and_makes_keys_while_the_host_runs() {
    let host = Host::start().await;
    let mode = std::fs::metadata(host.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let control = host.control().await;
    let key = control
        .make_key(Some("crm".to_owned()), vec!["read".to_owned()])
        .await
        .unwrap();
    assert_eq!(host.with(&key, "GET", "/api/accounts", None).await.status, 200);
    let listed = control.list_keys().await.unwrap();
    let crm = listed
        .iter()
        .find(|listed| listed.name.as_deref() == Some("crm"))
        .unwrap();
    assert_eq!(
        (key.split('_').nth(1), crm.scopes.as_slice()),
        (Some(crm.id.as_str()), &["read".to_owned()][..])
    );
    assert!(control.revoke_key(&crm.id).await.unwrap());
    assert!(!control.revoke_key(&crm.id).await.unwrap());
    assert_eq!(host.with(&key, "GET", "/api/accounts", None).await.status, 401);
    let wrong = control.make_key(None, vec!["root".to_owned()]).await.unwrap_err();
    assert!(wrong.to_string().contains("root"), "{wrong}");
    let made = control
        .ask(Method::POST, "/api/accounts", Some(json!({"id": "sales"})))
        .await
        .unwrap();
    assert_eq!(made["id"], "sales", "the same router, with scope admin");
    let socket = host.socket();
    host.close().await;
    assert!(!socket.exists());
    assert!(control::Client::connect(&socket).await.is_none());
}

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
