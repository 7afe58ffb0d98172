//! What an endpoint gets: headers, signature, order, how much at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use wharf::config::Secret;
use wharf::store::{AccountRecord, Batch, Desired, Webhook};

use super::rig::{Got, Outbox, Receiver, SECRET, at_once, endpoint};

#[tokio::test]
async fn a_delivery_is_signed_so_that_the_standards_own_library_accepts_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "{}secret = \"{SECRET}\"\nheaders = {{ authorization = \"Bearer crm\", webhook-id = \"forged\" }}\n",
        endpoint("crm", &receiver.url("/hook"))
    );
    let outbox = Outbox::open(folder.path(), &config);
    let id = outbox.post("crm", "a/1", r#"{"text":"Grüße"}"#).await;
    let got = receiver.next().await;
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(got.body.as_bytes(), &got.headers).unwrap();
    assert!(library.verify(b"{}", &got.headers).is_err());
    assert_eq!((got.path.as_str(), got.body.as_str()), ("/hook", r#"{"text":"Grüße"}"#));
    assert_eq!(got.header("webhook-id"), id);
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("user-agent"), concat!("wharf/", env!("CARGO_PKG_VERSION")));
    assert_eq!((got.header("wharf-attempt"), got.header("wharf-sequence")), ("1", "1"));
    assert_eq!(got.header("authorization"), "Bearer crm");
    outbox.until_empty().await;
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_without_a_secret_gets_no_signature() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::NO_CONTENT)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/")));
    outbox.post("crm", "a/1", "{}").await;
    let got = receiver.next().await;
    assert!(got.headers.get("webhook-signature").is_none());
    assert!(!got.header("webhook-id").is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn a_chat_keeps_its_order_and_chats_do_not_wait_for_each_other() {
    let pauses = AtomicUsize::new(0);
    let pauses = Arc::new(pauses);
    let mut receiver = Receiver::start(move |_: &Got| {
        let step = pauses.fetch_add(7, Ordering::SeqCst) % 13;
        (StatusCode::OK, Duration::from_millis(step as u64))
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("crm", &receiver.url("/")));
    for n in 0..60 {
        outbox
            .post("crm", &format!("a/{}", n % 4), &format!("{} {n}", n % 4))
            .await;
    }
    let mut last: HashMap<String, i64> = HashMap::new();
    for _ in 0..60 {
        let got = receiver.next().await;
        let (chat, n) = got.body.split_once(' ').unwrap();
        let n: i64 = n.parse().unwrap();
        assert!(
            last.insert(chat.to_owned(), n).is_none_or(|before| before < n),
            "{n} came too late"
        );
    }
    assert!(receiver.most_at_once.load(Ordering::SeqCst) > 1, "chats go together");
    outbox.close().await;
}

#[tokio::test]
async fn an_endpoint_never_gets_more_requests_at_a_time_than_it_takes() {
    let mut receiver = Receiver::start(|_| (StatusCode::OK, Duration::from_millis(10))).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(
        folder.path(),
        &format!("{}in_flight = 2\n", endpoint("crm", &receiver.url("/"))),
    );
    for n in 0..20 {
        outbox.post("crm", &format!("a/{n}"), "{}").await;
    }
    for _ in 0..20 {
        receiver.next().await;
    }
    assert_eq!(receiver.most_at_once.load(Ordering::SeqCst), 2);
    outbox.close().await;
}

#[tokio::test]
async fn a_delivery_for_an_endpoint_that_is_not_there_waits_for_it() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &endpoint("other", &receiver.url("/other")));
    let id = outbox.post("crm", "a/1", "early").await;
    outbox.post("other", "a/1", "not held up").await;
    assert_eq!(receiver.next().await.body, "not held up");
    let waiting = outbox.store.deliveries(10).await.unwrap();
    assert!(
        waiting.iter().any(|delivery| delivery.id == id && delivery.tries == 0),
        "it has not used up a try"
    );
    outbox.change_config(&endpoint("crm", &receiver.url("/crm")));
    assert_eq!(receiver.next().await.body, "early");
    outbox.close().await;
}

#[tokio::test]
async fn an_accounts_own_webhook_is_that_of_its_table_else_of_its_record() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), "");
    let id: wharf::event::AccountId = "sales".parse().unwrap();
    let record = AccountRecord {
        id: id.clone(),
        name: None,
        folder: "01JZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(),
        created_at: 0,
        linked_at: None,
        phone: None,
        desired: Desired::Stopped,
        webhook: Some(Webhook {
            url: receiver.url("/record"),
            secret: Secret::new(SECRET.to_owned()),
        }),
    };
    outbox
        .store
        .commit(Batch {
            accounts: vec![(id, Some(record))],
            ..Batch::default()
        })
        .await
        .unwrap();
    outbox.post("account:sales", "sales/1", "{}").await;
    let got = receiver.next().await;
    assert_eq!(got.path, "/record");
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(got.body.as_bytes(), &got.headers)
        .unwrap();
    outbox.change_config(&format!(
        "[account.sales]\nwebhook_url = \"{}\"\n",
        receiver.url("/table")
    ));
    outbox.post("account:sales", "sales/1", "{}").await;
    assert_eq!(receiver.next().await.path, "/table");
    outbox.close().await;
}
