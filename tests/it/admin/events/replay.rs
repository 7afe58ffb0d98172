//! Dead letters and events of the past, by the API.

use serde_json::{Value, json};
use wharf::store::{Batch, DeadLetter, OutboxChange, Post};

use super::super::rig::Host;
use super::{drafts, journal};

const CONFIG: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n[endpoint.crm]\nurl = \"http://127.0.0.1:9/\"\n";

/// Posts that are given up at once; their ids.
async fn dead(host: &Host, endpoint: &str, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let post = Post {
            endpoint: endpoint.to_owned(),
            chat_key: "sales/1".to_owned(),
            body: format!("{endpoint} {number}").into_bytes(),
            script: None,
            event_id: None,
        };
        let batch = Batch {
            posts: vec![post],
            ..Batch::default()
        };
        ids.extend(host.store.commit(batch).await.unwrap().deliveries);
    }
    for id in &ids {
        let gone = OutboxChange::Dead {
            id: id.clone(),
            reason: "a test".to_owned(),
        };
        let batch = Batch {
            outbox: vec![gone],
            ..Batch::default()
        };
        host.store.commit(batch).await.unwrap();
    }
    ids
}

/// The ids of what waits, and of what is dead, each in the order of the posts.
async fn stands(host: &Host) -> (Vec<String>, Vec<String>) {
    let waiting = host.store.deliveries_after(None, 1_000).await.unwrap();
    let mut dead = host.store.dead_letters(1_000).await.unwrap();
    dead.reverse();
    (
        waiting.into_iter().map(|delivery| delivery.id).collect(),
        dead.into_iter()
            .map(|DeadLetter { delivery, .. }| delivery.id)
            .collect(),
    )
}

async fn replayed(host: &Host, path: &str, body: Value) -> Value {
    let answer = host.post(path, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

const LETTERS: &str = "/api/outbox/dead/replay";

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_replayed_by_id_by_endpoint_by_range_or_all_of_them() {
    let host = Host::start_with(CONFIG).await;
    let crm = dead(&host, "crm", 40).await;
    let ops = dead(&host, "ops", 3).await;
    let one = format!("/api/outbox/dead/{}/replay", crm[7]);
    assert_eq!(replayed(&host, &one, json!({})).await, json!({"replayed": 1}));
    assert_eq!(
        replayed(&host, &one, json!({})).await,
        json!({"replayed": 0}),
        "it waits already"
    );
    let body = json!({"ids": [crm[0], crm[7], crm[1]]});
    assert_eq!(replayed(&host, LETTERS, body).await, json!({"replayed": 2}));
    let body = json!({"from": crm[10], "to": crm[19]});
    assert_eq!(replayed(&host, LETTERS, body).await, json!({"replayed": 10}));
    let mut wanted = vec![crm[0].clone(), crm[1].clone(), crm[7].clone()];
    wanted.extend_from_slice(&crm[10..20]);
    assert_eq!(stands(&host).await.0, wanted);
    let body = json!({"endpoint": "crm", "from": crm[5], "to": "2100-01-01T00:00:00Z"});
    assert_eq!(replayed(&host, LETTERS, body).await, json!({"replayed": 35 - 11}));
    let body = json!({"endpoint": "crm", "from": 4_102_444_800_000_i64});
    assert_eq!(
        replayed(&host, LETTERS, body).await,
        json!({"replayed": 0}),
        "nothing is of then"
    );
    let (waiting, dead) = stands(&host).await;
    assert_eq!((waiting.len(), dead), (37, [&crm[2..5], &ops].concat()));
    assert_eq!(
        replayed(&host, LETTERS, json!({"all": true})).await,
        json!({"replayed": 6})
    );
    assert_eq!(stands(&host).await, ([crm, ops].concat(), Vec::new()));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_the_past_become_deliveries_with_the_bytes_that_a_webhook_gets() {
    let host = Host::start_with(CONFIG).await;
    let old = journal(&host.store, drafts("message", Some("sales"), 30, "hello")).await;
    journal(&host.store, drafts("account.ready", Some("office"), 2, "")).await;
    journal(&host.store, drafts("job.x", None, 2, "")).await;
    let path = "/api/events/replay";
    let body = json!({"endpoint": "crm", "from": old[3].id, "to": old[22].id});
    assert_eq!(replayed(&host, path, body).await, json!({"replayed": 20}));
    let made = host.store.deliveries_after(None, 100).await.unwrap();
    for (delivery, event) in made.iter().zip(&old[3..=22]) {
        let stored = host.store.delivery_body(&delivery.body).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(stored).unwrap(), event.json());
        assert_eq!(delivery.event_id.as_ref(), Some(&event.id));
        assert_eq!(delivery.chat_key, format!("sales/{}", event.chat().unwrap()));
        assert!(delivery.replayed && delivery.endpoint == "crm");
    }
    let sequences: Vec<u64> = made.iter().map(|delivery| delivery.sequence).collect();
    assert_eq!(sequences, (1..=20).collect::<Vec<_>>());
    let gone = "evt_00000000000000000000000001";
    let body = json!({"endpoint": "crm", "ids": [old[0].id, gone]});
    assert_eq!(
        replayed(&host, path, body).await,
        json!({"replayed": 1, "missing": [gone]})
    );
    let body = json!({"endpoint": "crm", "from": 0, "events": ["account.*", "message.ack"]});
    assert_eq!(replayed(&host, path, body).await, json!({"replayed": 2}));
    let body = json!({"endpoint": "crm", "from": 0, "accounts": ["office"]});
    assert_eq!(replayed(&host, path, body).await, json!({"replayed": 2}));
    // Jobs are their scripts' own.
    let body = json!({"endpoint": "crm", "from": "2000-01-01T00:00:00Z"});
    assert_eq!(replayed(&host, path, body).await, json!({"replayed": 32}));
    // A long text is cut, other things are not.
    let mut large = drafts("message", None, 1, "");
    large[0]
        .draft
        .data
        .insert("list".to_owned(), json!(["x".repeat(300_000)]));
    let large = journal(&host.store, large).await;
    let body = json!({"endpoint": "crm", "ids": [large[0].id]});
    let answer = replayed(&host, path, body).await;
    assert_eq!(answer, json!({"replayed": 0, "too_large": [large[0].id]}));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_does_not_say_what_it_wants_is_refused_and_does_nothing() {
    let host = Host::start_with(CONFIG).await;
    dead(&host, "crm", 1).await;
    let events = "/api/events/replay";
    for (path, body, status, code) in [
        (LETTERS, json!({}), 400, "BAD_REQUEST"),
        (LETTERS, json!({"all": true, "endpoint": "crm"}), 400, "BAD_REQUEST"),
        (
            LETTERS,
            json!({"ids": ["evt_00000000000000000000000001"]}),
            400,
            "BAD_DELIVERY_ID",
        ),
        (LETTERS, json!({"from": "yesterday"}), 400, "BAD_MOMENT"),
        ("/api/outbox/dead/7/replay", json!({}), 400, "BAD_DELIVERY_ID"),
        (events, json!({"from": 0}), 400, "BAD_REQUEST"),
        (events, json!({"endpoint": "crm"}), 400, "BAD_REQUEST"),
        (
            events,
            json!({"endpoint": "crm", "from": 0, "ids": []}),
            400,
            "BAD_REQUEST",
        ),
        (
            events,
            json!({"endpoint": "crm", "from": 0, "events": ["mesage"]}),
            400,
            "BAD_EVENT_NAME",
        ),
        (events, json!({"endpoint": "cmr", "from": 0}), 404, "NO_ENDPOINT"),
        (
            events,
            json!({"endpoint": "account:sales", "from": 0}),
            404,
            "NO_ENDPOINT",
        ),
    ] {
        let answer = host.post(path, body.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path} {body}");
    }
    let read = host.key_for(&["read", "send"]).await;
    for path in [LETTERS, events] {
        let answer = host.with(&read, "POST", path, Some(json!({"all": true}))).await;
        assert_eq!(answer.status, 403);
    }
    assert_eq!(stands(&host).await.1.len(), 1);
    host.close().await;
}
