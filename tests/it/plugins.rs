//! `wharf plugin`, as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn wharf(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    let command = command.arg("plugin").args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// A folder with a configuration, and a plugin that lies elsewhere.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("config.toml"),
        "[plugins.webhook]\nenabled = false\n",
    )
    .unwrap();
    let plugin = folder.path().join("download/greeter-main");
    std::fs::create_dir_all(plugin.join("lib")).unwrap();
    let manifest = "name = 'greeter'\nversion = '1.2'\napi = 1\ndescription = \"Greets.\\u001b[2J\"\n[permissions]
events = ['message']\naccounts = ['*']\nactions = ['reply', 'react']\nhttp = ['api.example.com']\n";
    std::fs::write(plugin.join("plugin.toml"), manifest).unwrap();
    std::fs::write(plugin.join("main.lua"), "wharf.on('message', print)").unwrap();
    std::fs::write(plugin.join("lib/words.lua"), "return {}").unwrap();
    folder
}

#[test]
fn a_plugin_is_shown_and_without_a_terminal_not_added_unless_that_is_said() {
    let folder = folder();
    let shown = wharf(folder.path(), &["add", "download/greeter-main"]);
    assert_eq!(shown.status.code(), Some(1));
    let said = text(&shown);
    for part in [
        "greeter 1.2  (download/greeter-main)\nGreets.?[2J\nIt may\n",
        "  be told of these events: message\n",
        "  see the events of these accounts, and act on them: all\n",
        "  do this: reply, react\n",
        "  call these hosts: api.example.com\n",
        "and nothing else.\n",
        "there is no terminal to ask on; look at the plugin, then say --yes",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!folder.path().join("plugins").exists());
    let added = wharf(folder.path(), &["add", "download/greeter-main", "--yes"]);
    assert_eq!(added.status.code(), Some(0), "{}", text(&added));
    assert!(text(&added).ends_with("greeter was added; it runs when config.toml has a table [plugins.greeter]\n"));
    let copied = folder.path().join("plugins/greeter/lib/words.lua");
    assert_eq!(std::fs::read_to_string(copied).unwrap(), "return {}");
    assert_eq!(
        text(&wharf(folder.path(), &["list"])),
        "greeter\t1.2\tas it was added; [plugins.greeter] in config.toml would turn it on\n"
    );
}

#[test]
fn another_plugin_of_the_same_name_is_not_overwritten_unless_that_is_said() {
    let folder = folder();
    let there = folder.path().join("plugins/greeter");
    std::fs::create_dir_all(&there).unwrap();
    std::fs::write(there.join("main.lua"), "-- mine").unwrap();
    let refused = wharf(folder.path(), &["add", "download/greeter-main"]);
    let said = text(&refused);
    assert!(
        said.contains("plugins/greeter holds something else; say --yes to put this plugin in its place"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(there.join("main.lua")).unwrap(), "-- mine");
    let added = wharf(folder.path(), &["add", "download/greeter-main", "--yes"]);
    assert_eq!(added.status.code(), Some(0), "{}", text(&added));
    assert_eq!(
        std::fs::read_to_string(there.join("main.lua")).unwrap(),
        "wharf.on('message', print)"
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason() {
    let folder = folder();
    let refused = |arguments: &[&str]| {
        let ran = wharf(folder.path(), arguments);
        assert_eq!(ran.status.code(), Some(1));
        text(&ran)
    };
    assert!(refused(&["add", "nowhere", "--yes"]).contains("nowhere is no plugin: plugin.toml cannot be read"));
    let manifest = folder.path().join("download/greeter-main/plugin.toml");
    let good = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, good.replace("'greeter'", "'../greeter'")).unwrap();
    let said = refused(&["add", "download/greeter-main", "--yes"]);
    assert!(
        said.contains("its name must have 1 to 64 letters, digits, `_` and `-`"),
        "{said}"
    );
    std::fs::write(&manifest, good.replace("'react'", "'raect'")).unwrap();
    let said = refused(&["add", "download/greeter-main", "--yes"]);
    assert!(
        said.contains("plugin.toml:8: no action 'raect'; did you mean 'react'?"),
        "{said}"
    );
    assert!(refused(&["remove", "greeter"]).contains("no plugin 'greeter' was added"));
}

#[test]
fn what_has_changed_is_named_when_a_plugin_is_offered_again() {
    let folder = folder();
    let add = |more: &[&str]| text(&wharf(folder.path(), &[&["add", "greeter", "--yes"], more].concat()));
    wharf(folder.path(), &["add", "download/greeter-main", "--yes"]);
    assert!(add(&[]).contains("It is what was added before.\n"));
    std::fs::write(folder.path().join("plugins/greeter/lib/more.lua"), "return 1").unwrap();
    assert!(add(&["--own"]).contains("Changed since it was added: lib/more.lua (new)\n"));
    let own = text(&wharf(folder.path(), &["list"]));
    assert!(
        own.starts_with("greeter\t1.2\tyour own: what you change is in force at once"),
        "{own}"
    );
    let again = add(&[]);
    assert!(
        !again.contains("added before") && !again.contains("Changed since"),
        "{again}"
    );
}

/// The lock that is part of the source says that the three plugins are trusted as they are.
#[test]
fn the_plugins_that_come_with_wharf_are_those_of_the_lock() {
    let listed = text(&wharf(Path::new(ROOT), &["list"]));
    for name in ["autoreply", "router", "webhook"] {
        assert!(
            listed.contains(&format!("{name}\t0.1.0\tas it was added")),
            "accept what you changed: cargo run -- plugin add plugins/{name} --yes\n{listed}"
        );
    }
}
