//! Dead runs that are listed and started again.

use std::time::Duration;

use serde_json::json;
use wharf::script::DeadError;
use wharf::store::{Batch, DeadRun};

use super::bench::Bench;

const BROKEN: &str = "wharf.on('message', { match = 'order' }, function(msg)
    msg:reply('got it')
    wharf.kv.incr('orders')
    wharf.webhook.post('crm', msg.body)
    error('no stock')
end)
wharf.on('message', { match = 'other' }, function(msg) msg:reply('other') end)";

async fn with_a_dead_run() -> (Bench, String) {
    let mut bench = Bench::empty();
    bench.write("bot", BROKEN);
    bench.times.retries = [Duration::from_millis(1); 4];
    bench.start().await;
    bench.message("a@c.us", "order 7").await;
    let dead = async {
        while bench.store.dead_runs().await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, dead).await.unwrap();
    let listed = bench.scripts.as_ref().unwrap().dead_runs(Some("bot")).await.unwrap();
    assert_eq!(listed.len(), 1);
    let run = &listed[0];
    assert_eq!((run.script.as_str(), run.event.as_deref()), ("bot", Some("message")));
    assert_eq!(
        (run.account.as_deref(), run.chat.as_deref()),
        (Some("sales"), Some("a@c.us"))
    );
    assert_eq!(run.error, "scripts/bot.lua:5: no stock");
    let id = run.id.clone();
    (bench, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_that_is_started_again_does_what_it_had_not_done_and_sends_nothing_twice() {
    let (bench, id) = with_a_dead_run().await;
    assert_eq!(bench.kv("bot", "orders").await, None, "nothing of a failed run is kept");
    // Still broken: it stays, and says why.
    let scripts = bench.scripts.clone().unwrap();
    let failed = scripts.run_dead(&id).await.unwrap_err();
    assert_eq!(failed.to_string(), "scripts/bot.lua:5: no stock");
    assert_eq!(scripts.dead_runs(None).await.unwrap().len(), 1);

    bench.write("bot", &BROKEN.replace("    error('no stock')\n", ""));
    bench.until_view("bot", |view| view.generation == 2).await;
    scripts.run_dead(&id).await.unwrap();
    assert_eq!(bench.kv("bot", "orders").await, Some(json!(1)));
    assert_eq!(bench.store.deliveries(10).await.unwrap().len(), 1);
    assert_eq!(bench.host.texts(), ["got it"], "it was sent in the first try");
    assert!(scripts.dead_runs(None).await.unwrap().is_empty());
    let gone = scripts.run_dead(&id).await.unwrap_err();
    assert!(matches!(gone, DeadError::Unknown(_)), "{gone}");
    // The position and the intents are as if it had ended well at once.
    assert!(bench.store.intents_with_prefix("bot/").await.unwrap().is_empty());
    bench.message("a@c.us", "other").await;
    bench.host.until_text("other").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_waits_for_its_turn_in_its_chat() {
    let (bench, id) = with_a_dead_run().await;
    bench.write(
        "bot",
        &BROKEN.replace("    error('no stock')\n", "    msg:reply('done')\n"),
    );
    bench.until_view("bot", |view| view.generation == 2).await;
    let held = bench.host.hold("other");
    bench.message("a@c.us", "other").await;
    bench.host.until_asked(2).await;
    let scripts = bench.scripts.clone().unwrap();
    let tasks = tokio_util::task::TaskTracker::new();
    let revived = tasks.spawn(async move { scripts.run_dead(&id).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!revived.is_finished(), "another message of its chat is being worked on");
    assert!(!bench.host.texts().contains(&"done".to_owned()));
    held.notify_one();
    revived.await.unwrap().unwrap();
    let texts = bench.host.texts();
    assert_eq!(texts, ["got it", "other", "done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_run_of_a_script_that_is_gone_or_handles_it_no_more_is_told() {
    let (bench, id) = with_a_dead_run().await;
    let scripts = bench.scripts.clone().unwrap();
    bench.write("bot", "wharf.on('message', { match = 'never' }, function() end)");
    bench.until_view("bot", |view| view.generation == 2).await;
    std::fs::rename(bench.path("bot"), bench.dir.path().join("away")).unwrap();
    let gone = async {
        while bench.view("bot").is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, gone).await.unwrap();
    let refused = scripts.run_dead(&id).await.unwrap_err();
    assert!(matches!(refused, DeadError::NoScript(_)), "{refused}");
    // It is there and was never in force: nobody waits for it.
    bench.write("bot", "wharf.on(");
    bench.until_view("bot", |view| view.state == "refused").await;
    let refused = scripts.run_dead(&id).await.unwrap_err();
    assert!(refused.to_string().contains("is not running"), "{refused}");
    std::fs::rename(bench.dir.path().join("away"), bench.path("bot")).unwrap();
    bench.until_view("bot", |view| view.state == "running").await;
    scripts.run_dead(&id).await.unwrap();
    assert!(
        scripts.dead_runs(None).await.unwrap().is_empty(),
        "nothing was left to do"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_script_a_thousand_dead_runs_are_kept_and_the_oldest_goes_for_the_next() {
    let (bench, id) = with_a_dead_run().await;
    let before = |at: i64| DeadRun {
        id: format!("run_{at:04}"),
        script: if at == 0 { "other" } else { "bot" }.to_owned(),
        offset: 0,
        event_id: "evt_x".to_owned(),
        error: "no".to_owned(),
        at,
    };
    let old: Vec<DeadRun> = (0..1000).map(before).collect();
    for some in old.chunks(100) {
        let dead_runs = some.to_vec();
        bench
            .store
            .commit(Batch {
                dead_runs,
                ..Batch::default()
            })
            .await
            .unwrap();
    }
    let ids = async || -> Vec<String> {
        let all = bench.store.dead_runs().await.unwrap();
        all.into_iter().map(|run| run.id).collect()
    };
    let known = ids().await;
    assert_eq!(known.len(), 1001);
    bench.message("b@c.us", "order 8").await;
    let new = async {
        while ids().await.iter().all(|id| known.contains(id)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, new).await.unwrap();
    let kept = ids().await;
    assert_eq!(kept.len(), 1001, "a thousand of the script, and the other's");
    assert!(
        !kept.contains(&"run_0001".to_owned()),
        "the oldest of the script has gone"
    );
    for id in ["run_0000", "run_0002", &id] {
        assert!(kept.contains(&id.to_owned()), "{id} has gone");
    }
}
