//! A script that is behind what the journal holds is moved forward, and is told what it missed.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use wharf::store::{Limits, Options, Rounds};

use super::bench::{Bench, PATIENCE};
use super::recorder::Recorder;

const ANSWER: &str = "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)
    wharf.on('script.skipped', function(event)
        wharf.account('sales'):send('owner@c.us', event.script .. ' missed ' .. event.count)
    end)";

/// A store whose rounds come at once.
fn at_once() -> Options {
    let soon = Duration::from_millis(20);
    Options {
        rounds: Rounds {
            first: soon,
            every: soon,
            over: soon,
        },
        ..Options::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_journal_does_not_hold_any_more_are_passed_and_told_of_once() {
    let mut bench = Bench::empty_on(&at_once());
    bench.write("bot", ANSWER);
    bench.start().await;
    bench.message("a@c.us", "0").await;
    bench.host.until_text("re 0").await;
    bench.until_finished("bot").await;
    bench.stop().await;
    let begin = *bench.store.head().borrow();
    for n in 1..6 {
        bench.message("a@c.us", &n.to_string()).await;
    }
    // For the journal the script is gone; all but the newest event is too much.
    bench.store.follow_readers(HashMap::new());
    bench.store.follow_limits(Limits {
        bytes: 1,
        ..Limits::default()
    });
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let passed = async {
        while bench.store.first_offset() < begin + 4 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, passed).await.unwrap();
    bench.store.follow_limits(Limits::default());
    bench.host = Recorder::new(&bench.store);
    bench.start().await;
    bench.host.until_text("re 5").await;
    bench.host.until_text("bot missed 4").await;
    assert_eq!(bench.host.texts().len(), 2, "{:?}", bench.host.texts());
    let told = bench.until_event("script.skipped", |_| true).await;
    assert_eq!(
        (&told.data["from"], &told.data["to"]),
        (&json!(begin), &json!(begin + 3))
    );
    bench.until_finished("bot").await;
    bench.stop().await;
    bench.start().await;
    bench.message("a@c.us", "6").await;
    bench.host.until_text("re 6").await;
    let events = bench.store.events(begin + 4, 100).await.unwrap();
    let skipped = events
        .iter()
        .filter(|(_, event)| event.event.to_string() == "script.skipped");
    assert_eq!(skipped.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_script_is_passed_by_a_journal_over_its_limit_and_goes_on_behind_the_gap() {
    let mut bench = Bench::empty_on(&at_once());
    bench.times.readers = Duration::from_millis(20);
    bench.write(
        "bad",
        "wharf.on('message', { match = 'loop' }, function() while true do end end)",
    );
    bench.write(
        "good",
        "wharf.on('message', function(msg) msg:reply('good ' .. msg.body:sub(1, 3)) end)",
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
        "wharf.on('message', function(msg) msg:reply('bad ' .. msg.body:sub(1, 3)) end)",
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
        .map(|(_, event)| {
            let number = event.text("body").unwrap().split(' ').next();
            number.unwrap().parse().unwrap()
        })
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
