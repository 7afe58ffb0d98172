//! The files that `wharf check` and `wharf test` look at.
//!
//! In: paths from the command line, or the folders of the configuration. Out: scripts, plugins' main files and test files,
//! in order of name. Must not load anything.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::config::resolved::Scripts;

use super::folder::{self, Found};
use super::generation::LoadError;
use super::host::Plan;
use super::vm::Limits;

pub(crate) use super::folder::shown;

/// Files found, and paths that do not exist.
type Listed = (Vec<PathBuf>, Vec<PathBuf>);

/// The scripts and plugins' main files in `paths`.
pub(crate) fn scripts(paths: &[PathBuf], config: &Scripts) -> Listed {
    list(paths, config, |name, in_plugin| {
        if in_plugin {
            name == "main.lua"
        } else {
            folder::script_stem(name).is_some()
        }
    })
}

/// The test files in `paths`.
pub(crate) fn tests(paths: &[PathBuf], config: &Scripts) -> Listed {
    list(paths, config, |name, _| {
        name.ends_with("_test.lua") && !name.starts_with('.')
    })
}

fn list(paths: &[PathBuf], config: &Scripts, wanted: impl Fn(&str, bool) -> bool) -> Listed {
    let usual = [config.dir.clone(), config.plugins.clone()];
    // A folder of the configuration that is not there yet is no mistake; a path that was asked for is.
    let (paths, asked) = if paths.is_empty() {
        (usual.as_slice(), false)
    } else {
        (paths, true)
    };
    let (mut files, mut missing) = (Vec::new(), Vec::new());
    for path in paths {
        if path.is_dir() {
            walk(path, &wanted, &mut files);
        } else if path.is_file() {
            files.push(path.clone());
        } else if asked {
            missing.push(path.clone());
        }
    }
    (files, missing)
}

/// A folder of scripts, of plugins, or one plugin.
fn walk(dir: &Path, wanted: &impl Fn(&str, bool) -> bool, files: &mut Vec<PathBuf>) {
    let in_plugin = dir.join("plugin.toml").is_file();
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if path.join("plugin.toml").is_file() {
            walk(&path, wanted, files);
        } else if path.is_file() && wanted(&name, in_plugin) {
            files.push(path);
        }
    }
}

/// How a file would be loaded; `given` answers its table of the configuration: of `[plugins.NAME]` if the first argument is
/// true, else of `[script.NAME]`.
///
/// # Errors
/// What is wrong with its manifest or its settings.
pub(crate) fn plan(
    file: &Path,
    limits: &Limits,
    given: impl Fn(bool, &str) -> Map<String, Value>,
) -> Result<Plan, LoadError> {
    let name_of = |path: Option<&Path>| {
        path.and_then(Path::file_stem)
            .map(|name| name.to_string_lossy().into_owned())
    };
    // A bare `main.lua` lies in the current folder, whose name is needed.
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let dir = file.parent().unwrap_or(Path::new("/"));
    let Found { plan, .. } = if dir.join("plugin.toml").is_file() {
        let name = dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let config = given(true, &name);
        folder::read_plugin(dir.parent().unwrap_or(dir), &name, limits, Some(&config))
    } else {
        let stem = name_of(Some(&file)).unwrap_or_default();
        let config = given(false, &stem);
        folder::read_script(dir, &stem, limits, Some(&config))
    };
    plan.map_err(|refused| LoadError {
        file: refused.file,
        line: refused.line,
        message: refused.message,
    })
}
