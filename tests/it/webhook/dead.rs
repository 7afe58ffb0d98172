//! Deliveries that are given up, and the events about it.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use wharf::event::{Draft, Kind, Origin};
use wharf::store::{Batch, NewEvent};

use super::rig::{Got, Outbox, Receiver, at_once, endpoint, retries};

#[tokio::test]
async fn when_the_attempts_are_spent_it_becomes_a_dead_letter_and_an_event() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::NOT_FOUND)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"10ms\"") + &endpoint("crm", &receiver.url("/"))),
    );
    let id = outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    receiver.next().await;
    let events = outbox.events(0, 1).await;
    assert_eq!(events[0].event.to_string(), "delivery.dead");
    assert_eq!(
        (events[0].text("endpoint"), events[0].text("delivery")),
        (Some("crm"), Some(id.as_str()))
    );
    let dead = outbox.dead().await;
    assert_eq!(
        (dead[0].delivery.id.as_str(), dead[0].reason.as_str()),
        (id.as_str(), "failed 2 times, at last: answered 404")
    );
    assert!(outbox.store.deliveries(10).await.unwrap().is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn gone_disables_the_endpoint_until_its_settings_change() {
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
    outbox.post("crm", "a/1", "first").await;
    assert_eq!(receiver.next().await.body, "first");
    let events = outbox.events(0, 2).await;
    let names: Vec<String> = events.iter().map(|event| event.event.to_string()).collect();
    assert_eq!(names, ["endpoint.disabled", "delivery.dead"]);
    outbox.post("crm", "a/1", "second").await;
    outbox.until_empty().await;
    let reasons: Vec<String> = outbox.dead().await.into_iter().map(|dead| dead.reason).collect();
    assert_eq!(
        reasons,
        ["the endpoint is disabled", "answered 410: it wants nothing any more"]
    );
    outbox.change_config(&endpoint("crm", &receiver.url("/new")));
    outbox.post("crm", "a/1", "third").await;
    let got = receiver.next().await;
    assert_eq!(
        (got.path.as_str(), got.body.as_str()),
        ("/new", "third"),
        "the second was not tried"
    );
    outbox.close().await;
}

#[tokio::test]
async fn a_blocked_address_is_dead_at_once_and_the_event_says_no_more() {
    let receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[egress]\nallow = []\n{}", endpoint("crm", &receiver.url("/")));
    let outbox = Outbox::open(folder.path(), &config);
    outbox.post("crm", "a/1", "{}").await;
    let events = outbox.events(0, 1).await;
    assert_eq!(
        (events[0].event.to_string().as_str(), events[0].text("reason")),
        ("delivery.dead", Some("blocked"))
    );
    assert_eq!(outbox.dead().await.len(), 1);
    assert_eq!(receiver.most_at_once.load(Ordering::SeqCst), 0);
    outbox.close().await;
}

fn host_event(name: &str, endpoint: &str) -> NewEvent {
    let data = serde_json::Map::from_iter([("endpoint".to_owned(), endpoint.into())]);
    NewEvent::from(Draft {
        event: Kind::parse(name).unwrap(),
        account: None,
        timestamp: 0,
        origin: Origin::Live,
        data,
    })
}

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

#[tokio::test]
async fn what_the_network_said_is_kept_with_the_delivery_and_not_told_to_scripts() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &(retries("\"10ms\"") + &endpoint("crm", &format!("http://{address}/"))),
    );
    outbox.post("crm", "a/1", "{}").await;
    let events = outbox.events(0, 1).await;
    let told = "failed 2 times, at last: the connection was refused or cut";
    assert_eq!(events[0].text("reason"), Some(told));
    let dead = outbox.dead().await.remove(0);
    assert_eq!((dead.reason.as_str(), dead.delivery.tries), (told, 2));
    let kept = dead.delivery.last_error.unwrap();
    assert!(
        kept.starts_with("the connection was refused or cut: ") && kept.len() > 50,
        "{kept}"
    );
    outbox.close().await;
}
