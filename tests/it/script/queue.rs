//! Sends of gates: queued, in order within a chat, and told of when they are dropped.

use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, PATIENCE};

const GATE: &str = "wharf.gate('message', function(msg) wharf.kv.incr('n') msg:reply('closed ' .. msg.body) end)";

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_gates_keep_their_order_within_a_chat_and_other_chats_do_not_wait() {
    let bench = Bench::with(&[("gate", GATE)]).await;
    let held = bench.host.hold("closed 1");
    bench.message("a@c.us", "1").await;
    bench.host.until_asked(1).await;
    bench.message("a@c.us", "2").await;
    bench.message("b@c.us", "3").await;
    bench.host.until_text("closed 3").await;
    let gated = async {
        while bench.kv("gate", "n").await != Some(json!(3)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gated).await.unwrap();
    assert_eq!(bench.host.asked().len(), 2, "the second of the chat has not begun");
    held.notify_one();
    bench.host.until_text("closed 2").await;
    assert_eq!(bench.host.texts(), ["closed 3", "closed 1", "closed 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_a_gate_that_cannot_be_sent_is_told_of() {
    let bench = Bench::with(&[("gate", GATE)]).await;
    bench.host.refuse("closed 1");
    let event = bench.message("a@c.us", "1").await;
    let stopped = bench.until_event("action.stopped", |_| true).await;
    assert_eq!(stopped.account.as_ref().unwrap().as_str(), "sales");
    assert_eq!(
        serde_json::to_value(&stopped.data).unwrap(),
        json!({
            "chat": "a@c.us", "source": "script", "script": "gate", "event": event.id,
            "reason": "account 'sales' refused",
        })
    );
    assert!(bench.store.intents_with_prefix("gate/").await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_in_which_too_much_waits_drops_the_newest() {
    let bench = Bench::with(&[(
        "gate",
        "wharf.gate('message', function(msg) for i = 1, 60 do msg:reply('n ' .. msg.body .. i) end end)",
    )])
    .await;
    let held = bench.host.hold("n 11");
    for batch in 1..=5 {
        bench.message("a@c.us", &batch.to_string()).await;
    }
    let stopped = bench.until_event("action.stopped", |_| true).await;
    assert_eq!(stopped.text("reason"), Some("too many messages of gates wait already"));
    held.notify_one();
    // The last that found room, and none after it.
    bench.host.until_text("n 516").await;
    assert_eq!(bench.host.texts().len(), 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_fails_is_not_tried_again() {
    let mut bench = Bench::empty();
    bench.write("gate", "wharf.gate('message', function() error('broken') end)");
    bench.write(
        "bot",
        "wharf.on('message', function(msg) msg:reply('re ' .. msg.body) end)",
    );
    bench.times.retries = [Duration::from_millis(1); 4];
    bench.start().await;
    bench.message("a@c.us", "x").await;
    bench.host.until_text("re x").await;
    bench.until_event("script.error", |_| true).await;
    bench.message("b@c.us", "y").await;
    bench.host.until_text("re y").await;
    bench.until_event("script.error", |event| event.seq > 1).await;
    let events = bench.store.events(0, 100).await.unwrap();
    let errors = events
        .iter()
        .filter(|(_, event)| event.event.to_string() == "script.error");
    assert_eq!(
        errors.map(|(_, event)| event.data["try"].clone()).collect::<Vec<_>>(),
        [1, 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_keeps_an_event_from_the_gates_and_handlers_of_other_scripts() {
    let bench = Bench::with(&[
        (
            "a_gate",
            "wharf.gate('message', { match = 'stop' }, function() return wharf.stop end)",
        ),
        (
            "b_gate",
            "wharf.gate('message', function(msg) msg:reply('gate ' .. msg.body) end)
            wharf.on('message', function(msg) msg:reply('on ' .. msg.body) end)",
        ),
    ])
    .await;
    bench.message("a@c.us", "stop").await;
    bench.message("a@c.us", "go").await;
    bench.host.until_text("on go").await;
    bench.host.until_text("gate go").await;
    assert_eq!(bench.host.texts().len(), 2, "{:?}", bench.host.texts());
}
