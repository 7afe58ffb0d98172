//! A changed secret: both sign for a day, whatever happens in between.

use axum::http::StatusCode;
use standardwebhooks::Webhook;
use wharf::config::Secret;
use wharf::store::{AccountRecord, Batch, Desired};

use super::rig::{Got, Outbox, Receiver, SECRET, at_once, endpoint};

const NEW: &str = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

fn with_secret(receiver: &Receiver, secret: &str) -> String {
    format!("{}secret = \"{secret}\"\n", endpoint("crm", &receiver.url("/")))
}

fn signatures(got: &Got) -> usize {
    got.header("webhook-signature").split_whitespace().count()
}

fn verifies(got: &Got, secret: &str) -> bool {
    let library = Webhook::new(secret).unwrap();
    library.verify(got.body.as_bytes(), &got.headers).is_ok()
}

#[tokio::test]
async fn the_old_secret_signs_beside_the_new_one_for_a_day_also_over_a_restart() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &with_secret(&receiver, SECRET));
    outbox.post("crm", "a/1", "{}").await;
    let got = receiver.next().await;
    assert!(verifies(&got, SECRET) && signatures(&got) == 1);
    outbox.until_empty().await;
    outbox.close().await;

    let outbox = Outbox::open(folder.path(), &with_secret(&receiver, NEW));
    outbox.post("crm", "a/1", "{}").await;
    let got = receiver.next().await;
    assert!(verifies(&got, NEW) && verifies(&got, SECRET) && signatures(&got) == 2);
    let (first, _) = got.header("webhook-signature").split_once(' ').unwrap();
    let mut newest = got.clone();
    newest.headers.insert("webhook-signature", first.parse().unwrap());
    assert!(
        verifies(&newest, NEW) && !verifies(&newest, SECRET),
        "the newest is first"
    );
    outbox.until_empty().await;
    outbox.close().await;

    let outbox = Outbox::open(folder.path(), &with_secret(&receiver, NEW));
    outbox.post("crm", "a/1", "{}").await;
    let got = receiver.next().await;
    assert!(verifies(&got, SECRET) && signatures(&got) == 2);
    // The receiver's library takes no timestamp that is far off, so it is asked before the clock moves.
    outbox.clock.set_ahead(24 * 60 * 60 * 1000);
    outbox.post("crm", "a/1", "{}").await;
    assert_eq!(signatures(&receiver.next().await), 1);
    outbox.until_empty().await;
    let kept = outbox.store.endpoint_records().await.unwrap();
    assert_eq!(
        kept["crm"].secrets.len(),
        1,
        "it does not lie there longer than it signs"
    );
    outbox.close().await;
}

#[tokio::test]
async fn a_change_while_it_runs_holds_for_what_waits_and_a_removed_secret_signs_nothing() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), &with_secret(&receiver, SECRET));
    outbox.post("crm", "a/1", "{}").await;
    receiver.next().await;
    outbox.change_config(&with_secret(&receiver, NEW));
    outbox.post("crm", "a/1", "{}").await;
    assert_eq!(signatures(&receiver.next().await), 2);
    outbox.change_config(&with_secret(&receiver, SECRET));
    outbox.post("crm", "a/1", "{}").await;
    let back = receiver.next().await;
    assert!(verifies(&back, NEW) && verifies(&back, SECRET) && signatures(&back) == 2);
    outbox.change_config(&endpoint("crm", &receiver.url("/")));
    outbox.post("crm", "a/1", "{}").await;
    assert_eq!(signatures(&receiver.next().await), 0);
    outbox.until_empty().await;
    assert!(outbox.store.endpoint_records().await.unwrap().is_empty());
    outbox.close().await;
}

#[tokio::test]
async fn a_secret_that_an_account_is_given_over_http_rotates_likewise() {
    let mut receiver = Receiver::start(|_| at_once(StatusCode::OK)).await;
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(folder.path(), "");
    let id: wharf::event::AccountId = "sales".parse().unwrap();
    for (secret, expected) in [(SECRET, 1), (NEW, 2)] {
        let record = AccountRecord {
            id: id.clone(),
            name: None,
            folder: "01JZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(),
            created_at: 0,
            linked_at: None,
            phone: None,
            desired: Desired::Stopped,
            webhook: Some(wharf::store::Webhook {
                url: receiver.url("/"),
                secret: Secret::new(secret.to_owned()),
            }),
        };
        let accounts = vec![(id.clone(), Some(record))];
        let batch = Batch {
            accounts,
            ..Batch::default()
        };
        outbox.store.commit(batch).await.unwrap();
        outbox.post("account:sales", "sales/1", "{}").await;
        let got = receiver.next().await;
        assert!(verifies(&got, secret) && signatures(&got) == expected);
    }
    outbox.close().await;
}
