//! The machine's clock is set while deliveries wait.

use axum::http::StatusCode;

use super::rig::{Got, Outbox, Receiver, at_once, endpoint, retries};

const HOUR: i64 = 3_600_000;

fn failing_once() -> impl Fn(&Got) -> (StatusCode, std::time::Duration) + Clone {
    |got: &Got| {
        at_once(if got.header("wharf-attempt") == "1" {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::OK
        })
    }
}

#[tokio::test]
async fn an_hour_forward_is_told_once_and_what_is_due_by_it_goes() {
    let mut receiver = Receiver::start(failing_once()).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"30m\"") + &endpoint("crm", &receiver.url("/"))),
    );
    for chat in ["a/1", "a/2", "a/3"] {
        outbox.post("crm", chat, "{}").await;
        receiver.next().await;
    }
    crate::support::until("three failures", async || {
        let waiting = outbox.store.deliveries(10).await.unwrap();
        (waiting.iter().filter(|row| row.tries == 1).count() == 3).then_some(())
    })
    .await;
    outbox.clock.set_ahead(HOUR);
    for _ in 0..3 {
        assert_eq!(receiver.next().await.header("wharf-attempt"), "2");
    }
    outbox.until_empty().await;
    let events = outbox.events(0, 1).await;
    assert_eq!((events.len(), events[0].event.to_string().as_str()), (1, "host.clock"));
    let jump = events[0].data["jump_ms"].as_i64().unwrap();
    assert!((HOUR - 5_000..=HOUR + 5_000).contains(&jump), "{jump}");
    outbox.close().await;
}

#[tokio::test]
async fn an_hour_back_leaves_the_wait_as_it_was_in_the_store_too() {
    let mut receiver = Receiver::start(failing_once()).await;
    let folder = tempfile::tempdir().unwrap();
    let config = retries("\"30m\"") + &endpoint("crm", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    let before = outbox.tried(1).await;
    outbox.clock.set_ahead(-HOUR);
    let moved = crate::support::until("the row is moved", async || {
        let waiting = outbox.store.deliveries(10).await.unwrap().remove(0);
        (waiting.due != before.due).then_some(waiting)
    })
    .await;
    let by = before.due - moved.due;
    assert!((HOUR - 5_000..=HOUR + 5_000).contains(&by), "{by}");
    assert_eq!((moved.tries, &moved.last_error), (1, &before.last_error));
    let events = outbox.events(0, 1).await;
    let jump = events[0].data["jump_ms"].as_i64().unwrap();
    assert!((-HOUR - 5_000..=-HOUR + 5_000).contains(&jump), "{jump}");
    outbox.close().await;
}
