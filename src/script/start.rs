//! `wharf new`: a small script or plugin to begin with, and its test.
//!
//! In: a name, the folders of the configuration. Out: files that `wharf check` and `wharf test` pass. Must not overwrite anything.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::folder::is_name;

const SCRIPT: &str = include_str!("start/script.lua");
const SCRIPT_TEST: &str = include_str!("start/script_test.lua");
const MANIFEST: &str = include_str!("start/plugin.toml");
const MAIN: &str = include_str!("start/main.lua");
const MAIN_TEST: &str = include_str!("start/main_test.lua");

/// What is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A file in `scripts/`.
    Script,
    /// A folder in `plugins/`.
    Plugin,
}

/// Why nothing was begun.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name is none that a script can have.
    #[error("'{0}' is no name for a script: use 1 to 64 letters, digits, `_` and `-`, and no `_test` at the end")]
    Name(String),
    /// Something is there already.
    #[error("{0} is there already, and was left as it is")]
    There(PathBuf),
    /// The files cannot be written.
    #[error("{0} cannot be written: {1}")]
    Write(PathBuf, io::Error),
}

/// Writes the files of a script into `scripts`, or of a plugin into `plugins`; answers which.
///
/// # Errors
/// If the name is none, anything of that name is there, or the files cannot be written.
pub fn start(what: Start, name: &str, scripts: &Path, plugins: &Path) -> Result<Vec<PathBuf>, Error> {
    if !is_name(name) || name.ends_with("_test") {
        return Err(Error::Name(name.to_owned()));
    }
    let (script, plugin) = (scripts.join(format!("{name}.lua")), plugins.join(name));
    let script_test = scripts.join(format!("{name}_test.lua"));
    // A script and a plugin of one name would share their keys.
    for path in [&script, &script_test, &plugin] {
        if path.symlink_metadata().is_ok() {
            return Err(Error::There(path.clone()));
        }
    }
    let files = match what {
        Start::Script => vec![(script, SCRIPT), (script_test, SCRIPT_TEST)],
        Start::Plugin => vec![
            (plugin.join("plugin.toml"), MANIFEST),
            (plugin.join("main_test.lua"), MAIN_TEST),
            (plugin.join("main.lua"), MAIN),
        ],
    };
    let mut written = Vec::new();
    for (path, text) in files {
        write(&path, &text.replace("NAME", name)).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::There(path.clone()),
            _ => Error::Write(path.clone(), error),
        })?;
        written.push(path);
    }
    Ok(written)
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}
