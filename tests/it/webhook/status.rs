//! What is known of endpoints at a moment, and what an endpoint's settings let through.

use std::time::Duration;

use axum::http::StatusCode;

use super::rig::{Got, Outbox, Receiver, at_once, endpoint, retries};

#[tokio::test]
async fn what_waits_what_failed_and_what_was_delivered_are_counted() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.path == "/bad" {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config =
        retries("\"1h\"") + &endpoint("good", &receiver.url("/good")) + &endpoint("bad", &receiver.url("/bad"));
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("good", "a/1", "12345").await;
    outbox.post("bad", "a/1", "123").await;
    outbox.post("missing", "a/1", "1").await;
    receiver.next().await;
    receiver.next().await;
    let status = crate::support::until("both outcomes", async || {
        let status = outbox.deliveries.status().await.unwrap();
        // While an outcome is on its way to the store, its delivery does not wait.
        let waits = status.endpoints["bad"].oldest_pending_ms.is_some();
        (status.pending == 2 && status.attempts.len() == 2 && waits).then_some(status)
    })
    .await;
    assert_eq!((status.pending_bytes, status.full, status.dead), (4, false, 0));
    assert_eq!((status.attempts["delivered"], status.attempts["refused"]), (1, 1));
    let good = &status.endpoints["good"];
    assert_eq!(
        (good.pending, good.oldest_pending_ms, good.breaker),
        (0, None, "closed")
    );
    let last = good.last.as_ref().unwrap();
    assert_eq!((last.result, last.status), ("delivered", Some(200)));
    let bad = &status.endpoints["bad"];
    assert_eq!((bad.exists, bad.pending, bad.pending_bytes), (true, 1, 3));
    assert_eq!(bad.last.as_ref().unwrap().status, Some(404));
    let missing = &status.endpoints["missing"];
    assert_eq!(
        (missing.exists, missing.pending, missing.last.is_none()),
        (false, 1, true)
    );
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_ten_times_running_is_left_alone_until_its_settings_change() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.path == "/bad" {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = |path: &str| retries("\"1h\"") + &endpoint("crm", &receiver.url(path)) + "in_flight = 1\n";
    let (bad, good) = (config("/bad"), config("/good"));
    let outbox = Outbox::open(folder.path(), &bad);
    for n in 0..15 {
        outbox.post("crm", &format!("a/{n}"), "{}").await;
    }
    let status = crate::support::until("the breaker opens", async || {
        let status = outbox.deliveries.status().await.unwrap();
        (status.endpoints["crm"].breaker == "open").then_some(status)
    })
    .await;
    assert_eq!(status.attempts["refused"], 10);
    assert!(status.endpoints["crm"].opens_in_ms.unwrap() <= 30_000);
    for _ in 0..10 {
        receiver.next().await;
    }
    let waiting = outbox.store.deliveries(20).await.unwrap();
    assert_eq!(
        waiting.iter().filter(|row| row.tries == 0).count(),
        5,
        "those use up no attempt"
    );
    assert!(receiver.got.try_recv().is_err());
    outbox.change_config(&good);
    for _ in 0..5 {
        assert_eq!(receiver.next().await.path, "/good");
    }
    outbox.close().await;
}

#[tokio::test]
async fn a_rate_bounds_what_goes_and_its_removal_frees_the_rest() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let crm = endpoint("crm", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &(crm.clone() + "rate = \"2/h\"\n"));
    for n in 0..6 {
        outbox.post("crm", &format!("a/{n}"), &n.to_string()).await;
    }
    assert_eq!(receiver.next().await.body, "0");
    // The second is half an hour away; whatever else there is to do does not let it go.
    let other = crm.clone() + "rate = \"2/h\"\ntimeout = \"2s\"\n";
    outbox.change_config(&other);
    crate::support::until("one is delivered", async || {
        let status = outbox.deliveries.status().await.unwrap();
        (status.endpoints["crm"].pending == 5).then_some(())
    })
    .await;
    tokio::task::yield_now().await;
    assert!(receiver.got.try_recv().is_err());
    outbox.change_config(&crm);
    for _ in 0..5 {
        receiver.next().await;
    }
    outbox.close().await;
}

#[tokio::test]
async fn in_strict_order_a_failed_one_holds_up_its_chat_and_no_other() {
    let mut receiver = Receiver::start(|got: &Got| {
        let fails = got.body == "a1" && got.header("wharf-attempt") != "3";
        (
            if fails { StatusCode::BAD_GATEWAY } else { StatusCode::OK },
            Duration::ZERO,
        )
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config =
        retries("\"30ms\", \"30ms\", \"30ms\"") + &endpoint("crm", &receiver.url("/")) + "ordering = \"strict\"\n";
    let outbox = Outbox::open(folder.path(), &config);
    for body in ["a1", "a2", "b1", "a3", "b2"] {
        let chat = body.get(..1).unwrap();
        outbox.post("crm", chat, body).await;
    }
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(receiver.next().await.body);
    }
    let of = |chat: char| {
        seen.iter()
            .filter(|body| body.starts_with(chat))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(of('a'), ["a1", "a1", "a1", "a2", "a3"]);
    assert_eq!(of('b'), ["b1", "b2"]);
    outbox.close().await;
}
