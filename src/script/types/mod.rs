//! `wharf types`: files by which an editor knows the API.
//!
//! In: the rows of the API, the events with their fields. Out: `wharf.d.lua` for language servers that read LuaCATS (`cats`),
//! `wharf.d.luau` for those of Luau (`luau`), and a `.luarc.json` that names the former. Must not overwrite what a person wrote,
//! and says nothing that a table of the program does not.

mod cats;
mod luau;
mod vocabulary;

use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The folder within the folder of scripts. No script: its name begins with a dot, and folders are not looked into.
const FOLDER: &str = ".types";

/// Symbols of Luau that other versions of Lua do not have, as lua-language-server names them.
const SYMBOLS: &[&str] = &["`", "+=", "-=", "*=", "/=", "%=", "^=", "//=", "//", "continue"];

/// Why the files were not written.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be written: {source}")]
pub struct Error {
    path: PathBuf,
    source: io::Error,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// The files that are new or made anew.
    pub files: Vec<PathBuf>,
    /// A `.luarc.json` that somebody else wrote or changed, which was left as it is; and what belongs into it.
    pub left: Option<(PathBuf, String)>,
}

/// Writes the files: types into `scripts`, `.luarc.json` into `root`, which editors open.
///
/// # Errors
/// If a file cannot be written.
pub fn write(root: &Path, scripts: &Path) -> Result<Written, Error> {
    let folder = scripts.join(FOLDER);
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| Error { path, source }
    };
    std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let mut files = Vec::new();
    for (name, text) in [("wharf.d.lua", cats::file()), ("wharf.d.luau", luau::file())] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(failed(&path))?;
        files.push(path);
    }
    let (luarc, seal) = (root.join(".luarc.json"), folder.join("luarc.sha256"));
    let library = folder.strip_prefix(root).unwrap_or(&folder);
    let text = settings(library);
    if is_ours(&luarc, &seal, &text) {
        std::fs::write(&luarc, &text).map_err(failed(&luarc))?;
        std::fs::write(&seal, digest(text.as_bytes())).map_err(failed(&seal))?;
        files.push(luarc);
        return Ok(Written { files, left: None });
    }
    Ok(Written {
        files,
        left: Some((luarc, text)),
    })
}

fn settings(library: &Path) -> String {
    let settings = json!({
        "runtime.version": "Lua 5.1",
        "runtime.nonstandardSymbol": SYMBOLS,
        "workspace.library": [library.display().to_string()],
    });
    let text = serde_json::to_string_pretty(&settings).unwrap_or_default();
    format!("{text}\n")
}

/// Whether there is no such file, or it is as it was written here, by this version or another.
fn is_ours(luarc: &Path, seal: &Path, wanted: &str) -> bool {
    let Ok(text) = std::fs::read(luarc) else {
        return !luarc.exists();
    };
    if text == wanted.as_bytes() {
        return true;
    }
    std::fs::read_to_string(seal).is_ok_and(|sealed| sealed.trim() == digest(&text))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_luarc_that_a_person_changed_is_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let scripts = home.path().join("scripts");
        let luarc = home.path().join(".luarc.json");
        let first = write(home.path(), &scripts).unwrap();
        assert!(first.left.is_none() && first.files.contains(&luarc));
        assert!(std::fs::read_to_string(&luarc).unwrap().contains("\"scripts/.types\""));
        assert!(
            write(home.path(), &scripts).unwrap().left.is_none(),
            "its own it makes anew"
        );
        std::fs::write(&luarc, "{ \"mine\": 1 }").unwrap();
        let (path, wanted) = write(home.path(), &scripts).unwrap().left.unwrap();
        assert!(path == luarc && wanted.contains("workspace.library"));
        assert_eq!(std::fs::read_to_string(&luarc).unwrap(), "{ \"mine\": 1 }");
    }
}
