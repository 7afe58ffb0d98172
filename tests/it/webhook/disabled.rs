//! An endpoint that answered 410.

use axum::http::StatusCode;
use wharf::webhook::Error;

use super::rig::{Got, Outbox, Receiver, at_once, endpoint};

#[tokio::test]
async fn it_stays_disabled_over_a_restart_until_somebody_enables_it() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.body == "first" {
            StatusCode::GONE
        } else {
            StatusCode::OK
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let config = endpoint("crm", &receiver.url("/"));
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("crm", "a/1", "first").await;
    receiver.next().await;
    outbox.until_empty().await;
    outbox.close().await;

    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("crm", "a/1", "second").await;
    outbox.until_empty().await;
    let status = outbox.deliveries.status().await.unwrap();
    let disabled = status.endpoints["crm"].disabled.as_ref().unwrap();
    assert_eq!(disabled.reason, "answered 410: it wants nothing any more");
    assert_eq!(outbox.dead().await[0].reason, "the endpoint is disabled");

    assert!(outbox.deliveries.enable("crm").await.unwrap());
    assert!(!outbox.deliveries.enable("crm").await.unwrap(), "it is enabled already");
    let unknown = outbox.deliveries.enable("nobody").await.unwrap_err();
    assert!(matches!(unknown, Error::NoEndpoint(_)), "{unknown}");
    outbox.post("crm", "a/1", "third").await;
    assert_eq!(receiver.next().await.body, "third");
    outbox.close().await;
}

#[tokio::test]
async fn changed_settings_open_it_also_while_wharf_is_down() {
    let mut receiver = Receiver::start(|got: &Got| {
        at_once(if got.path == "/old" {
            StatusCode::GONE
        } else {
            StatusCode::OK
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/old")));
    outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    outbox.until_empty().await;
    outbox.close().await;
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/new")));
    outbox.post("crm", "a/1", "{}").await;
    assert_eq!(receiver.next().await.path, "/new");
    outbox.until_empty().await;
    assert!(
        outbox.store.endpoint_records().await.unwrap().is_empty(),
        "nothing is kept of it"
    );
    outbox.close().await;
}
