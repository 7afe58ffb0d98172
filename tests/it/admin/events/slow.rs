//! Streams that end: the client does not read, the key is revoked, the host stops; and too many of them.

use std::time::Duration;

use wharf::admin::keys;

use super::super::rig::{Host, PATIENCE};
use super::client::{Over, Stream};
use super::{drafts, ids, journal};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off_and_goes_on_where_it_was() {
    let host = Host::start().await;
    let first = journal(&host.store, drafts("message", Some("sales"), 1, "first")).await;
    let mut stream = Stream::open(&host, &format!("/api/events?since={}", first[0].id), &[]).await;
    // More than the system holds for a connection, and then some events more than one may wait for.
    let body = "x".repeat(16_000);
    for _ in 0..100 {
        journal(&host.store, drafts("message", Some("sales"), 20, &body)).await;
    }
    for _ in 0..50 {
        journal(&host.store, drafts("message.ack", Some("sales"), 40, "")).await;
    }
    let (mut got, over) = stream.rest().await;
    assert_eq!(over, Over::Cut);
    let all = ids(&host.store, 1).await;
    assert!(
        !got.is_empty() && got.len() < all.len(),
        "{} of {}",
        got.len(),
        all.len()
    );
    let last = got.last().unwrap().clone();
    let mut stream = Stream::open(&host, "/api/events", &[("last-event-id", &last)]).await;
    got.extend(stream.ids(all.len() - got.len()).await);
    assert_eq!(got, all);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_its_key() {
    let host = Host::start().await;
    let key = host.key_for(&["read"]).await;
    let mut stream = Stream::open_with(&host, &key, "/api/events", &[]).await;
    journal(&host.store, drafts("message", Some("sales"), 1, "")).await;
    stream.event().await;
    let id = key.split('_').nth(1).unwrap();
    assert!(keys::revoke(&host.store, id).await.unwrap());
    assert_eq!(until_over(&host, &mut stream).await, Over::Cleanly);
    host.close().await;
}

/// Lets events happen until the stream ends.
async fn until_over(host: &Host, stream: &mut Stream) -> Over {
    let ended = async {
        loop {
            tokio::select! {
                (_, over) = stream.rest() => return over,
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    journal(&host.store, drafts("message", Some("sales"), 1, "")).await;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_the_events_until_it_is_signed_out() {
    let host = Host::start().await;
    let origin = format!("http://{}", host.addr);
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", origin.as_str()),
    ];
    let signed_in = host.ask("POST", "/sign-in", &form, &format!("key={}", host.key)).await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    let mut stream = Stream::open_bare(&host, "/api/events", &[("cookie", &cookie)]).await;
    assert_eq!(stream.status(), 200);
    journal(&host.store, drafts("message", Some("sales"), 1, "")).await;
    stream.event().await;
    let page = host.ask("GET", "/", &[("cookie", &cookie)], "").await.text;
    let token = page.split("name=\"wharf-token\" content=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let signed = [("cookie", cookie.as_str()), ("x-wharf-token", token)];
    assert_eq!(host.ask("POST", "/sign-out", &signed, "").await.status, 204);
    assert_eq!(until_over(&host, &mut stream).await, Over::Cleanly);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_at_once_when_the_host_stops() {
    let host = Host::start().await;
    let mut stream = Stream::open(&host, "/api/events", &[]).await;
    stream.frame().await.unwrap();
    host.close().await;
    // One that is waited for would be cut off in the middle, ten seconds later.
    assert_eq!(stream.rest().await, (Vec::new(), Over::Cleanly));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_too_many_is_told_to_come_back_and_finds_a_place_when_another_ends() {
    let host = Host::start().await;
    let mut streams = Vec::new();
    for _ in 0..64 {
        let stream = Stream::open(&host, "/api/events", &[]).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    let refused = host.get("/api/events").await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "TOO_MANY_STREAMS"));
    assert_eq!(refused.header("retry-after"), "5");
    streams.pop();
    let found = async {
        while Stream::open(&host, "/api/events", &[]).await.status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("there is a place");
    host.close().await;
}
