//! A script that is behind what the journal holds is moved forward, and is told what it missed.

use std::time::Duration;

use serde_json::json;
use wharf::store::{Limits, Options, Rounds, Store};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_script_is_passed_by_a_journal_over_its_limit_and_goes_on_behind_the_gap() {
    let soon = Duration::from_millis(20);
    let mut bench = Bench::empty_on(&Options {
        rounds: Rounds {
            first: soon,
            every: soon,
            over: soon,
        },
        ..Options::default()
    });
    bench.write(
        "bad",
        "wharf.on('message', { match = 'loop' }, function() while true do end end)",
    );
    bench.write(
        "good",
        "wharf.on('message', function(msg) msg:reply('good ' .. msg.body:sub(1, 5)) end)",
    );
    bench.start().await;
    for chat in 0..10 {
        bench.message(&format!("{chat}@c.us"), "loop").await;
    }
    bench.until_event("script.suspended", |_| true).await;
    for n in 100..200 {
        bench.message("a@c.us", &format!("{n} {}", "x".repeat(2000))).await;
    }
    // It has seen all of them: nobody but the suspended one is behind.
    bench.until_finished("good").await;
    let behind = bench.store.position("bad").await.unwrap().unwrap();
    let limits = Limits {
        bytes: 100_000,
        ..Limits::default()
    };
    bench.store.follow_limits(limits);

    let skipped = bench.until_event("script.skipped", |_| true).await;
    let health = bench.store.health();
    assert_eq!(skipped.text("script"), Some("bad"));
    let (from, to) = (
        skipped.data["from"].as_u64().unwrap(),
        skipped.data["to"].as_u64().unwrap(),
    );
    let count = skipped.data["count"].as_u64().unwrap();
    assert_eq!(count, behind.unfinished(to + 1).count() as u64);
    assert_eq!(behind.unfinished(u64::MAX).next(), Some(from));

    bench.write(
        "bad",
        "wharf.on('message', function(msg) msg:reply('bad ' .. msg.body:sub(1, 5)) end)",
    );
    bench.message("a@c.us", "200").await;
    bench.host.until_text("bad 200").await;
    bench.host.until_text("good 200").await;
    bench.until_finished("bad").await;
    let texts = bench.host.texts();
    let of = |script: &str| -> Vec<u64> {
        let numbers = texts.iter().filter_map(|text| text.strip_prefix(script));
        numbers.filter_map(|text| text.trim().parse().ok()).collect()
    };
    assert_eq!(
        of("good "),
        (100..=200).collect::<Vec<u64>>(),
        "the neighbour lost nothing"
    );
    // What the journal still holds behind the gap, and nothing of the gap.
    let kept = bench.store.events(to + 1, 1000).await.unwrap();
    let kept: Vec<u64> = kept
        .iter()
        .filter(|(_, event)| event.event.is_message())
        .map(|(_, event)| event.text("body").unwrap().get(..3).unwrap().parse().unwrap())
        .collect();
    assert!(kept.len() > 10 && kept.len() < 90, "{kept:?} {health:?}");
    assert_eq!(of("bad "), kept);
    let head = *bench.store.head().borrow();
    let told = bench.store.events(to + 1, 1000).await.unwrap();
    let told = told
        .iter()
        .filter(|(_, event)| event.event.to_string() == "script.skipped");
    assert_eq!(told.count(), 1, "up to {head}");
}
