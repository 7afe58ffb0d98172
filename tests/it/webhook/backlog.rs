//! A dead endpoint with more waiting than it may have, and others that must not feel it.

use axum::http::StatusCode;
use wharf::store::{Batch, Post};

use super::rig::{Outbox, Receiver, at_once, endpoint, retries};

/// Deliveries in one commit here: larger ones than a run makes, so that the test is quick.
const BATCH: usize = 90;
/// The share of an endpoint.
const SHARE: u64 = 100_000;
const OVER: u64 = 700;

fn post(endpoint: &str, n: u64) -> Post {
    Post {
        endpoint: endpoint.to_owned(),
        chat_key: format!("a/{}", n % 500),
        body: format!("{n}").into_bytes(),
        script: None,
        event_id: None,
    }
}

async fn fill(outbox: &Outbox, from: u64, to: u64) {
    let all: Vec<u64> = (from..to).collect();
    let commits = all.chunks(BATCH).map(|chunk| {
        let posts = chunk.iter().map(|n| post("dead", *n)).collect();
        let batch = Batch {
            posts,
            ..Batch::default()
        };
        outbox.store.commit(batch)
    });
    futures::future::try_join_all(commits).await.unwrap();
}

#[tokio::test]
async fn a_hundred_thousand_for_a_dead_endpoint_are_not_felt_by_another_and_the_oldest_of_more_are_given_up() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    // Bound and not listening: whoever connects is refused at once.
    let dead = tokio::net::TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dead_url = format!("http://{}/", dead.local_addr().unwrap());
    let config = retries("\"1h\"") + &endpoint("dead", &dead_url) + &endpoint("live", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &config);
    fill(&outbox, 0, SHARE).await;
    let status = outbox.deliveries.status().await.unwrap();
    assert_eq!(
        (status.endpoints["dead"].pending, status.dead),
        (SHARE, 0),
        "that many may wait"
    );

    // Of what the other endpoint gets, none waits for the dead one: no attempt at that is needed in between.
    for n in 0..200 {
        outbox.post("live", &format!("a/{}", n % 7), &n.to_string()).await;
    }
    let tried = |status: &wharf::webhook::Status| status.attempts.get("no_answer").copied().unwrap_or(0);
    for _ in 0..200 {
        receiver.next().await;
    }
    let status = crate::support::until("all of the live one", async || {
        let status = outbox.deliveries.status().await.unwrap();
        (status.endpoints["live"].pending == 0).then_some(status)
    })
    .await;
    assert_eq!(status.endpoints["dead"].breaker, "open");
    assert!(tried(&status) < 100, "{}", tried(&status));

    fill(&outbox, SHARE, SHARE + OVER).await;
    let status = crate::support::until_within(5, "the oldest are given up", async || {
        let status = outbox.deliveries.status().await.unwrap();
        (status.endpoints["dead"].pending <= SHARE * 95 / 100).then_some(status)
    })
    .await;
    assert_eq!(status.pending + status.dead, SHARE + OVER, "nothing is lost");
    let letters = outbox.store.dead_letters_after(None, 1).await.unwrap();
    assert!(
        letters[0].reason.starts_with("more than 100000 deliveries"),
        "{}",
        letters[0].reason
    );
    let events = outbox.events(0, 1).await;
    let dead: Vec<u64> = events
        .iter()
        .map(|event| event.data["count"].as_u64().unwrap())
        .collect();
    assert!(
        dead.len() < 5 && dead.iter().sum::<u64>() == status.dead,
        "{dead:?} of {}",
        status.dead
    );
    assert!(events.iter().all(|event| event.text("endpoint") == Some("dead")));
    let newest = outbox.store.deliveries_after(None, 1).await.unwrap();
    assert!(newest[0].sequence >= status.dead, "the oldest went");
    outbox.close().await;
}
