//! A plugin runs with the content that was accepted, and with no other.

use super::bench::Bench;

fn says(word: &str) -> String {
    format!("wharf.on('message', function(msg) msg:reply('{word} ' .. msg.body) end)")
}

async fn with_plugin() -> Bench {
    let mut bench = Bench::empty();
    bench.plugin_of_others("greeter", "", &says("hello"));
    bench.configure("[plugins.greeter]\n");
    bench.wharf(&["plugin", "add", "plugins/greeter", "--yes"]);
    bench.start().await;
    bench
}

impl Bench {
    fn edit(&self, word: &str) {
        std::fs::write(self.dir.path().join("plugins/greeter/main.lua"), says(word)).unwrap();
    }

    async fn until_refused(&self) -> String {
        let view = self.until_view("greeter", |view| view.refused.is_some()).await;
        view.refused.unwrap().headline()
    }
}

const CHANGED: &str = "plugins/greeter: changed since it was added: main.lua; \
    run `wharf plugin add plugins/greeter` to look at it and accept it";

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_plugin_does_not_run_until_it_is_accepted_and_the_accepted_version_goes_on() {
    let mut bench = with_plugin().await;
    bench.edit("changed");
    assert_eq!(bench.until_refused().await, CHANGED);
    bench.message("a@c.us", "1").await;
    bench.host.until_text("hello 1").await;
    assert_eq!(bench.view("greeter").unwrap().generation, 1);
    // What was accepted is not kept anywhere: after a restart there is nothing to run.
    bench.stop().await;
    bench.start().await;
    let view = bench.view("greeter").unwrap();
    assert_eq!((view.state, view.generation), ("refused", 0));
    bench.message("a@c.us", "2").await;
    assert!(
        bench
            .wharf(&["plugin", "list"])
            .contains("changed since it was added: main.lua; run")
    );
    bench.wharf(&["plugin", "add", "plugins/greeter", "--yes"]);
    bench.host.until_text("changed 2").await;
    assert_eq!(bench.host.texts(), ["hello 1", "changed 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_taken_back_is_no_change() {
    let bench = with_plugin().await;
    bench.edit("changed");
    bench.until_refused().await;
    bench.edit("hello");
    bench.until_view("greeter", |view| view.refused.is_none()).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("hello 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_dropped_in_by_hand_runs_when_it_is_added_and_stops_when_it_is_removed() {
    let mut bench = Bench::empty();
    bench.plugin_of_others("greeter", "", &says("hello"));
    bench.configure("[plugins.greeter]\n");
    bench.start().await;
    assert_eq!(
        bench.until_refused().await,
        "plugins/greeter: it was not added: run `wharf plugin add plugins/greeter` to see what it may do and let it run"
    );
    assert_eq!(bench.view("greeter").unwrap().state, "refused");
    bench.wharf(&["plugin", "add", "greeter", "--yes"]);
    bench.until_view("greeter", |view| view.state == "running").await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("hello 1").await;
    bench.wharf(&["plugin", "remove", "greeter"]);
    bench.until_view("greeter", |view| view.state == "refused").await;
    assert!(bench.dir.path().join("plugins/greeter/main.lua").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_an_own_plugin_are_live() {
    let bench = with_plugin().await;
    bench.wharf(&["plugin", "add", "plugins/greeter", "--own", "--yes"]);
    bench.edit("mine");
    bench.until_view("greeter", |view| view.generation == 2).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("mine 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_cannot_be_read_stops_no_plugin_that_runs_and_lets_none_begin() {
    let mut bench = with_plugin().await;
    // Whole at once, as the program writes it.
    std::fs::write(bench.dir.path().join("new"), "nonsense").unwrap();
    std::fs::rename(
        bench.dir.path().join("new"),
        bench.dir.path().join("plugins/plugins.lock"),
    )
    .unwrap();
    let refused = bench.until_refused().await;
    assert!(
        refused.starts_with("plugins/plugins.lock: it is not known what was accepted: line 1: "),
        "{refused}"
    );
    bench.message("a@c.us", "1").await;
    bench.host.until_text("hello 1").await;
    bench.stop().await;
    bench.start().await;
    assert_eq!(bench.view("greeter").unwrap().state, "refused");
}
