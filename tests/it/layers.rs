//! The rules of the rooms, read from the source: who may know whom.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with the room it belongs to (`src/page/tab.rs` is of `page`, `src/http.rs` of `http`).
fn files() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&src, &mut found);
    assert!(found.len() > 50, "the source was not found");
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside.iter().next().unwrap().to_str().unwrap();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = fs::read_to_string(&path).unwrap();
            (room, path, text)
        })
        .collect()
}

/// The source without comments, so that a word in prose does not count.
fn code(text: &str) -> String {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The rooms that a source names as `crate::room` or inside `use crate::{…}`.
fn rooms_named(text: &str) -> Vec<String> {
    let code = code(text);
    let mut named = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(c),
                    _ => {}
                }
            }
            named.push(word);
        } else {
            named.push(rest.to_owned());
        }
    }
    let name = |text: &String| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
            .collect()
    };
    named.iter().map(name).collect()
}

fn assert_never(room: &str, forbidden: &[&str]) {
    for (of, path, text) in files() {
        if of != room {
            continue;
        }
        for named in rooms_named(&text) {
            assert!(
                !forbidden.contains(&named.as_str()),
                "{} names crate::{named}",
                path.display()
            );
        }
    }
}

const ROOMS: &[&str] = &[
    "admin",
    "app",
    "cli",
    "config",
    "http",
    "media",
    "page",
    "script",
    "session",
    "simulator",
    "store",
    "telemetry",
    "watch",
    "webhook",
];

fn all_but(allowed: &[&str]) -> Vec<&'static str> {
    ROOMS.iter().copied().filter(|room| !allowed.contains(room)).collect()
}

#[test]
fn the_vocabulary_and_the_configuration_import_no_room() {
    assert_never("event", ROOMS);
    assert_never("action", ROOMS);
    assert_never("config", &all_but(&["config"]));
}

#[test]
fn the_files_of_messages_know_the_configuration_alone() {
    assert_never("media", &all_but(&["media", "config"]));
}

#[test]
fn scripts_reach_the_rest_through_their_host_only() {
    assert_never(
        "script",
        &["media", "page", "session", "admin", "app", "cli", "simulator"],
    );
}

#[test]
fn pages_and_sessions_know_neither_scripts_nor_webhooks() {
    for room in ["page", "session"] {
        assert_never(room, &["script", "webhook", "admin", "app", "cli", "simulator"]);
    }
}

#[test]
fn the_simulator_and_the_host_do_not_know_each_other() {
    assert_never("simulator", &all_but(&["simulator"]));
    for room in all_but(&["simulator", "cli", "app"]) {
        assert_never(room, &["simulator"]);
    }
}

#[test]
fn one_room_each_knows_sled_chromiumoxide_and_mlua() {
    for (crate_name, home) in [
        ("sled", "store"),
        ("chromiumoxide", "page"),
        ("mlua", "script"),
        ("reqwest", "http"),
    ] {
        for (room, path, text) in files() {
            let names = code(&text).contains(&format!("{crate_name}::"));
            assert!(!names || room == home, "{} names {crate_name}", path.display());
        }
    }
}

/// The one client is guarded; another one would reach what it must not.
#[test]
fn nobody_can_build_an_outbound_client_of_their_own() {
    let rules = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml")).unwrap();
    for way in [
        "reqwest::Client::new",
        "reqwest::Client::builder",
        "reqwest::ClientBuilder::new",
        "reqwest::get",
    ] {
        assert!(
            rules.contains(&format!("path = \"{way}\"")),
            "clippy.toml permits {way}"
        );
    }
    for (room, path, text) in files() {
        let code = code(&text);
        // The admin's is for the control socket alone.
        let builds = ["reqwest::", "client::legacy", "client::conn"]
            .iter()
            .any(|name| code.contains(name));
        assert!(
            !builds || room == "http" || room == "admin",
            "{} builds a client",
            path.display()
        );
    }
}

#[test]
fn the_environment_is_read_by_config_and_cli_only() {
    for (room, path, text) in files() {
        let reads = code(&text).contains("env::var");
        assert!(
            !reads || room == "config" || room == "cli",
            "{} reads the environment",
            path.display()
        );
    }
}

#[test]
fn only_the_program_itself_uses_anyhow() {
    for (room, path, text) in files() {
        let uses = code(&text).contains("anyhow");
        assert!(
            !uses || room == "main" || room == "cli",
            "{} uses anyhow",
            path.display()
        );
    }
}

#[test]
fn every_file_says_what_it_is_and_none_is_shapeless() {
    for (_, path, text) in files() {
        assert!(
            text.starts_with("//!"),
            "{} does not open with what it is",
            path.display()
        );
        let lines = text.lines().count();
        let excused = text.lines().take(12).any(|line| line.contains("one file because"));
        assert!(
            lines <= 400 || excused,
            "{} has {lines} lines and does not say why",
            path.display()
        );
    }
}

/// The targets of a document's links that are files of ours.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
}

#[test]
fn every_link_between_the_documents_leads_to_a_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let pages = pages.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    let mut count = 0;
    for page in pages.chain([root.join("README.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        for target in links(&text) {
            count += 1;
            let leads_to = page.parent().unwrap().join(target);
            assert!(
                leads_to.exists(),
                "{} links to {target}, which is not there",
                page.display()
            );
        }
    }
    assert!(count > 5, "the links were not found");
}
