//! What lies in `scripts/` and `plugins/`: which files are scripts, and under which terms each would be loaded.
//!
//! In: the folders and the configuration. Out: a [`Plan`] or a [`Problem`] for each name. Must not load anything.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::config::Config;

use super::generation::{MAX_SOURCE, Source};
use super::host::Plan;
use super::manifest::{Manifest, Permissions};
use super::slot::Origins;
use super::views::Problem;
use super::vm::Limits;

/// The end of the names of files with tests, which are not scripts.
const TEST_END: &str = "_test";

/// A script that should be in force, or why it cannot be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Where it comes from.
    pub(crate) origin: Origins,
    /// What to load, or where the mistake is.
    pub(crate) plan: Result<Plan, (String, Option<u32>, String)>,
}

impl Found {
    fn refused(origin: Origins, file: String, line: Option<u32>, message: String) -> Self {
        Self {
            origin,
            plan: Err((file, line, message)),
        }
    }

    /// The mistake, to be shown.
    pub(crate) fn problem(refused: &(String, Option<u32>, String)) -> Problem {
        Problem::new(&refused.0, refused.1, refused.2.clone())
    }
}

/// Looks at everything. Blocks.
pub(crate) fn look(config: &Config) -> BTreeMap<String, Found> {
    let host = Limits::of(&config.scripts);
    let mut found = BTreeMap::new();
    for stem in stems(&config.scripts.dir) {
        let script = read_script(&config.scripts.dir, &stem, &host, config.script.get(&stem));
        found.insert(stem, script);
    }
    for name in &config.scripts.enabled {
        let given = config.plugins.get(name);
        let plugin = read_plugin(&config.scripts.plugins, name, &host, given);
        if found.contains_key(name) {
            // The names would share a position and a kv space.
            tracing::warn!(target: "wharf::script", "plugins/{name} is not loaded: scripts/{name}.lua has the same name");
            continue;
        }
        found.insert(name.clone(), plugin);
    }
    found
}

/// The names of the scripts in a folder; none if it cannot be read.
fn stems(dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut stems: Vec<String> = names.filter_map(|name| script_stem(&name).map(str::to_owned)).collect();
    stems.sort();
    stems
}

/// The name of the script in a file of this name; `None` for what is no script: tests, editors' own files.
pub(crate) fn script_stem(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(".lua")?;
    (!stem.is_empty() && !stem.starts_with('.') && !stem.ends_with(TEST_END)).then_some(stem)
}

/// Whether a name can be a script's: it is part of keys and of lines of the log.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-')
}

pub(crate) fn read_script(dir: &Path, stem: &str, host: &Limits, given: Option<&Map<String, Value>>) -> Found {
    let path = dir.join(format!("{stem}.lua"));
    let file = shown(&path);
    if !is_name(stem) {
        let message = "a script's name has 1 to 64 letters, digits, `_` and `-`".to_owned();
        return Found::refused(Origins::Script, file, None, message);
    }
    let text = match read(&path) {
        Ok(text) => text,
        Err(message) => return Found::refused(Origins::Script, file, None, message),
    };
    let plan = Plan {
        source: Source {
            name: stem.to_owned(),
            file,
            text,
        },
        limits: host.clone(),
        config: given.cloned().unwrap_or_default(),
        permissions: Permissions::All,
    };
    Found {
        origin: Origins::Script,
        plan: Ok(plan),
    }
}

pub(crate) fn read_plugin(dir: &Path, name: &str, host: &Limits, given: Option<&Map<String, Value>>) -> Found {
    let (manifest_path, main) = (dir.join(name).join("plugin.toml"), dir.join(name).join("main.lua"));
    let manifest_file = shown(&manifest_path);
    let refused = |file: String, line, message| Found::refused(Origins::Plugin, file, line, message);
    if !is_name(name) {
        let message = "a plugin's name has 1 to 64 letters, digits, `_` and `-`".to_owned();
        return refused(manifest_file, None, message);
    }
    let text = match read(&manifest_path) {
        Ok(text) => text,
        Err(message) => return refused(manifest_file, None, message),
    };
    let manifest = match Manifest::parse(&text, name) {
        Ok(manifest) => manifest,
        Err(error) => return refused(manifest_file, error.line, error.message),
    };
    let config = match manifest.configure(name, given.unwrap_or(&Map::new())) {
        Ok(config) => config,
        Err(message) => return refused("config.toml".to_owned(), None, message),
    };
    let text = match read(&main) {
        Ok(text) => text,
        Err(message) => return refused(shown(&main), None, message),
    };
    let plan = Plan {
        source: Source {
            name: name.to_owned(),
            file: shown(&main),
            text,
        },
        limits: manifest.limits(host),
        config,
        permissions: manifest.permissions,
    };
    Found {
        origin: Origins::Plugin,
        plan: Ok(plan),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path)
        .map_err(|error| format!("cannot be read: {error}"))?
        .len();
    if size > MAX_SOURCE as u64 {
        return Err(format!("it has {size} bytes; at most {MAX_SOURCE} are allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// The last two or three parts of a path, as people say it: `scripts/bot.lua`, `plugins/router/main.lua`.
pub(crate) fn shown(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let is_plugin = parts
        .last()
        .is_some_and(|file| file == "main.lua" || file == "plugin.toml");
    let keep = if is_plugin { 3 } else { 2 };
    parts
        .get(parts.len().saturating_sub(keep)..)
        .unwrap_or_default()
        .join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_leave_behind_is_no_script() {
        assert_eq!(script_stem("bot.lua"), Some("bot"));
        for name in [
            "bot_test.lua",
            ".bot.lua",
            "bot.lua~",
            ".bot.lua.swp",
            "bot.lua.swp",
            "4913",
            ".lua",
            "bot.txt",
        ] {
            assert_eq!(script_stem(name), None, "{name}");
        }
    }

    #[test]
    fn files_are_shown_as_people_say_them() {
        assert_eq!(shown(Path::new("/etc/wharf/scripts/bot.lua")), "scripts/bot.lua");
        assert_eq!(
            shown(Path::new("/etc/wharf/plugins/router/main.lua")),
            "plugins/router/main.lua"
        );
        assert_eq!(shown(Path::new("bot.lua")), "bot.lua");
    }
}
