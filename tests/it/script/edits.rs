//! Edits are live, and safe: the last good version goes on.

use super::bench::{Bench, PATIENCE};
use rustix::fs::{CWD, RenameFlags};

fn answers(word: &str) -> String {
    format!("wharf.on('message', function(msg) msg:reply('{word} ' .. msg.body) end)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saved_edit_is_in_force_without_a_restart() {
    let bench = Bench::with(&[("bot", &answers("old"))]).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("old 1").await;
    bench.write("bot", &answers("new"));
    let told = bench.until_event("script.reloaded", |_| true).await;
    assert_eq!(told.data["generation"], serde_json::json!(2));
    bench.message("a@c.us", "2").await;
    bench.host.until_text("new 2").await;
    // As editors save: a new file that takes the name of the old one.
    let beside = bench.dir.path().join("scripts").join(".bot.lua.swp");
    std::fs::write(&beside, answers("newest")).unwrap();
    std::fs::rename(&beside, bench.path("bot")).unwrap();
    bench.until_view("bot", |view| view.generation == 3).await;
    bench.message("a@c.us", "3").await;
    bench.host.until_text("newest 3").await;
    assert_eq!(bench.host.texts(), ["old 1", "new 2", "newest 3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_edit_keeps_the_running_version_and_says_where_it_is_broken() {
    let bench = Bench::with(&[("bot", &answers("good"))]).await;
    for (text, problem) in [
        ("local x =\n\nwharf.on(", "scripts/bot.lua:3: "),
        ("-- cut off", "scripts/bot.lua: it registers no handler"),
        (
            "local t = nil\nt.x = 1",
            "scripts/bot.lua:2: attempt to index nil with 'x'",
        ),
        (
            "while true do end",
            "scripts/bot.lua:1: stopped: the top level takes more than 200ms",
        ),
        (
            "wharf.on('mesage', print)",
            "scripts/bot.lua:1: on: no event 'mesage'; did you mean 'message'?",
        ),
    ] {
        bench.write("bot", text);
        let matches = |view: &wharf::script::ScriptView| {
            view.refused
                .as_ref()
                .is_some_and(|refused| refused.headline().starts_with(problem))
        };
        let view = bench.until_view("bot", matches).await;
        assert_eq!((view.state, view.generation), ("running", 1));
        bench.message("a@c.us", text).await;
        bench.host.until_text(&format!("good {text}")).await;
    }
    bench.write("bot", &answers("mended"));
    let view = bench.until_view("bot", |view| view.refused.is_none()).await;
    assert_eq!(view.state, "running");
    bench.message("a@c.us", "x").await;
    bench.host.until_text("mended x").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_broken_from_the_start_runs_once_it_is_mended() {
    let bench = Bench::with(&[("bot", "wharf.on("), ("other", &answers("other"))]).await;
    let view = bench.view("bot").unwrap();
    assert_eq!((view.state, view.generation), ("refused", 0));
    bench.message("a@c.us", "1").await;
    bench.host.until_text("other 1").await;
    bench.write("bot", &answers("bot"));
    bench.until_view("bot", |view| view.state == "running").await;
    bench.message("a@c.us", "2").await;
    bench.host.until_text("bot 2").await;
    assert!(
        !bench.host.texts().contains(&"bot 1".to_owned()),
        "a new script starts at the end"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_ends_on_the_old_version_and_its_chat_waits_for_it() {
    let bench = Bench::with(&[("bot", &answers("old"))]).await;
    let held = bench.host.hold("old 1");
    bench.message("a@c.us", "1").await;
    bench.host.until_asked(1).await;
    bench.write("bot", &answers("new"));
    bench.until_view("bot", |view| view.generation == 2).await;
    bench.message("a@c.us", "2").await;
    bench.message("b@c.us", "3").await;
    bench.host.until_text("new 3").await;
    assert_eq!(bench.host.texts(), ["new 3"]);
    held.notify_one();
    bench.host.until_text("new 2").await;
    assert_eq!(bench.host.texts(), ["new 3", "old 1", "new 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_and_removed_files_are_seen_and_editors_files_are_not() {
    let bench = Bench::with(&[("bot", &answers("bot"))]).await;
    for name in ["late", "late_test", ".hidden", "late.lua~"] {
        bench.write(name, &answers(name));
    }
    bench.until_view("late", |view| view.state == "running").await;
    assert!(bench.view("late_test").is_none() && bench.view(".hidden").is_none());
    std::fs::remove_file(bench.path("bot")).unwrap();
    let gone = async {
        while bench.view("bot").is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::bench::PATIENCE, gone).await.unwrap();
    bench.message("a@c.us", "1").await;
    bench.host.until_text("late 1").await;
    assert_eq!(bench.host.texts(), ["late 1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_settings_loads_only_the_script_that_has_them() {
    let mut bench = Bench::empty();
    bench.write(
        "one",
        "wharf.on('message', function(msg) msg:reply(wharf.config.word .. ' ' .. msg.body) end)",
    );
    bench.write("two", &answers("two"));
    bench.plugin(
        "greeter",
        "[config]\nhello = { type = 'string', default = 'hello' }\n",
        "wharf.on('message', { match = 'greet' }, function(msg) msg:reply(wharf.config.hello) end)",
    );
    bench.configure("[script.one]\nword = 'first'\n[plugins.greeter]\n");
    bench.start().await;
    bench.message("a@c.us", "greet").await;
    bench.host.until_sent(|sent| sent.len() == 3).await;
    bench.configure("[script.one]\nword = 'second'\n[plugins.greeter]\n");
    bench.until_view("one", |view| view.generation == 2).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("second 1").await;
    assert_eq!(
        (
            bench.view("two").unwrap().generation,
            bench.view("greeter").unwrap().generation
        ),
        (1, 1)
    );
    bench.configure("[script.one]\nword = 'second'\n[plugins.greeter]\nhelo = 'x'\n");
    let view = bench.until_view("greeter", |view| view.refused.is_some()).await;
    assert_eq!((view.generation, view.kind), (1, "plugin"));
    let message = view.refused.unwrap().message;
    assert_eq!(
        message,
        "[plugins.greeter] has no setting 'helo'; did you mean 'hello'?"
    );
    bench.configure("[script.one]\nword = 'second'\n[plugins.greeter]\nhello = 'good day'\n");
    bench.until_view("greeter", |view| view.generation == 2).await;
    bench.message("b@c.us", "greet").await;
    bench.host.until_text("good day").await;
    assert_eq!(bench.view("two").unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_saved_while_the_host_works_begins_at_the_end_of_the_journal() {
    let bench = Bench::with(&[("bot", &answers("bot"))]).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("bot 1").await;
    bench.write("late", &answers("late"));
    bench.until_view("late", |view| view.state == "running").await;
    bench.message("a@c.us", "2").await;
    bench.host.until_text("late 2").await;
    assert!(!bench.host.texts().contains(&"late 1".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_live_in_a_folder_that_took_the_place_of_another() {
    let mut bench = Bench::empty();
    bench.write("bot", &answers("old"));
    bench.times.again = std::time::Duration::from_millis(50);
    bench.start().await;
    let (scripts, aside) = (bench.dir.path().join("scripts"), bench.dir.path().join("aside"));
    for round in 0..2 {
        let other = bench.dir.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("bot.lua"), answers(&format!("moved{round}"))).unwrap();
        std::fs::rename(&scripts, &aside).unwrap();
        std::fs::rename(&other, &scripts).unwrap();
        std::fs::remove_dir_all(&aside).unwrap();
        bench.until_view("bot", |view| view.generation == 2 + 2 * round).await;
        bench.write("bot", &answers(&format!("edited{round}")));
        bench.until_view("bot", |view| view.generation == 3 + 2 * round).await;
    }
    bench.message("a@c.us", "1").await;
    bench.host.until_text("edited1 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_for_now_goes_on_as_it_was() {
    let mut bench = Bench::empty();
    bench.write("bot", &answers("bot"));
    bench.write("other", &answers("other"));
    bench.times.again = std::time::Duration::from_millis(50);
    bench.start().await;
    // A file that cannot be opened, also by root.
    let beside = bench.dir.path().join("beside");
    std::fs::rename(bench.path("bot"), &beside).unwrap();
    std::os::unix::fs::symlink("bot.lua", bench.path("bot")).unwrap();
    let view = bench.until_view("bot", |view| view.refused.is_some()).await;
    assert!(view.refused.unwrap().message.starts_with("cannot be read: "));
    assert_eq!((view.state, view.generation), ("running", 1));
    std::fs::rename(&beside, bench.path("bot")).unwrap();
    let view = bench.until_view("bot", |view| view.refused.is_none()).await;
    assert_eq!((view.state, view.generation), ("running", 1));
    // A folder that cannot be read.
    let scripts = bench.dir.path().join("scripts");
    // At once: a moment without the folder would be a folder whose scripts were removed.
    let swap = || rustix::fs::renameat_with(CWD, &scripts, CWD, &beside, RenameFlags::EXCHANGE).unwrap();
    std::fs::write(&beside, "").unwrap();
    swap();
    // Until it has been looked at: a change of the settings makes the host look.
    bench.configure("[plugins.missing]\n");
    bench.until_view("missing", |_| true).await;
    bench.message("a@c.us", "1").await;
    bench.host.until_text("bot 1").await;
    swap();
    bench.write("other", &answers("newer"));
    bench.until_view("other", |view| view.generation == 2).await;
    assert_eq!(bench.view("bot").unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_never_ends_is_refused_and_nothing_waits_for_it() {
    let mut bench = Bench::empty();
    bench.write("bot", &answers("bot"));
    std::os::unix::fs::symlink("/dev/zero", bench.path("zero")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(bench.path("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    tokio::time::timeout(super::bench::PATIENCE, bench.start())
        .await
        .unwrap();
    for name in ["zero", "pipe"] {
        let refused = bench.view(name).unwrap().refused.unwrap();
        assert_eq!(refused.message, "cannot be read: it is not a plain file");
    }
    bench.message("a@c.us", "1").await;
    bench.host.until_text("bot 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_has_the_name_of_a_script_is_shown_as_refused() {
    let mut bench = Bench::empty();
    bench.write("router", &answers("bot"));
    bench.configure("[plugins.router]\nenabled = true\n");
    bench.start().await;
    assert_eq!(bench.view("router").unwrap().kind, "script");
    let view = bench.view("plugins/router").unwrap();
    assert_eq!((view.kind, view.state), ("plugin", "refused"));
    assert_eq!(
        view.refused.unwrap().headline(),
        "plugins/router/main.lua: it is not loaded: there is a script of the same name, scripts/router.lua"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_stops_just_as_a_script_comes_into_force_does_end() {
    let mut bench = Bench::with(&[]).await;
    for round in 0..30 {
        let name = format!("bot{round}");
        bench.write(&name, &answers("x"));
        bench.until_view(&name, |view| view.state == "running").await;
        tokio::time::timeout(PATIENCE, bench.stop()).await.expect("it ends");
        bench.start().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_library_loads_the_scripts_anew_that_required_it_and_no_other() {
    let bench = Bench::empty();
    let library = bench.path("lib/words");
    std::fs::create_dir_all(library.parent().unwrap()).unwrap();
    std::fs::write(&library, "return { hello = 'one' }").unwrap();
    bench.write(
        "bot",
        "local words = require('./lib/words') wharf.on('message', function(msg) msg:reply(words.hello) end)",
    );
    bench.write("other", "wharf.on('message.ack', print)");
    let mut bench = bench;
    bench.start().await;
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("one").await;
    std::fs::write(&library, "return { hello = ").unwrap();
    let refused = bench.until_view("bot", |view| view.refused.is_some()).await;
    let reason = refused.refused.unwrap().headline();
    assert!(reason.contains("scripts/lib/words.lua:1: "), "{reason}");
    bench.message("49170@c.us", "x").await;
    bench.host.until_sent(|sent| sent.len() == 2).await;
    std::fs::write(&library, "return { hello = 'two' }").unwrap();
    bench
        .until_view("bot", |view| view.refused.is_none() && view.generation > 1)
        .await;
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("two").await;
    assert_eq!(bench.view("other").unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_gets_the_state_of_the_one_before() {
    let text = |version: &str| {
        format!(
            "wharf.state.from = '{version}'
            wharf.on('message', function(msg)
                wharf.state.n = (wharf.state.n or 0) + 1
                msg:reply('{version} ' .. wharf.state.n .. ' ' .. tostring(wharf.state.left))
            end)
            wharf.on_reload(function() wharf.state.left = {{ 'by {version}' }} wharf.state.left = wharf.state.left[1] end)"
        )
    };
    let bench = Bench::with(&[("bot", &text("one"))]).await;
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("one 1 nil").await;
    bench.write("bot", &text("two"));
    bench.until_view("bot", |view| view.generation == 2).await;
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("two 2 by one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_whose_on_reload_raises_stays_and_says_why() {
    let text = "wharf.on('message', function(msg) msg:reply('one') end)
        wharf.on_reload(function() error('not now') end)";
    let bench = Bench::with(&[("bot", text)]).await;
    bench.write("bot", &text.replace("one", "two"));
    let view = bench.until_view("bot", |view| view.refused.is_some()).await;
    assert_eq!(
        view.refused.unwrap().headline(),
        "scripts/bot.lua:2: the version in force refuses the reload: not now"
    );
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_cannot_be_handed_over_is_told_and_an_endless_on_reload_keeps_nothing_out() {
    let text = "wharf.on('message', function(msg) msg:reply('one') end)
        wharf.on_reload(function() while true do end end)";
    let bench = Bench::with(&[("bot", text)]).await;
    bench.write(
        "bot",
        "wharf.on('message', function(msg) msg:reply('two') wharf.state.f = print end)",
    );
    bench.until_view("bot", |view| view.generation == 2).await;
    bench.message("49170@c.us", "x").await;
    bench.host.until_text("two").await;
    bench.write("bot", "wharf.on('message', function(msg) msg:reply('three') end)");
    let view = bench.until_view("bot", |view| view.refused.is_some()).await;
    let reason = view.refused.unwrap().message;
    assert!(
        reason.contains("wharf.state: a function has no form in JSON"),
        "{reason}"
    );
}
