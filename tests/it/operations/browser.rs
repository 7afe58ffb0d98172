//! With hosts at work, which want their browser to be there; with a linked account, in it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use wharf::store::Store;

use super::{NOWHERE, Said, bytes_of, fill, flip, text, wharf};
use crate::support::host::{Home, Host};
use crate::support::phones::Phones;
use crate::support::receiver::Receiver;

const SHOP: &str = "491700000001";
const ANNA: &str = "491700000002";

/// Counts by itself: each job is an event, a count, a post and the next job.
const COUNTER: &str = r#"
    wharf.on("job.tick", function()
      wharf.webhook.post("crm", { n = wharf.kv.incr("n") })
      wharf.later("10ms", "tick")
    end)
    wharf.after("1s", function() wharf.later("0s", "tick") end)
"#;

fn endpoint(address: std::net::SocketAddr) -> String {
    format!("[endpoint.crm]\nurl = \"http://{address}/in\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_host_at_work_goes_on_elsewhere_where_it_was() {
    // It takes connections and never answers: what is posted waits.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new(NOWHERE, &endpoint(silent.local_addr().unwrap()));
    home.script("counter.lua", COUNTER);
    let host = Host::start(&home).await;
    let counted = async || {
        let answer = host.get("/api/store").await.json;
        answer["store"]["journal_next"].as_u64().unwrap()
    };
    host.until("events", &counted, |next| *next > 50).await;
    let file = home.path().join("wharf.backup");
    wharf(&home, &["backup", text(&file)]).fine();
    let last = host.get("/api/store").await.json["last_backup"].clone();
    assert!(
        last["error"].is_null() && last["written"]["rows"].as_u64().unwrap() > 100,
        "{last}"
    );
    host.until("more events", &counted, |next| *next > 100).await;
    assert_eq!(host.stop().await, Some(0));

    let (receiver, hook) = Receiver::start().await;
    let other = Home::new(NOWHERE, &endpoint(hook));
    wharf(&other, &["restore", text(&file)]).fine();
    let store = Store::open(&other.data(), 16 << 20).unwrap();
    let count = store.kv_get("counter", "n").await.unwrap().unwrap().value;
    let count: u64 = serde_json::from_slice(&count).unwrap();
    let ticks = store.events(0, 1000).await.unwrap();
    let ticks = ticks
        .iter()
        .filter(|(_, event)| event.event.to_string() == "job.tick")
        .count();
    let waiting = store.deliveries(1000).await.unwrap();
    store.close().await.unwrap();
    // The run of the last tick may not have ended at the moment of the backup.
    let ticks = ticks as u64;
    assert!(
        count > 10 && (count == ticks || count + 1 == ticks),
        "{count} of {ticks}"
    );
    assert_eq!(waiting.len() as u64, count);

    other.script("counter.lua", COUNTER);
    let host = Host::start(&other).await;
    let wanted: Vec<u64> = (1..=count + 5).collect();
    let numbers = || {
        let mut all: Vec<u64> = receiver
            .received()
            .iter()
            .filter_map(|one| one.json["n"].as_u64())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    };
    let got = host
        .until(
            "what waited, and more",
            async || numbers(),
            |got: &Vec<u64>| got.len() >= wanted.len(),
        )
        .await;
    assert_eq!(got.get(..wanted.len()), Some(&wanted[..]));
    let ids: Vec<String> = receiver
        .received()
        .iter()
        .map(|one| one.headers["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert!(waiting.iter().all(|delivery| ids.contains(&delivery.id)));
    assert_eq!(host.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_profiles_lets_an_account_rest_and_restores_it_linked() {
    let phones = Phones::start().await;
    phones.add(SHOP, "Shop").await;
    phones.add(ANNA, "Anna").await;
    let answer = "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)";
    let home = Home::new(&phones.url, "");
    home.script("answer.lua", answer);
    let host = Host::start(&home).await;
    let qr = host.create_account("shop").await;
    phones.scan(SHOP, &qr).await;
    host.state("shop", "ready").await;
    phones.write(ANNA, SHOP, "one").await;
    phones.until_text(ANNA, "re one").await;

    let file = home.path().join("wharf.backup");
    let made = wharf(&home, &["backup", text(&file), "--profiles"]).fine();
    assert!(!made.out.contains(" 0 files"), "{made:?}");
    host.state("shop", "ready").await;
    phones.write(ANNA, SHOP, "two").await;
    phones.until_text(ANNA, "re two").await;
    assert!(!home.data().join("backup.copies").exists());
    assert_eq!(host.stop().await, Some(0));
    let store = Store::open(&home.data(), 16 << 20).unwrap();
    let events = store.events(0, 1000).await.unwrap();
    let rested = events
        .iter()
        .filter(|(_, event)| event.data.get("reason") == Some(&json!("backup")))
        .count();
    store.close().await.unwrap();
    assert_eq!(rested, 1, "the account has rested once, and said why");

    let other = Home::new(&phones.url, "");
    other.script("answer.lua", answer);
    wharf(&other, &["restore", text(&file)]).fine();
    let host = Host::start(&other).await;
    let account = host.state("shop", "ready").await;
    assert_eq!(account["phone"], SHOP);
    phones.write(ANNA, SHOP, "three").await;
    phones.until_text(ANNA, "re three").await;
    assert!(!host.log_text().contains("state=qr"), "{}", host.log_text());
    // Of a host that does not run, the same.
    assert_eq!(host.stop().await, Some(0));
    wharf(&other, &["backup", text(&file), "--profiles"]).fine();
    let third = other.path().join("third");
    wharf(&other, &["restore", text(&file), "--data", text(&third)]).fine();
    assert_eq!(std::fs::read_dir(third.join("profiles")).unwrap().count(), 1);
    assert!(!other.data().join("backup.copies").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_store_is_read_and_a_damaged_one_is_refused_untouched_until_it_is_restored() {
    let home = Home::new(NOWHERE, "");
    fill(&home.data(), 300).await;
    let host = Host::start(&home).await;
    let file = home.path().join("wharf.backup");
    wharf(&home, &["backup", text(&file)]).fine();
    host.kill();
    // Also when a command was there in between.
    wharf(&home, &["key", "list"]).fine();
    let host = Host::start(&home).await;
    let log = host.log_text();
    assert!(
        log.contains("did not end in order") && log.contains("the store is whole"),
        "{log}"
    );
    host.kill();

    flip(&home.data(), "message number 150");
    let store = home.data().join("store");
    let before = bytes_of(&store);
    let refused = wharf(&home, &["run"]).refused("is damaged: ");
    assert!(
        refused.errors.contains("wharf restore FILE") && refused.errors.contains(text(&store)),
        "{refused:?}"
    );
    assert_eq!(bytes_of(&store), before);
    let told = wharf(&home, &["doctor"]);
    assert!(told.code == Some(1) && told.out.contains("is damaged: "), "{told:?}");

    std::fs::rename(&store, home.path().join("damaged")).unwrap();
    wharf(&home, &["restore", text(&file)]).fine();
    let host = Host::start(&home).await;
    assert!(!host.log_text().contains("did not end in order"), "{}", host.log_text());
    let answer = host.get("/api/store").await.json;
    assert!(answer["store"]["journal_next"].as_u64() >= Some(300), "{answer}");
    assert_eq!(host.stop().await, Some(0));
    // In order: nothing is read before the next start.
    let host = Host::start(&home).await;
    assert!(!host.log_text().contains("did not end in order"), "{}", host.log_text());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let home = Home::new(NOWHERE, "");
    fill(&home.data(), 20).await;
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let doctor = |environment: &[(&str, &str)]| {
        let mut command = home.command(&["doctor"]);
        command.envs(environment.iter().copied());
        Said::by(command)
    };
    let whole = doctor(&[]).fine();
    assert!(
        whole.out.contains("ok       the store is whole: ") && !whole.out.contains("problem"),
        "{whole:?}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let root = rustix::process::geteuid().is_root();
    let wrong = [
        ("WHARF_WHATSAPP__LIBRARY", "/nowhere/wa.js", "npm ci"),
        ("WHARF_ADMIN__LISTEN", listen.as_str(), "[admin] listen takes another"),
        ("WHARF_BROWSER__EXECUTABLE", "/nowhere/chromium", "/nowhere/chromium"),
        ("WHARF_BROWSER__SANDBOX", "true", "run wharf as another user"),
    ];
    for (name, value, says) in wrong {
        if name == "WHARF_BROWSER__SANDBOX" && !root {
            continue;
        }
        let found = doctor(&[(name, value)]);
        let line = found.out.lines().find(|line| line.starts_with("problem"));
        assert!(
            found.code == Some(1) && line.is_some_and(|line| line.contains(says)),
            "{name}: {found:?}"
        );
        assert!(found.errors.contains("1 problem"), "{found:?}");
    }
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let open = doctor(&[]);
    assert!(open.code == Some(1) && open.out.contains("chmod 700"), "{open:?}");

    // The host closes its folder by itself; the doctor asks it about its store.
    let host = Host::start(&home).await;
    let beside = doctor(&[]).fine();
    assert!(
        beside.out.contains("a host runs, and its store takes commits") && beside.out.contains("has the admin's port"),
        "{beside:?}"
    );
    let nowhere = home.path().join("nowhere/wharf.backup");
    wharf(&home, &["backup", text(&nowhere)]).refused("the running host refused");
    let beside = doctor(&[]);
    assert!(
        beside.code == Some(1) && beside.out.contains("the last backup failed"),
        "{beside:?}"
    );
    assert_eq!(host.stop().await, Some(0));
}
