//! `plugins.lock`: which plugins were added, and what was in their folders then.
//!
//! In: the plugins' folder. Out: for each plugin what was accepted, and how what lies there differs from it. It guards against
//! what nobody looked at, not against whoever can write the file itself. Must not ask anybody, and must not load anything.

use std::collections::BTreeMap;
use std::fs::{DirEntry, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The file, in the folder of the plugins.
pub(crate) const FILE: &str = "plugins.lock";
/// What stands at its top.
const HEAD: &str =
    "# Which plugins may run, and what was in their folders when that was said. Written by `wharf plugin`.\n";
/// Files of one plugin.
const MAX_FILES: usize = 1000;
/// Bytes of all files of one plugin.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of the file itself.
const MAX_LOCK: u64 = 4 * 1024 * 1024;
/// Folders within one another.
const MAX_DEPTH: usize = 8;
/// Files that are named when a plugin changed.
const NAMED: usize = 5;

/// What was accepted of one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Pin {
    /// Whatever is in its folder: it is the owner's own, and edited while it runs.
    Own {
        /// Always true.
        own: True,
    },
    /// This content.
    Content {
        /// Of all of it.
        sha256: String,
        /// Of each file.
        files: BTreeMap<String, String>,
    },
}

/// `true`, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub(crate) struct True;

impl TryFrom<bool> for True {
    type Error = &'static str;

    fn try_from(value: bool) -> Result<Self, Self::Error> {
        value.then_some(True).ok_or("`own` is true, or not there")
    }
}

impl From<True> for bool {
    fn from(_: True) -> Self {
        true
    }
}

impl Pin {
    /// The owner's own.
    pub(crate) const OWN: Pin = Pin::Own { own: True };

    /// This content.
    pub(crate) fn of(content: &Content) -> Self {
        Pin::Content {
            sha256: content.sum(),
            files: content.0.clone(),
        }
    }

    /// In which files `content` is not what was accepted; nothing if it is.
    pub(crate) fn changes(&self, content: &Content) -> Vec<String> {
        let Pin::Content { sha256, files } = self else {
            return Vec::new();
        };
        if *sha256 == content.sum() {
            return Vec::new();
        }
        let there = content.0.iter().filter_map(|(name, sum)| match files.get(name) {
            None => Some(format!("{name} (new)")),
            Some(known) => (known != sum).then(|| name.clone()),
        });
        let gone = files.keys().filter(|name| !content.0.contains_key(*name));
        let changes: Vec<String> = there.chain(gone.map(|name| format!("{name} (gone)"))).collect();
        match changes.is_empty() {
            // Somebody wrote another sum into the file.
            true => vec![FILE.to_owned()],
            false => changes,
        }
    }
}

/// The files of a plugin: their paths in its folder, and the sums of what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content(BTreeMap<String, String>);

impl Content {
    /// Reads a plugin's folder. Blocks.
    ///
    /// # Errors
    /// A sentence: it cannot be read, holds a link, or is too large.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let mut reading = Reading::default();
        reading.folder(folder, "", 0)?;
        Ok(Self(reading.files))
    }

    /// The paths, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The sum of all: of each path and of what is in it, in order of the paths.
    fn sum(&self) -> String {
        let mut all = Sha256::new();
        for (name, sum) in &self.0 {
            // A path has no zero, and a sum is always as long.
            all.update(name.as_bytes());
            all.update([0]);
            all.update(sum.as_bytes());
        }
        hex(&all.finalize())
    }
}

#[derive(Default)]
struct Reading {
    files: BTreeMap<String, String>,
    bytes: u64,
}

impl Reading {
    fn folder(&mut self, folder: &Path, under: &str, depth: usize) -> Result<(), String> {
        let says = |error: io::Error| format!("{} cannot be read: {error}", folder.display());
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} folders lie within one another"));
        }
        for entry in std::fs::read_dir(folder).map_err(says)? {
            let entry = entry.map_err(says)?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(format!("{} holds a file whose name is not text", folder.display()));
            };
            if is_left_behind(&name) {
                continue;
            }
            if name.chars().any(char::is_control) {
                return Err(format!("{} holds a file with an unprintable name", folder.display()));
            }
            let path = match under {
                "" => name,
                under => format!("{under}/{name}"),
            };
            self.entry(&entry, path, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, path: String, depth: usize) -> Result<(), String> {
        let says = |error: io::Error| format!("{path} cannot be read: {error}");
        let kind = entry.file_type().map_err(says)?;
        if kind.is_dir() {
            return self.folder(&entry.path(), &path, depth + 1);
        }
        if !kind.is_file() {
            return Err(format!("{path} is neither a file nor a folder; links are not followed"));
        }
        self.bytes += entry.metadata().map_err(says)?.len();
        if self.files.len() == MAX_FILES || self.bytes > MAX_BYTES {
            return Err(format!(
                "it has more than {MAX_FILES} files, or more than {MAX_BYTES} bytes"
            ));
        }
        let mut bytes = Vec::new();
        let file = File::open(entry.path()).map_err(says)?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(says)?;
        self.files.insert(path, hex(&Sha256::digest(&bytes)));
        Ok(())
    }
}

/// Whether a file is none of the plugin's: hidden, or left behind by an editor.
fn is_left_behind(name: &str) -> bool {
    let ends = [".swp", ".swo", ".swx", ".tmp", ".orig", ".bak"];
    name.starts_with('.')
        || name.starts_with('#')
        || name.ends_with('~')
        || name == "4913"
        || ends.iter().any(|end| name.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What was accepted of all plugins, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Pins(pub(crate) BTreeMap<String, Pin>);

impl Pins {
    /// Reads the file in the folder of the plugins; nothing was accepted if it is not there. Blocks.
    ///
    /// # Errors
    /// A sentence, if it cannot be read.
    pub(crate) fn read(plugins: &Path) -> Result<Self, String> {
        let path = plugins.join(FILE);
        let says = |error: io::Error| format!("cannot be read: {error}");
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            file => file.map_err(says)?,
        };
        let text = io::read_to_string(file.take(MAX_LOCK)).map_err(says)?;
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.get(..span.start).unwrap_or_default().matches('\n').count()
            });
            format!("line {}: {}", line + 1, error.message())
        })
    }

    /// Writes it, whole or not at all. Blocks.
    ///
    /// # Errors
    /// As the system says.
    pub(crate) fn write(&self, plugins: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        let new = plugins.join(format!(".{FILE}.{}", std::process::id()));
        let mut file = File::create(&new)?;
        file.write_all(HEAD.as_bytes())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, plugins.join(FILE))?;
        File::open(plugins)?.sync_all()
    }
}

/// `main.lua, lib/x.lua (new)`, of a few.
pub(crate) fn named(changes: &[String]) -> String {
    let some: Vec<&str> = changes.iter().take(NAMED).map(String::as_str).collect();
    match changes.len().saturating_sub(NAMED) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_change_of_any_file_is_found_and_named() {
        let there = folder(&[("main.lua", "a"), ("lib/x.lua", "b"), ("plugin.toml", "c")]);
        let pin = Pin::of(&Content::read(there.path()).unwrap());
        assert!(pin.changes(&Content::read(there.path()).unwrap()).is_empty());
        std::fs::write(there.path().join("main.lua"), "changed").unwrap();
        std::fs::remove_file(there.path().join("lib/x.lua")).unwrap();
        std::fs::write(there.path().join("lib/y.lua"), "b").unwrap();
        let changes = pin.changes(&Content::read(there.path()).unwrap());
        assert_eq!(changes, ["lib/y.lua (new)", "main.lua", "lib/x.lua (gone)"]);
        assert!(Pin::OWN.changes(&Content::read(there.path()).unwrap()).is_empty());
    }

    #[test]
    fn hidden_files_and_what_editors_leave_behind_do_not_count() {
        let there = folder(&[("main.lua", "a")]);
        let before = Content::read(there.path()).unwrap();
        for name in [
            ".git/HEAD",
            "main.lua~",
            ".main.lua.swp",
            "4913",
            "#main.lua#",
            "main.lua.orig",
        ] {
            let file = there.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, "x").unwrap();
        }
        assert_eq!(Content::read(there.path()).unwrap(), before);
        std::os::unix::fs::symlink("/etc/passwd", there.path().join("link")).unwrap();
        let refused = Content::read(there.path()).unwrap_err();
        assert_eq!(refused, "link is neither a file nor a folder; links are not followed");
    }

    #[test]
    fn what_was_accepted_is_read_back_and_a_mistake_in_the_file_is_told_with_its_line() {
        let there = folder(&[("greeter/main.lua", "a")]);
        let content = Content::read(&there.path().join("greeter")).unwrap();
        let pins = Pins([("greeter".into(), Pin::of(&content)), ("mine".into(), Pin::OWN)].into());
        pins.write(there.path()).unwrap();
        assert_eq!(Pins::read(there.path()).unwrap(), pins);
        std::fs::write(there.path().join(FILE), "\n[greeter]\nown = false\n").unwrap();
        let refused = Pins::read(there.path()).unwrap_err();
        assert!(refused.starts_with("line 2: "), "{refused}");
        assert_eq!(Pins::read(&there.path().join("greeter")).unwrap(), Pins::default());
    }
}
