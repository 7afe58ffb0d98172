//! A plugin that does everything that a script should not, one after another, beside a neighbour that answers each time.

use serde_json::json;

use super::bench::Bench;

const NEIGHBOUR: &str = "wharf.on('message', function(msg) msg:reply('neighbour ' .. msg.body) end)";

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbour_answers_whatever_a_plugin_does() {
    let mut bench = Bench::empty();
    bench.write("neighbour", NEIGHBOUR);
    bench.plugin("runaway", "", "wharf.on('message', { match = 'nothing' }, print)");
    // What waits for ever is not waited for so long here.
    bench.configure("[scripts]\nwall = '500ms'\nmemory = '16MiB'\n[plugins.runaway]\n");
    bench.start().await;
    let cases = include_str!("../../../src/script/generation/tests/runaways.txt");
    let cases = cases.lines().filter(|line| !line.starts_with('#'));
    for (at, case) in cases.enumerate() {
        let source = case.split(" :: ").nth(1).unwrap();
        let word = format!("case {at}.");
        // A version for each: ten kills within a minute would suspend one, and what failed is not tried again by the next.
        let main = format!("wharf.on('message', {{ match = '{word}' }}, function(msg) {source} end)");
        let path = bench.dir.path().join("plugins/runaway/main.lua");
        std::fs::write(path, main).unwrap();
        let generation = u64::try_from(at).unwrap() + 2;
        bench.until_view("runaway", |view| view.generation == generation).await;
        let head = *bench.store.head().borrow();
        let event = bench.message(&format!("{at}@c.us"), &word).await;
        bench.host.until_text(&format!("neighbour {word}")).await;
        let failed = bench
            .until_event_from(head, "script.error", |failed| failed.data["event"] == json!(event.id))
            .await;
        assert_eq!(failed.text("script"), Some("runaway"), "{case}");
    }
    assert_eq!(bench.view("neighbour").unwrap().last_error, None);
    assert_eq!(bench.view("runaway").unwrap().state, "running");
}
