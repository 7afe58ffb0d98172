//! Limits, redirects, proxies, certificates, and places that are never reached.

use super::*;

fn egress(ranges: &[&str]) -> Egress {
    Egress {
        allow: ranges.iter().map(|range| range.parse().unwrap()).collect(),
    }
}

fn to(url: &str) -> Request {
    Request {
        url: url.to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(10),
        response_limit: 4,
    }
}

/// A listener that answers every connection with the same bytes and counts them.
async fn listener(answer: &'static str) -> (u16, Arc<std::sync::atomic::AtomicUsize>, tokio::task::JoinHandle<()>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let task = tokio_util::task::TaskTracker::new().spawn(async move {
        while let Ok((mut connection, _)) = socket.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut head = [0; 4096];
            drop(connection.read(&mut head).await);
            drop(connection.write_all(answer.as_bytes()).await);
        }
    });
    (port, count, task)
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let (port, _, task) = listener("HTTP/1.1 418 x\r\ncontent-length: 6\r\nx-a: b\r\n\r\nabcdef").await;
    let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
    let answer = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!((answer.status, &answer.body[..], answer.cut), (418, &b"abcd"[..], true));
    assert_eq!(answer.headers["x-a"], "b");
    task.abort();
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (port, count, task) =
        listener("HTTP/1.1 302 x\r\nlocation: /other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
    let answer = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    task.abort();
}

#[tokio::test]
async fn blocked_places_are_never_dialled_by_address_or_by_name() {
    let (port, count, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    let client = Client::new(&egress(&[])).unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let error = client.post(to(&format!("http://{host}:{port}/"))).await.unwrap_err();
        assert!(matches!(error, Error::Blocked(_)), "{host}: {error:?}");
        assert_eq!(error.to_string(), "blocked", "it tells the outside no more");
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
    task.abort();
}

#[tokio::test]
async fn a_changed_egress_is_in_force_for_every_handle() {
    let (port, _, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let client = Client::new(&egress(&[])).unwrap();
    let other = client.clone();
    client.follow(&egress(&["127.0.0.0/8"])).unwrap();
    assert_eq!(
        other
            .post(to(&format!("http://localhost:{port}/")))
            .await
            .unwrap()
            .status,
        200
    );
    client.follow(&egress(&[])).unwrap();
    assert!(other.post(to(&format!("http://localhost:{port}/"))).await.is_err());
    task.abort();
}

#[tokio::test]
async fn errors_are_told_apart() {
    let client = Client::new(&egress(&["127.0.0.1/32"])).unwrap();
    for url in ["file:///etc/passwd", "ftp://x/", "not a url", "/path"] {
        assert!(matches!(client.post(to(url)).await, Err(Error::Url(_))), "{url}");
    }
    let (port, _, task) = listener("").await;
    let cut = client.post(to(&format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert!(matches!(cut, Error::Cut(_)), "{cut:?}");
    task.abort();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let refused = client.post(to(&format!("http://127.0.0.1:{free}/"))).await.unwrap_err();
    assert!(matches!(refused, Error::Cut(_)), "{refused:?}");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut request = to(&format!("http://{}/", silent.local_addr().unwrap()));
    request.timeout = Duration::from_millis(50);
    assert!(matches!(client.post(request).await, Err(Error::Timeout)));
    let header = Request {
        headers: vec![("a b".to_owned(), "c".to_owned())],
        ..to("http://127.0.0.1/")
    };
    assert!(matches!(client.post(header).await, Err(Error::Header(_))));
}

/// A look-up that answers each time with the next of these, and then with the last.
fn answers(addresses: &[&'static str]) -> (Lookup, Arc<std::sync::atomic::AtomicUsize>) {
    use futures::FutureExt as _;
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counted, addresses) = (Arc::clone(&count), addresses.to_vec());
    let lookup: Lookup = Arc::new(move |_| {
        let nth = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let address: IpAddr = addresses[nth.min(addresses.len() - 1)].parse().unwrap();
        async move { Ok(vec![std::net::SocketAddr::new(address, 0)]) }.boxed()
    });
    (lookup, count)
}

#[tokio::test]
async fn a_name_that_is_public_first_and_private_then_is_not_dialled_the_second_time() {
    let (port, count, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    // 127.0.0.1 stands for the public address, since a test dials nothing else; 127.0.0.2 is private here.
    let (lookup, looked) = answers(&["127.0.0.1", "127.0.0.2"]);
    let client = Client::with_lookup(&egress(&["127.0.0.1/32"]), lookup).unwrap();
    let url = format!("http://rebound.test:{port}/");
    assert_eq!(client.post(to(&url)).await.unwrap().status, 200);
    let error = client.post(to(&url)).await.unwrap_err();
    assert!(matches!(error, Error::Blocked(_)), "{error:?}");
    assert!(error.detail().contains("127.0.0.2"), "{}", error.detail());
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(
        looked.load(std::sync::atomic::Ordering::SeqCst),
        2,
        "one look-up for each dialling"
    );
    task.abort();
}

#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_dialled() {
    let (port, count, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    // Were the name looked up once more to dial, this would block or go elsewhere.
    let (lookup, looked) = answers(&["127.0.0.1", "169.254.169.254"]);
    let client = Client::with_lookup(&egress(&["127.0.0.1/32"]), lookup).unwrap();
    let url = format!("http://rebound.test:{port}/");
    assert_eq!(client.post(to(&url)).await.unwrap().status, 200);
    assert_eq!(looked.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    task.abort();
}

/// Runs alone, and again in a process whose environment names a proxy: see below.
#[tokio::test]
async fn a_request_goes_straight() {
    let (port, count, task) = listener("HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n").await;
    let (lookup, _) = answers(&["127.0.0.1"]);
    let client = Client::with_lookup(&egress(&["127.0.0.1/32"]), lookup).unwrap();
    let answer = client.post(to(&format!("http://somewhere.test:{port}/"))).await;
    assert_eq!(answer.unwrap().status, 200);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
    task.abort();
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    let (port, count, task) = listener("HTTP/1.1 502 x\r\ncontent-length: 0\r\n\r\n").await;
    let proxy = format!("http://127.0.0.1:{port}/");
    let mut again = tokio::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "http::tests::a_request_goes_straight"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"] {
        again.env(name, &proxy);
    }
    again.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = again.output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 0);
    task.abort();
}
