//! Runs that fail, conflict, wait in line or are cut off: what is tried again, and when it ends.

use std::time::Duration;

use serde_json::json;
use wharf::store::{Batch, KvOp, KvWrite};

use super::bench::{Bench, message, now};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_fifth_try_fails_is_dead_and_its_chat_goes_on() {
    let mut bench = Bench::empty();
    bench.write(
        "bot",
        "wharf.on('message', { match = 'bad' }, function(msg) msg:reply('sent') error('no') end)
        wharf.on('message', { match = 'good' }, function(msg) msg:reply('good') end)",
    );
    bench.times.retries = [Duration::from_millis(1); 4];
    bench.start().await;
    let bad = bench.message("a@c.us", "bad").await;
    bench.message("a@c.us", "good").await;
    bench.host.until_text("good").await;
    bench.until_finished("bot").await;
    let events = bench.store.events(0, 100).await.unwrap();
    let errors = events
        .iter()
        .filter(|(_, event)| event.event.to_string() == "script.error");
    let tries: Vec<_> = errors.map(|(_, event)| event.data["try"].clone()).collect();
    assert_eq!(tries, [1, 2, 3, 4, 5]);
    let dead = bench.store.dead_runs().await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].script.as_str(), &dead[0].event_id), ("bot", &bad.id));
    assert!(bench.store.tries("bot").await.unwrap().is_empty());
    assert_eq!(bench.host.texts(), ["sent", "good"]);
    // Kept for whoever starts the run again, but not for ever.
    let intents = bench.store.intents_with_prefix("bot/").await.unwrap();
    assert_eq!(intents.len(), 1);
    assert!(intents[0].keep_until.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_conflicts_a_fourth_time_has_failed() {
    let bench = Bench::empty();
    let between = bench.host.stop_at("between");
    let mut bench = bench;
    bench.write(
        "bot",
        "wharf.on('message', function()
            local n = wharf.kv.get('n') or 0
            wharf.webhook.has('between')
            wharf.kv.set('n', n + 1)
        end)",
    );
    bench.times.retries = [Duration::from_millis(1); 4];
    bench.start().await;
    bench.message("a@c.us", "x").await;
    for round in 1..=4 {
        between.until_arrived(round).await;
        let write = KvWrite {
            space: "bot".into(),
            key: "n".into(),
            op: KvOp::Set(b"10".to_vec()),
            expires_at: None,
        };
        let kv = vec![write];
        bench.store.commit(Batch { kv, ..Batch::default() }).await.unwrap();
        between.allow(1);
    }
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!(failed.data["try"], json!(1));
    assert_eq!(failed.text("message"), Some("`n` in `bot` was changed by another run"));
    // The next try is left alone.
    between.allow(1);
    bench.until_finished("bot").await;
    assert_eq!(bench.kv("bot", "n").await, Some(json!(11)));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_thousand_events_stand_unfinished_new_chats_wait() {
    let bench = Bench::with(&[
        ("bot", "wharf.on('message', function(msg) msg:reply('wait') end)"),
        ("counter", "wharf.on('message', function() wharf.kv.incr('n') end)"),
    ])
    .await;
    let held = bench.host.hold("wait");
    let waiting: Vec<_> = (0..1040)
        .map(|chat| message(&format!("{chat}@c.us"), "x", now()))
        .collect();
    for part in waiting.chunks(40) {
        bench.journal(part.to_vec()).await;
    }
    bench.host.until_asked(1000).await;
    bench.until_finished("counter").await;
    assert_eq!(bench.host.asked().len(), 1000);
    held.notify_one();
    bench.host.until_asked(1001).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_nobody_wants_move_the_mark_without_a_commit_for_each() {
    let mut bench = Bench::with(&[("bot", "wharf.on('message', { match = 'never' }, function() end)")]).await;
    let commit = || async { bench.store.commit(Batch::default()).await.unwrap().commit };
    let before = commit().await;
    for _ in 0..30 {
        bench
            .journal((0..40).map(|_| message("a@c.us", "x", now())).collect())
            .await;
    }
    let moved = async {
        while bench.store.position("bot").await.unwrap().unwrap().mark < 1000 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, moved).await.unwrap();
    let commits = commit().await - before;
    assert!(commits < 40, "{commits} commits for 1,200 events in 30 batches");
    bench.stop().await;
    assert_eq!(bench.store.position("bot").await.unwrap().unwrap().mark, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_end_after_a_reload_is_cut_off_and_starts_again() {
    let mut bench = Bench::empty();
    let answers = |word: &str| format!("wharf.on('message', function(msg) msg:reply('{word} ' .. msg.body) end)");
    bench.write("bot", &answers("old"));
    bench.times.drain = Duration::from_millis(50);
    bench.start().await;
    let _held = bench.host.hold("old 1");
    bench.message("a@c.us", "1").await;
    bench.host.until_asked(1).await;
    bench.write("bot", &answers("new"));
    bench.host.until_text("new 1").await;
    let asked = bench.host.asked();
    assert_eq!(asked[0], asked[1], "with the same key");
    assert!(
        bench.store.tries("bot").await.unwrap().is_empty(),
        "it does not count as a try"
    );
}
