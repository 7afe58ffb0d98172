//! Dead letters and events that are delivered once more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use wharf::store::{Post, REPLAYS_PER_BATCH, Replay};

use super::rig::{Outbox, Receiver, at_once, endpoint, retries};

/// A receiver that wants nothing until it is told to.
async fn unwilling() -> (Receiver, Arc<AtomicBool>) {
    let willing = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&willing);
    let receiver = Receiver::start(move |got| {
        let takes = asked.load(Ordering::SeqCst) || got.body == "fine";
        at_once(if takes { StatusCode::OK } else { StatusCode::NOT_FOUND })
    })
    .await;
    (receiver, willing)
}

#[tokio::test]
async fn a_dead_letter_goes_out_again_with_its_id_its_sequence_and_its_bytes() {
    let (mut receiver, willing) = unwilling().await;
    let folder = tempfile::tempdir().unwrap();
    let config = retries("\"10ms\"") + &endpoint("crm", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &config);
    let mut first = Vec::new();
    for body in ["one", "two", "three"] {
        outbox.post("crm", "a/1", body).await;
        first.push(receiver.next().await);
        let again = receiver.next().await;
        assert_eq!((again.header("wharf-attempt"), again.header("wharf-replay")), ("2", ""));
    }
    outbox.events(0, 3).await;
    // What was posted after them has been read and delivered: they lie behind it.
    outbox.post("crm", "a/1", "fine").await;
    assert_eq!(receiver.next().await.body, "fine");
    outbox.until_empty().await;
    willing.store(true, Ordering::SeqCst);
    let ids = outbox.dead().await.into_iter().map(|letter| letter.delivery.id);
    let letters: Vec<Replay> = ids.map(Replay::Letter).collect();
    assert_eq!(outbox.store.replay(letters.clone()).await.unwrap().len(), 3);
    for before in first {
        let got = receiver.next().await;
        for header in ["webhook-id", "wharf-sequence", "wharf-attempt"] {
            assert_eq!(got.header(header), before.header(header), "{header}");
        }
        assert_eq!(
            (got.body.as_str(), got.header("wharf-replay")),
            (before.body.as_str(), "1")
        );
    }
    outbox.until_empty().await;
    assert!(outbox.dead().await.is_empty());
    assert!(
        outbox.store.replay(letters).await.unwrap().is_empty(),
        "they are dead no more"
    );
    outbox.close().await;
}

#[tokio::test]
async fn what_was_put_back_is_delivered_by_the_next_host_as_well() {
    let (mut receiver, willing) = unwilling().await;
    let folder = tempfile::tempdir().unwrap();
    let config = retries("") + &endpoint("crm", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &config);
    let id = outbox.post("crm", "a/1", "one").await;
    receiver.next().await;
    outbox.events(0, 1).await;
    outbox.stop.cancel();
    outbox.tracker.close();
    outbox.tracker.wait().await;
    let posted = outbox.dead().await.remove(0).delivery.created_at;
    let back = outbox.store.replay(vec![Replay::Letter(id.clone())]).await;
    assert_eq!(back.unwrap(), std::slice::from_ref(&id));
    let waits = outbox.store.deliveries(1).await.unwrap().remove(0);
    // Its four days begin anew.
    assert!(
        waits.created_at > posted && waits.tries == 0 && waits.last_error.is_none(),
        "{waits:?}"
    );
    outbox.store.close().await.unwrap();
    willing.store(true, Ordering::SeqCst);
    let outbox = Outbox::open(folder.path(), &config);
    let got = receiver.next().await;
    assert_eq!(
        (got.header("webhook-id"), got.header("wharf-replay")),
        (id.as_str(), "1")
    );
    outbox.close().await;
}

#[tokio::test]
async fn an_event_that_is_replayed_is_a_delivery_of_its_own_that_says_so() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/")));
    outbox.post("crm", "a/1", "live").await;
    assert_eq!(receiver.next().await.header("wharf-replay"), "");
    let event = |number: usize| {
        Replay::Event(Post {
            endpoint: "crm".to_owned(),
            chat_key: "a/1".to_owned(),
            body: number.to_string().into_bytes(),
            script: None,
            event_id: None,
        })
    };
    let made = outbox
        .store
        .replay((0..REPLAYS_PER_BATCH).map(event).collect())
        .await
        .unwrap();
    for (number, id) in made.iter().enumerate() {
        let got = receiver.next().await;
        assert_eq!(
            (got.body.as_str(), got.header("webhook-id")),
            (number.to_string().as_str(), id.as_str())
        );
        assert_eq!(got.header("wharf-sequence"), (number + 2).to_string());
        assert_eq!(got.header("wharf-replay"), "1");
    }
    outbox.close().await;
}
