//! How the store is, as the admin tells it: a disk that is almost full, a backup that failed.

use serde_json::json;
use wharf::store::{Batch, Error, Options, OutboxChange, Post, Store};

use super::rig::Host;

const LISTEN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

fn posts() -> Batch {
    let post = Post {
        endpoint: "crm".to_owned(),
        chat_key: "a/b".to_owned(),
        body: b"{}".to_vec(),
        script: None,
        event_id: None,
    };
    Batch {
        posts: vec![post],
        ..Batch::default()
    }
}

async fn overview(host: &Host) -> String {
    let origin = format!("http://{}", host.addr);
    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", origin.as_str()),
    ];
    let signed_in = host
        .ask("POST", "/sign-in", &form, &format!("key={}&next=/", host.key))
        .await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    host.ask("GET", "/", &[("cookie", &cookie)], "").await.text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_almost_full_is_told_everywhere_and_what_is_under_way_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), 1 << 20).unwrap();
    let delivery = store.commit(posts()).await.unwrap().deliveries.remove(0);
    store.close().await.unwrap();
    let full = Options {
        kept_free: Some(u64::MAX / 4),
        ..Options::default()
    };
    let store = Store::open_with(dir.path(), &full).unwrap();
    assert!(matches!(store.commit(posts()).await, Err(Error::Full { .. })));
    let done = Batch {
        outbox: vec![OutboxChange::Done(delivery)],
        ..Batch::default()
    };
    store.commit(done).await.unwrap();
    assert!(store.deliveries(10).await.unwrap().is_empty());
    store.close().await.unwrap();

    let host = Host::start_on(LISTEN, &full).await;
    let ready = host.ask("GET", "/readyz", &[], "").await;
    assert_eq!((ready.status, ready.code().as_str()), (503, "DISK_FULL"));
    assert_eq!(host.ask("GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(host.get("/api/store").await.json()["store"]["level"], "full");
    assert!(overview(&host).await.contains("The disk is almost full"));
    host.close().await;

    let host = Host::start_with(LISTEN).await;
    let page = overview(&host).await;
    assert!(!page.contains("The disk is almost full") && !page.contains("The last backup failed"));
    host.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_failed_is_shown_until_one_works() {
    let host = Host::start().await;
    assert!(host.get("/api/store").await.json()["last_backup"].is_null());
    let control = host.control().await;
    let nowhere = host.folder.path().join("nowhere/wharf.backup");
    let refused = control.back_up(&nowhere, false).await.unwrap_err().to_string();
    assert!(refused.contains("nowhere/wharf.backup"), "{refused}");
    let told = host.get("/api/store").await.json()["last_backup"].clone();
    assert!(
        told["written"].is_null() && told["error"].as_str().unwrap().contains("nowhere"),
        "{told}"
    );
    assert!(overview(&host).await.contains("The last backup failed"));

    let relative = json!({ "file": "wharf.backup" });
    let by_key = host.post("/api/backup", relative.clone()).await;
    assert_eq!(by_key.status, 403, "a file on the server's disk is no matter of a key");
    let refused = control.ask(hyper::Method::POST, "/api/backup", Some(relative)).await;
    assert!(refused.unwrap_err().to_string().contains("absolute"));

    let file = host.folder.path().join("wharf.backup");
    let made = control.back_up(&file, false).await.unwrap();
    let told = host.get("/api/store").await.json()["last_backup"].clone();
    assert_eq!(
        (&told["error"], &told["written"]["rows"]),
        (&json!(null), &json!(made.rows))
    );
    assert!(!overview(&host).await.contains("The last backup failed"));
    host.close().await;
}
