//! Where an endpoint's name leads.

use axum::http::StatusCode;
use wharf::config::Secret;
use wharf::store::{AccountRecord, Batch, Desired, Webhook};

use super::rig::{Outbox, Receiver, SECRET, at_once, endpoint};

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
