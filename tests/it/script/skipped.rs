//! A script that is behind what the journal holds is moved forward, and is told what it missed.

use serde_json::json;
use wharf::store::Store;

use super::bench::Bench;
use super::recorder::Recorder;

const ANSWER: &str = "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)
    wharf.on('script.skipped', function(event)
        wharf.account('sales'):send('owner@c.us', event.script .. ' missed ' .. event.count)
    end)";

/// What the retention of the journal has done to a script that was gone meanwhile: moves the journal's beginning to `first`.
fn forget_before(bench: &Bench, first: u64) {
    // As the store opens it.
    let config = sled::Config::new()
        .path(bench.dir.path().join("data/store"))
        .segment_size(4 << 20);
    let db = config.open().unwrap();
    for offset in 0..first {
        let key: Vec<u8> = [b'j'].into_iter().chain(offset.to_be_bytes()).collect();
        assert!(db.remove(key).unwrap().is_some(), "the journal has no row {offset}");
    }
    // Kind, version, checksum of both and of key and payload; then the payload.
    let row = db.get(b"h").unwrap().unwrap();
    let mut head: serde_json::Value = serde_json::from_slice(&row[6..]).unwrap();
    head["first"] = first.into();
    let payload = serde_json::to_vec(&head).unwrap();
    let sum = [&row[..2], b"h", &payload]
        .iter()
        .fold(0, |sum, part| crc32c::crc32c_append(sum, part));
    let row = [&row[..2], &sum.to_le_bytes(), &payload].concat();
    db.insert(b"h", row).unwrap();
    db.flush().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_journal_does_not_hold_any_more_are_passed_and_told_of_once() {
    let mut bench = Bench::with(&[("bot", ANSWER)]).await;
    bench.message("a@c.us", "0").await;
    bench.host.until_text("re 0").await;
    bench.stop().await;
    for n in 1..6 {
        bench.message("a@c.us", &n.to_string()).await;
    }
    bench.store.close().await.unwrap();
    forget_before(&bench, 4);
    bench.store = Store::open(&bench.dir.path().join("data"), 16 << 20).unwrap();
    bench.host = Recorder::new(&bench.store);
    bench.start().await;
    bench.host.until_text("re 5").await;
    bench.host.until_text("bot missed 3").await;
    assert_eq!(bench.host.texts().len(), 3, "{:?}", bench.host.texts());
    let told = bench.until_event("script.skipped", |_| true).await;
    assert_eq!((&told.data["from"], &told.data["to"]), (&json!(1), &json!(3)));
    bench.until_finished("bot").await;
    bench.stop().await;
    bench.start().await;
    bench.message("a@c.us", "6").await;
    bench.host.until_text("re 6").await;
    let events = bench.store.events(4, 100).await.unwrap();
    let skipped = events
        .iter()
        .filter(|(_, event)| event.event.to_string() == "script.skipped");
    assert_eq!(skipped.count(), 1);
}
