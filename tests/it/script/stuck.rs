//! A script whose thread does not come back, or whose answer is lost, is its own trouble alone.

use std::time::Duration;

use super::bench::{Bench, PATIENCE};

const STUCK: &str = "wharf.on('message', { match = 'stand' }, function() wharf.webhook.has('still') end)";
const NEIGHBOUR: &str = "wharf.on('message', function(msg) msg:reply('neighbour ' .. msg.body) end)";

#[tokio::test(flavor = "multi_thread")]
async fn the_host_stops_although_a_script_stands_still() {
    let mut bench = Bench::empty();
    let still = bench.host.stop_at("still");
    bench.write("bot", STUCK);
    bench.times.last_runs = Duration::from_millis(100);
    bench.times.last_words = Duration::from_millis(100);
    bench.start().await;
    bench.message("a@c.us", "stand").await;
    still.until_arrived(1).await;
    tokio::time::timeout(PATIENCE, bench.stop()).await.unwrap();
    still.allow(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_that_gives_no_answer_lets_the_event_pass() {
    let mut bench = Bench::empty();
    let still = bench.host.stop_at("still");
    bench.write(
        "gate",
        "wharf.gate('message', { match = 'stand' }, function() wharf.webhook.has('still') return wharf.stop end)",
    );
    bench.write("neighbour", NEIGHBOUR);
    bench.configure("[scripts]\ngate_wall = '100ms'\n");
    bench.times.gate_grace = Duration::from_millis(100);
    bench.start().await;
    bench.message("a@c.us", "stand").await;
    still.until_arrived(1).await;
    bench.host.until_text("neighbour stand").await;
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!(failed.text("script"), Some("gate"));
    assert_eq!(failed.text("message"), Some("stopped: a gate gave no answer for 200ms"));
    still.allow(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_answer_is_lost_has_failed_and_its_neighbours_go_on() {
    let mut bench = Bench::empty();
    bench.write(
        "bot",
        "wharf.on('message', { match = 'lose' }, function() wharf.webhook.has('panic') end)
        wharf.on('message', { match = 'then' }, function(msg) msg:reply('well') end)",
    );
    bench.times.retries = [Duration::from_millis(1); 4];
    bench.start().await;
    bench.message("a@c.us", "lose it").await;
    let failed = bench.until_event("script.error", |event| event.data["try"] == 5).await;
    assert_eq!(
        failed.text("message"),
        Some("it ended without an answer; please report this")
    );
    bench.message("a@c.us", "then").await;
    bench.host.until_text("well").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_a_newer_version_is_asked_only_if_it_wants_the_event() {
    let mut bench = Bench::empty();
    let still = bench.host.stop_at("still");
    bench.write(
        "a_gate",
        "wharf.gate('message', function() wharf.webhook.has('still') end)",
    );
    bench.write("b_gate", "wharf.gate('message', function() end)");
    bench.write("neighbour", NEIGHBOUR);
    bench.start().await;
    bench.message("a@c.us", "x").await;
    still.until_arrived(1).await;
    bench.write(
        "b_gate",
        "wharf.gate('message', { match = 'other' }, function() return wharf.stop end)",
    );
    bench.until_view("b_gate", |view| view.generation == 2).await;
    still.allow(1);
    bench.host.until_text("neighbour x").await;
}
