//! Gates: before all handlers, in their order, with durable verdicts.

use serde_json::json;

use super::bench::Bench;

const GATE: &str = "wharf.gate('message', { match = 'stop' }, function(msg)
    wharf.kv.incr('gated')
    msg:reply('closed')
    return wharf.stop
end)";

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_keeps_an_event_from_all_handlers_and_its_send_is_carried_out() {
    let bench = Bench::with(&[
        (
            "a_first",
            "wharf.on('message', function(msg) msg:reply('a ' .. msg.body) end)",
        ),
        ("gate", GATE),
        (
            "z_last",
            "wharf.on('message', function(msg) msg:reply('z ' .. msg.body) end)",
        ),
    ])
    .await;
    bench.message("a@c.us", "stop it").await;
    bench.message("a@c.us", "go on").await;
    bench.host.until_sent(|sent| sent.len() == 3).await;
    for script in ["a_first", "gate", "z_last"] {
        bench.stop_and_see(script);
    }
    let mut texts = bench.host.texts();
    texts.sort();
    assert_eq!(texts, ["a go on", "closed", "z go on"]);
    assert_eq!(bench.kv("gate", "gated").await, Some(json!(1)));
    let verdict = bench.store.verdict(0).await.unwrap().unwrap();
    assert_eq!(verdict.stopped_by.as_deref(), Some("gate"));
    assert_eq!(bench.store.verdict(1).await.unwrap(), None, "no gate saw it");
}

impl Bench {
    fn stop_and_see(&self, script: &str) {
        assert_eq!(self.view(script).unwrap().state, "running");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_run_in_the_order_of_the_configuration() {
    let mut bench = Bench::empty();
    let gate = |text: &str| format!("wharf.gate('message', function(msg) msg:reply('{text}') return wharf.stop end)");
    bench.write("alpha", &gate("alpha"));
    bench.write("beta", &gate("beta"));
    bench.configure("[scripts]\norder = ['beta']\n");
    bench.start().await;
    bench.message("a@c.us", "x").await;
    bench.host.until_text("beta").await;
    bench.configure("[scripts]\norder = ['alpha']\n[script.alpha]\nx = 1\n");
    bench.until_view("alpha", |view| view.generation == 2).await;
    bench.message("a@c.us", "y").await;
    bench.host.until_text("alpha").await;
    assert_eq!(bench.host.texts(), ["beta", "alpha"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_fails_lets_the_event_pass() {
    let bench = Bench::with(&[
        (
            "gate",
            "wharf.gate('message', function(msg) msg:reply('lost') error('broken') end)",
        ),
        (
            "bot",
            "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)",
        ),
    ])
    .await;
    bench.message("a@c.us", "x").await;
    bench.host.until_text("re x").await;
    bench
        .until_event("script.error", |event| event.text("script") == Some("gate"))
        .await;
    assert_eq!(bench.host.texts(), ["re x"], "a send of a failed gate is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_and_a_queued_send_survive_the_host() {
    let mut bench = Bench::with(&[
        ("gate", GATE),
        (
            "bot",
            "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)",
        ),
    ])
    .await;
    let held = bench.host.hold("closed");
    bench.message("a@c.us", "stop it").await;
    bench.host.until_asked(1).await;
    bench.stop().await;
    assert_eq!(bench.host.texts(), [] as [&str; 0]);
    bench.start().await;
    bench.host.until_asked(2).await;
    held.notify_one();
    bench.message("a@c.us", "go").await;
    bench.host.until_sent(|sent| sent.len() == 2).await;
    let mut texts = bench.host.texts();
    texts.sort();
    assert_eq!(texts, ["closed", "re go"]);
    let asked = bench.host.asked();
    assert_eq!(asked[0], asked[1], "the send keeps its key");
    assert_eq!(
        bench.kv("gate", "gated").await,
        Some(json!(1)),
        "the gate is not asked again"
    );
}
