//! The events as a stream, over real sockets, out of a real journal.

mod client;
mod replay;
mod slow;

use std::sync::Arc;

use serde_json::{Map, Value, json};
use wharf::event::{Draft, Event, Kind, Origin};
use wharf::store::{Batch, NewEvent, Store};

use self::client::Stream;
use super::rig::Host;

/// Events of a name, of an account or of the host.
pub(super) fn drafts(name: &str, account: Option<&str>, count: u64, body: &str) -> Vec<NewEvent> {
    let draft = |number: u64| {
        let data = json!({"chat": format!("{}@c.us", number % 3), "body": body, "number": number});
        NewEvent::from(Draft {
            event: Kind::parse(name).unwrap(),
            account: account.map(|id| id.parse().unwrap()),
            timestamp: 1,
            origin: Origin::Live,
            data: data.as_object().cloned().unwrap_or_else(Map::new),
        })
    };
    (0..count).map(draft).collect()
}

pub(super) async fn journal(store: &Store, events: Vec<NewEvent>) -> Vec<Arc<Event>> {
    let batch = Batch {
        events,
        ..Batch::default()
    };
    let made = store.commit(batch).await.unwrap().events;
    made.into_iter().flatten().map(|(_, event)| event).collect()
}

/// The ids of all events from an offset on.
async fn ids(store: &Store, mut from: u64) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = store.events(from, 500).await.unwrap();
        let Some((last, _)) = page.last() else { return found };
        from = last + 1;
        found.extend(page.into_iter().map(|(_, event)| event.id.clone()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_what_was_and_then_what_comes_without_a_gap_or_a_double_at_the_seam() {
    let host = Host::start().await;
    let old = journal(&host.store, drafts("message", Some("sales"), 40, "old")).await;
    let store = host.store.clone();
    let writer = host.tracker.spawn(async move {
        for _ in 0..300 {
            journal(&store, drafts("message", Some("sales"), 5, "new")).await;
        }
    });
    let mut streams = Vec::new();
    for start in [0, 17, 39] {
        let path = format!("/api/events?since={}", old[start].id);
        streams.push((start, Stream::open(&host, &path, &[]).await));
    }
    writer.await.unwrap();
    let all = ids(&host.store, 0).await;
    assert_eq!(all.len(), 40 + 300 * 5);
    for (start, mut stream) in streams {
        let wanted = all.get(start + 1..).unwrap();
        assert_eq!(stream.ids(wanted.len()).await, wanted, "from {start} on");
    }
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_again_and_again_gets_each_event_once() {
    let host = Host::start().await;
    let first = journal(&host.store, drafts("message", Some("sales"), 1, "first")).await;
    let store = host.store.clone();
    let writer = host.tracker.spawn(async move {
        for _ in 0..150 {
            journal(&store, drafts("message", Some("sales"), 7, "next")).await;
        }
    });
    let mut got = vec![first[0].id.clone()];
    // Each way of saying it, and pieces of all lengths; where the connection is dropped a frame may have come in half.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    while got.len() < 1 + 150 * 7 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let last = got.last().unwrap().clone();
        let mut stream = match random % 3 {
            0 => Stream::open(&host, &format!("/api/events?since={last}"), &[]).await,
            1 => Stream::open(&host, "/api/events", &[("last-event-id", &last)]).await,
            _ => {
                let path = format!("/api/events?since={}", got[0]);
                Stream::open(&host, &path, &[("last-event-id", &last)]).await
            }
        };
        let piece = usize::try_from(random % 97).unwrap().min(1 + 150 * 7 - got.len());
        got.extend(stream.ids(piece).await);
    }
    writer.await.unwrap();
    assert_eq!(got, ids(&host.store, 0).await);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_place_it_begins_now_and_a_frame_is_the_envelope_that_webhooks_get() {
    let host = Host::start().await;
    journal(&host.store, drafts("message", Some("sales"), 3, "before")).await;
    let mut stream = Stream::open(&host, "/api/events", &[]).await;
    let after = journal(&host.store, drafts("message", Some("sales"), 1, "Grüße,\r\n\"Ann\"")).await;
    let frame = stream.event().await;
    assert_eq!(
        (frame.id.as_str(), frame.event.as_str()),
        (after[0].id.as_str(), "message")
    );
    let envelope: Value = serde_json::from_str(&frame.data).unwrap();
    assert_eq!(envelope, serde_json::to_value(&*after[0]).unwrap());
    assert_eq!(frame.data, after[0].json());
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_wants_some_gets_those_alone_and_learns_where_it_stands() {
    let host = Host::start().await;
    let first = journal(&host.store, drafts("config.changed", None, 1, "")).await;
    let wanted = journal(&host.store, drafts("account.ready", Some("sales"), 1, "")).await;
    journal(&host.store, drafts("account.ready", Some("office"), 1, "")).await;
    let own = journal(&host.store, drafts("message.any", Some("sales"), 1, "")).await;
    let last = journal(&host.store, drafts("account.synced", Some("sales"), 1, "")).await;
    let path = format!("/api/events?since={}&account=sales&events=account.*", first[0].id);
    let mut stream = Stream::open(&host, &path, &[]).await;
    assert_eq!(stream.ids(2).await, [wanted[0].id.clone(), last[0].id.clone()]);
    let path = format!("/api/events?since={}&events=message.any,config.changed", first[0].id);
    let mut stream = Stream::open(&host, &path, &[]).await;
    assert_eq!(stream.ids(1).await, [own[0].id.clone()]);
    // The first frame of one that begins now names its place, so that nothing is lost if it is cut off before an event.
    let mut stream = Stream::open(&host, "/api/events", &[]).await;
    assert_eq!(stream.frame().await.unwrap().id, last[0].id);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_id_no_event_or_no_account_is_refused() {
    let host = Host::start().await;
    journal(&host.store, drafts("message", Some("sales"), 1, "")).await;
    for (path, code) in [
        ("/api/events?since=5", "BAD_EVENT_ID"),
        ("/api/events?since=evt_x", "BAD_EVENT_ID"),
        ("/api/events?since=dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV", "BAD_EVENT_ID"),
        ("/api/events?events=mesage", "BAD_EVENT_NAME"),
        ("/api/events?account=A%20B", "BAD_ACCOUNT_ID"),
        ("/api/events?form=x", "BAD_REQUEST"),
    ] {
        let answer = host.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{path}");
    }
    let bearer = format!("Bearer {}", host.key);
    let headers = [("authorization", bearer.as_str()), ("last-event-id", "nonsense")];
    let answer = host.ask("GET", "/api/events", &headers, "").await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "BAD_EVENT_ID"));
    let weak = host.key_for(&["send"]).await;
    assert_eq!(host.with(&weak, "GET", "/api/events", None).await.status, 403);
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_too_long_for_a_webhook_is_cut_in_a_frame_as_it_is_there() {
    let host = Host::start().await;
    let mut stream = Stream::open(&host, "/api/events", &[]).await;
    let long = "ü\n".repeat(100_000);
    let made = journal(&host.store, drafts("message", Some("sales"), 1, &long)).await;
    let frame = stream.event().await;
    assert!(frame.data.len() < 256 << 10, "{}", frame.data.len());
    let envelope: Value = serde_json::from_str(&frame.data).unwrap();
    let body = envelope["data"]["body"].as_str().unwrap();
    assert!(body.len() > 128 << 10 && long.starts_with(body) && envelope["data"]["truncated"] == true);
    assert_eq!(frame.data, made[0].json());
    host.close().await;
}
