//! Libraries: files that a script takes in by `require`, from its own folder only.
//!
//! In: a script's text and its folder. Out: the texts of all that it can require, read once and part of what is loaded, so that
//! a changed library is another version of the script. The paths are found in the text: `require` takes a literal. Must not
//! read anything outside of the folder, whatever a path or a link says.

use std::collections::BTreeMap;
use std::path::Path;

use super::folder::{read, shown};

/// Libraries of one script, and bytes of all of them.
const MAX_COUNT: usize = 64;
/// See [`MAX_COUNT`].
const MAX_BYTES: usize = 1024 * 1024;
/// Bytes of a path.
const MAX_PATH: usize = 200;

/// Libraries by path (`lib/x`); those that cannot be had with the reason.
pub(crate) type Libraries = BTreeMap<String, Result<Library, String>>;

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Library {
    /// The file as people see it: `scripts/lib/x.lua`.
    pub(crate) file: String,
    /// Its text.
    pub(crate) text: String,
}

/// Reads what a text requires, and what that requires. `apart`: files directly in the folder are scripts of their own.
pub(crate) fn gather(folder: &Path, text: &str, apart: bool) -> Libraries {
    let mut found = Libraries::new();
    let mut wanted = named(text);
    let mut bytes = 0;
    while let Some(name) = wanted.pop() {
        let Ok(path) = path_of(&name) else { continue };
        if found.contains_key(&path) {
            continue;
        }
        if found.len() == MAX_COUNT {
            found.insert(path, Err(format!("more than {MAX_COUNT} libraries")));
            break;
        }
        let library = open(folder, &path, apart).and_then(|library| {
            bytes += library.text.len();
            match bytes > MAX_BYTES {
                true => Err(format!("all libraries have more than {MAX_BYTES} bytes")),
                false => Ok(library),
            }
        });
        if let Ok(library) = &library {
            wanted.extend(named(&library.text));
        }
        found.insert(path, library);
    }
    found
}

fn open(folder: &Path, path: &str, apart: bool) -> Result<Library, String> {
    if apart && !path.contains('/') {
        return Err(format!(
            "'{path}.lua' is a script of its own; what scripts share lies in a folder below, as in \"./lib/{path}\""
        ));
    }
    if let Some(of) = path.strip_suffix("/*") {
        return all_of(folder, of);
    }
    let file = folder.join(format!("{path}.lua"));
    let name = format!("{}/{path}.lua", shown_folder(folder));
    let says = |error: std::io::Error| format!("{name} cannot be read: {error}");
    let (real, root) = (file.canonicalize().map_err(says)?, folder.canonicalize().map_err(says)?);
    if !real.starts_with(&root) {
        return Err(format!("{name} leads out of the script's folder"));
    }
    let text = read(&real).map_err(says)?;
    Ok(Library { file: name, text })
}

/// The library that is all files of a folder: a table of what each returns, by its name.
fn all_of(folder: &Path, of: &str) -> Result<Library, String> {
    let file = format!("{}/{of}/*", shown_folder(folder));
    let says = |error: std::io::Error| format!("{file} cannot be read: {error}");
    let (real, root) = (
        folder.join(of).canonicalize().map_err(says)?,
        folder.canonicalize().map_err(says)?,
    );
    if !real.starts_with(&root) {
        return Err(format!("{file} leads out of the script's folder"));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(real).map_err(says)? {
        let name = entry.map_err(says)?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".lua"));
        names.extend(stem.filter(|stem| is_plain(stem)).map(str::to_owned));
    }
    names.sort();
    let lines: Vec<String> = names
        .iter()
        .map(|name| format!("  [\"{name}\"] = require(\"./{of}/{name}\"),\n"))
        .collect();
    let text = format!("return {{\n{}}}\n", lines.concat());
    Ok(Library { file, text })
}

/// Whether it can be a part of a path.
fn is_plain(part: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    !part.is_empty() && part.bytes().all(letter)
}

/// The folder as it is shown before a library: `scripts`, `plugins/router`.
fn shown_folder(folder: &Path) -> String {
    let main = shown(&folder.join("main.lua"));
    let is_plugin = folder.join("plugin.toml").is_file();
    let parts: Vec<&str> = main.split('/').collect();
    let keep = if is_plugin { 3 } else { 2 };
    let from = parts.len().saturating_sub(keep);
    let until = parts.len().saturating_sub(1);
    parts.get(from..until).unwrap_or_default().join("/")
}

/// The path of a library in the script's folder: `./lib/x` is `lib/x`. `./lib/*` is all files of a folder.
///
/// # Errors
/// A sentence, if it is no such path.
pub(crate) fn path_of(name: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "'{}' is not a path below the script's own folder, as in \"./lib/menu\" (letters, digits, `_` and `-`, without .lua)",
            name.chars().take(MAX_PATH).collect::<String>()
        )
    };
    let path = name.strip_prefix("./").ok_or_else(wrong)?;
    let named = path.strip_suffix("/*").unwrap_or(path);
    if path.len() > MAX_PATH || !named.split('/').all(is_plain) {
        return Err(wrong());
    }
    Ok(path.to_owned())
}

/// The literals after each `require` in a text, also in comments: what is not there does no harm until it is called.
fn named(text: &str) -> Vec<String> {
    let calls = text.split("require").skip(1);
    let literals = calls.filter_map(|after| {
        let after = after.trim_start();
        let after = after.strip_prefix('(').unwrap_or(after).trim_start();
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (literal, _) = after.strip_prefix(quote)?.split_once(quote)?;
        Some(literal.to_owned())
    });
    literals.filter(|literal| literal.len() <= MAX_PATH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = folder.path().join("scripts").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        folder
    }

    #[test]
    fn what_a_library_requires_is_read_as_well() {
        let home = folder(&[
            ("lib/a.lua", "return require './lib/deep/b'"),
            ("lib/deep/b.lua", "return require(\"./lib/a\")"),
            ("lib/c.lua", "return 1"),
        ]);
        let found = gather(&home.path().join("scripts"), "local a = require( \"./lib/a\" )", true);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["lib/a", "lib/deep/b"]);
        assert_eq!(found["lib/a"].as_ref().unwrap().file, "scripts/lib/a.lua");
    }

    #[test]
    fn all_files_of_a_folder_are_a_table_by_their_names() {
        let home = folder(&[
            ("forms/b.lua", "return 2"),
            ("forms/a-1.lua", "return 1"),
            ("forms/notes.txt", "no"),
            ("forms/no.such.lua", "no"),
        ]);
        let found = gather(&home.path().join("scripts"), "require('./forms/*')", true);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["forms/*", "forms/a-1", "forms/b"]);
        let all = found["forms/*"].as_ref().unwrap();
        assert_eq!(all.file, "scripts/forms/*");
        assert_eq!(
            all.text,
            "return {\n  [\"a-1\"] = require(\"./forms/a-1\"),\n  [\"b\"] = require(\"./forms/b\"),\n}\n"
        );
        std::os::unix::fs::symlink("/", home.path().join("scripts/up")).unwrap();
        let text = "require('./up/*') require('./none/*')";
        for (path, library) in gather(&home.path().join("scripts"), text, true) {
            assert!(library.is_err(), "{path}");
        }
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_folder() {
        for name in [
            "../x",
            "./../x",
            "./lib/../../x",
            "/etc/passwd",
            "lib/x",
            "./lib//x",
            "./",
            "./lib/x.lua",
            "./lib/\0",
            "./*",
            "./*/x",
            "./lib/*/x",
            "./lib/x*",
            "~/x",
        ] {
            assert!(path_of(name).is_err(), "{name}");
        }
        let home = folder(&[("bot.lua", "return 1"), ("lib/fine.lua", "return 1")]);
        std::fs::write(home.path().join("outside.lua"), "return 'secret'").unwrap();
        let scripts = home.path().join("scripts");
        std::os::unix::fs::symlink(home.path().join("outside.lua"), scripts.join("lib/link.lua")).unwrap();
        std::os::unix::fs::symlink(home.path(), scripts.join("up")).unwrap();
        let text = "require('./lib/link') require('./up/outside') require('./bot') require('./lib/none') require('./lib/fine')";
        let found = gather(&scripts, text, true);
        let reason = |path: &str| found[path].as_ref().unwrap_err().clone();
        assert_eq!(
            reason("lib/link"),
            "scripts/lib/link.lua leads out of the script's folder"
        );
        assert_eq!(
            reason("up/outside"),
            "scripts/up/outside.lua leads out of the script's folder"
        );
        assert!(
            reason("bot").contains("'bot.lua' is a script of its own"),
            "{}",
            reason("bot")
        );
        assert!(
            reason("lib/none").starts_with("scripts/lib/none.lua cannot be read"),
            "{}",
            reason("lib/none")
        );
        assert!(found["lib/fine"].is_ok());
        assert!(
            gather(&scripts, "require('./bot')", false)["bot"].is_ok(),
            "in a plugin it is a file like others"
        );
    }
}
