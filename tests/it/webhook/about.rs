//! Events about endpoints: to whom they are not delivered, and that they end.

use axum::http::StatusCode;
use wharf::store::Batch;

use super::rig::{Outbox, Receiver, at_once, endpoint, host_event};

#[tokio::test]
async fn what_concerns_an_endpoint_is_not_delivered_to_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = endpoint("crm", &receiver.url("/crm")) + &endpoint("ops", &receiver.url("/ops"));
    let outbox = Outbox::open(folder.path(), &config);
    let batch = Batch {
        events: vec![host_event("delivery.dead", "crm")],
        ..Batch::default()
    };
    let about = outbox.store.commit(batch).await.unwrap().events[0]
        .as_ref()
        .unwrap()
        .1
        .id
        .clone();
    outbox.post_about("crm", "a/1", "to itself", Some(about.clone())).await;
    outbox.post_about("ops", "a/1", "to another", Some(about)).await;
    outbox.until_empty().await;
    assert_eq!(receiver.next().await.body, "to another");
    assert!(receiver.got.try_recv().is_err());
    assert!(outbox.dead().await.is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn two_dead_endpoints_that_are_told_of_each_other_do_not_make_events_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let config = "[egress]\nallow = []\n".to_owned()
        + &endpoint("one", "http://127.0.0.1:9/")
        + &endpoint("two", "http://127.0.0.1:9/");
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("one", "a/1", "{}").await;
    let first = outbox.events(0, 1).await;
    outbox.post_about("two", "a/1", "{}", Some(first[0].id.clone())).await;
    outbox.until_empty().await;
    assert_eq!(outbox.dead().await.len(), 2);
    assert_eq!(*outbox.store.head().borrow(), 1, "the second death made no event");
    outbox.close().await;
}
