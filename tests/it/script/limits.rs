//! A script cannot hurt the host or its neighbours.

use super::bench::Bench;

const NEIGHBOUR: &str = "wharf.on('message', function(msg) msg:reply('neighbour ' .. msg.body) end)";

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_is_stopped_and_the_neighbour_answers() {
    let bench = Bench::with(&[
        (
            "loop",
            "wharf.on('message', { match = 'loop' }, function() while true do end end)
            wharf.on('message', { match = 'then' }, function(msg) msg:reply('loop answers') end)",
        ),
        ("neighbour", NEIGHBOUR),
    ])
    .await;
    bench.message("a@c.us", "loop").await;
    bench.host.until_text("neighbour loop").await;
    let failed = bench.until_event("script.error", |_| true).await;
    assert_eq!(failed.text("message"), Some("stopped: more than 100ms of CPU time"));
    assert_eq!(failed.data["line"], serde_json::json!(1));
    bench.message("b@c.us", "then").await;
    bench.host.until_text("loop answers").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_without_memory_is_built_anew() {
    let bench = Bench::with(&[
        (
            "bomb",
            "local kept = {}
            wharf.on('message', { match = 'bomb' }, function()
                for i = 1, 1e9 do kept[i] = ('x'):rep(100000) .. i end
            end)
            wharf.on('message', { match = 'size' }, function(msg) msg:reply('size ' .. #kept) end)",
        ),
        ("neighbour", NEIGHBOUR),
    ])
    .await;
    bench.message("a@c.us", "bomb").await;
    bench.host.until_text("neighbour bomb").await;
    bench
        .until_event("script.error", |event| {
            event.text("message").unwrap().contains("memory")
        })
        .await;
    bench.until_view("bomb", |view| view.state == "running").await;
    // A state that is built anew has forgotten what filled it; until then the size is not zero.
    let mut chat = 0;
    while !bench.host.texts().iter().any(|text| text == "size 0") {
        chat += 1;
        bench.message(&format!("{chat}@c.us"), "size").await;
        bench
            .host
            .until_sent(|sent| sent.iter().filter(|sending| sending.text.starts_with("size")).count() == chat)
            .await;
        assert!(chat < 1000, "{:?}", bench.host.texts().last());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_stopped_too_often_is_suspended_until_its_file_changes() {
    let bench = Bench::with(&[
        (
            "loop",
            "wharf.on('message', { match = 'loop' }, function() while true do end end)",
        ),
        ("neighbour", NEIGHBOUR),
    ])
    .await;
    for chat in 0..10 {
        bench.message(&format!("{chat}@c.us"), "loop").await;
    }
    let event = bench.until_event("script.suspended", |_| true).await;
    assert_eq!(event.text("script"), Some("loop"));
    assert_eq!(bench.view("loop").unwrap().state, "suspended");
    bench.message("x@c.us", "still here").await;
    bench.host.until_text("neighbour still here").await;
    bench.write(
        "loop",
        "wharf.on('message', function(msg) msg:reply('mended ' .. msg.body) end)",
    );
    bench.until_view("loop", |view| view.state == "running").await;
    // What it could not finish is finished by the mended version.
    bench
        .host
        .until_sent(|sent| sent.iter().filter(|sending| sending.text == "mended loop").count() == 10)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_a_version_that_was_replaced_do_not_suspend_the_one_in_force() {
    let bench = Bench::with(&[(
        "bot",
        "wharf.on('message', function(msg) msg:reply('wait') while true do end end)",
    )])
    .await;
    let held = bench.host.hold("wait");
    for chat in 0..12 {
        bench.message(&format!("{chat}@c.us"), "x").await;
    }
    bench.host.until_asked(12).await;
    bench.write(
        "bot",
        "wharf.on('message', function() wharf.account('sales'):send('z@c.us', 'well') end)",
    );
    bench.until_view("bot", |view| view.generation == 2).await;
    while bench.host.sent().len() < 12 {
        held.notify_waiters();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let well = |sent: &[super::bench::Sending]| sent.iter().filter(|sending| sending.text == "well").count() == 12;
    bench.host.until_sent(well).await;
    assert_eq!(bench.view("bot").unwrap().state, "running");
}
