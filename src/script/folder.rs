//! What lies in `scripts/` and `plugins/`: which files are scripts, and under which terms each would be loaded.
//!
//! In: the folders, what was accepted of the plugins, and the configuration. Out: a [`Plan`] or a [`Problem`] for each name.
//! Must not load anything.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::{Map, Value};

use crate::config::Config;

use super::generation::{MAX_SOURCE, Source};
use super::host::Plan;
use super::library::gather;
use super::manifest::Manifest;
use super::permissions::Permissions;
use super::pins::{self, Content, Pin, Pins};
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
    pub(crate) plan: Result<Plan, Refused>,
}

/// A mistake in a file, or of the system with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The file, as shown.
    pub(crate) file: String,
    /// The line in it, if one is known.
    pub(crate) line: Option<u32>,
    /// What is wrong.
    pub(crate) message: String,
    /// The file is there but cannot be read, for now perhaps: what it says is not known.
    pub(crate) unread: bool,
    /// It may not run at all: what is in force of it must go.
    pub(crate) out: bool,
}

impl Refused {
    /// The mistake, to be shown.
    pub(crate) fn problem(&self) -> Problem {
        Problem::new(&self.file, self.line, self.message.clone())
    }
}

impl Found {
    fn refused(origin: Origins, file: String, line: Option<u32>, message: String) -> Self {
        Self {
            origin,
            plan: Err(Refused {
                file,
                line,
                message,
                unread: false,
                out: false,
            }),
        }
    }

    fn unread(origin: Origins, path: &Path, error: &io::Error) -> Self {
        Self {
            origin,
            plan: Err(Refused {
                file: shown(path),
                line: None,
                message: format!("cannot be read: {error}"),
                // One that is not there is no riddle.
                unread: error.kind() != io::ErrorKind::NotFound,
                out: false,
            }),
        }
    }
}

/// All that lies there.
pub(crate) struct Looked {
    /// By name.
    pub(crate) found: BTreeMap<String, Found>,
    /// Why the folder of scripts cannot be read, if it is there and cannot: which scripts are in it is not known then.
    pub(crate) unread: Option<io::Error>,
}

/// Looks at everything. Blocks.
pub(crate) fn look(config: &Config) -> Looked {
    let host = Limits::of(&config.scripts);
    let mut found = BTreeMap::new();
    let (stems, unread) = match stems(&config.scripts.dir) {
        Ok(stems) => (stems, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    for stem in stems {
        let script = read_script(&config.scripts.dir, &stem, &host, config.script.get(&stem));
        found.insert(stem, script);
    }
    let pins = Pins::read(&config.scripts.plugins);
    for name in &config.scripts.enabled {
        let given = config.plugins.get(name);
        let plugin = accepted(&pins, &config.scripts.plugins, name, || {
            read_plugin(&config.scripts.plugins, name, &host, given)
        });
        if found.contains_key(name) {
            // The names would share a position and a kv space. Shown under a name that no script can have.
            let file = shown(&config.scripts.plugins.join(name).join("main.lua"));
            let message = format!("it is not loaded: there is a script of the same name, scripts/{name}.lua");
            let clash = Found::refused(Origins::Plugin, file, None, message);
            found.insert(format!("plugins/{name}"), clash);
            continue;
        }
        found.insert(name.clone(), plugin);
    }
    Looked { found, unread }
}

/// What `read` finds of a plugin, if it was accepted and is what was accepted.
fn accepted(pins: &Result<Pins, String>, dir: &Path, name: &str, read: impl Fn() -> Found) -> Found {
    let folder = dir.join(name);
    let refuse = |message: String| Found::refused(Origins::Plugin, shown(&folder), None, message);
    let pins = match pins {
        Ok(pins) => pins,
        Err(error) => {
            let message = format!("it is not known what was accepted: {error}");
            return Found::refused(Origins::Plugin, shown(&dir.join(pins::FILE)), None, message);
        }
    };
    let command = format!("`wharf plugin add {}`", shown(&folder));
    let pin = match pins.0.get(name) {
        Some(Pin::Own { .. }) => return read(),
        Some(pin) => pin,
        None => {
            let mut found = read();
            if found.plan.is_ok() {
                found = refuse(format!(
                    "it was not added: run {command} to see what it may do and let it run"
                ));
            }
            if let Err(refused) = &mut found.plan {
                refused.out = true;
            }
            return found;
        }
    };
    let before = Content::read(&folder);
    let found = read();
    if found.plan.is_err() {
        return found;
    }
    let mut found = match (before, Content::read(&folder)) {
        (Ok(before), Ok(after)) if before == after => match pin.changes(&after) {
            changes if changes.is_empty() => return found,
            changes => {
                let changes = pins::named(&changes);
                return refuse(format!(
                    "changed since it was added: {changes}; run {command} to look at it and accept it"
                ));
            }
        },
        (Ok(_), Ok(_)) => refuse("it changes while it is read".to_owned()),
        (Err(error), _) | (_, Err(error)) => refuse(error),
    };
    if let Err(refused) = &mut found.plan {
        // Perhaps for now only.
        refused.unread = true;
    }
    found
}

/// The names of the scripts in a folder; none if it is not there.
fn stems(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut stems = Vec::new();
    for entry in entries {
        let name = entry?.file_name().into_string();
        stems.extend(name.ok().as_deref().and_then(script_stem).map(str::to_owned));
    }
    stems.sort();
    Ok(stems)
}

/// The name of the script in a file of this name; `None` for what is no script: tests, editors' own files.
pub(crate) fn script_stem(file: &str) -> Option<&str> {
    let stem = file.strip_suffix(".lua")?;
    (!stem.is_empty() && !stem.starts_with('.') && !stem.ends_with(TEST_END)).then_some(stem)
}

/// Whether a name can be a script's: it is part of keys and of lines of the log.
pub(crate) fn is_name(name: &str) -> bool {
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
        Err(error) => return Found::unread(Origins::Script, &path, &error),
    };
    let plan = Plan {
        source: Source {
            name: stem.to_owned(),
            file,
            libraries: gather(dir, &text, true),
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
        Err(error) => return Found::unread(Origins::Plugin, &manifest_path, &error),
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
        Err(error) => return Found::unread(Origins::Plugin, &main, &error),
    };
    let plan = Plan {
        source: Source {
            name: name.to_owned(),
            file: shown(&main),
            libraries: gather(&dir.join(name), &text, false),
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

/// The text of a file of at most [`MAX_SOURCE`] bytes. A pipe or a device is refused, and not waited for.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let wrong = |message: String| io::Error::new(io::ErrorKind::NotFound, message);
    // Opening a pipe waits for whoever writes into it.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(wrong("it is not a plain file".to_owned()));
    }
    let mut text = Vec::new();
    file.take(MAX_SOURCE as u64 + 1).read_to_end(&mut text)?;
    if text.len() > MAX_SOURCE {
        return Err(wrong(format!("it has more than {MAX_SOURCE} bytes")));
    }
    String::from_utf8(text).map_err(|_| wrong("it is not valid UTF-8".to_owned()))
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
