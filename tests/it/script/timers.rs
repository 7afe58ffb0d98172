//! Timers of scripts that run: committed as any run, gone with their version.

use serde_json::json;

use super::bench::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_timers_callback_is_a_run_with_a_commit_of_its_own() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.after(0, function()
            wharf.kv.update('n', function(n) return (n or 0) + 1 end)
            wharf.account('sales'):send('49170@c.us', 'by itself')
            wharf.after(0, function() wharf.account('sales'):send('49170@c.us', 'n = ' .. wharf.kv.get('n')) end)
        end)",
    )])
    .await;
    bench.host.until_text("n = 1").await;
    assert_eq!(bench.kv("bot", "n").await, Some(json!(1)));
    assert_eq!(bench.host.texts(), ["by itself", "n = 1"]);
    let keys = bench.host.asked();
    assert!(
        keys[0].starts_with("bot/timer_") && keys[0].ends_with("/main/send/sales/49170@c.us/1"),
        "{keys:?}"
    );
    assert_ne!(keys[0], keys[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_whose_callback_fails_keeps_nothing_and_is_reported_once() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.after(0, function()
            wharf.kv.set('kept', true)
            error('no')
        end)
        wharf.on('message', function(msg) msg:reply('alive') end)",
    )])
    .await;
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!((failed.text("message"), &failed.data["line"]), (Some("no"), &json!(3)));
    assert_eq!(failed.data["event"], json!(null));
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("alive").await;
    assert_eq!(bench.kv("bot", "kept").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_is_gone_with_the_version_that_made_it() {
    let said =
        |word: &str| format!("wharf.every('1s', function() wharf.account('sales'):send('49170@c.us', '{word}') end)");
    let bench = Bench::with(&[("bot", &said("one"))]).await;
    bench.host.until_text("one").await;
    bench.write("bot", &said("two"));
    bench.host.until_text("two").await;
    let before = bench.host.texts().len();
    let sent = bench.host.until_sent(|sent| sent.len() >= before + 2).await;
    assert!(sent[before..].iter().all(|sending| sending.text == "two"), "{sent:?}");
}
