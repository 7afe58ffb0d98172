//! `wharf types`, as editors read it: a real language server goes over what is shipped and over what has mistakes.
//!
//! `make test` installs the language server's command, `emmylua_check`; `make emmylua` does so alone.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What it says of code and not of taste.
const MISTAKES: &[&str] = &[
    "undefined-field",
    "undefined-global",
    "undefined-doc-name",
    "param-type-mismatch",
    "assign-type-mismatch",
    "missing-parameter",
    "redundant-parameter",
    "need-check-nil",
    "syntax-error",
    "doc-syntax-error",
];

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// `file:line: code: message` of every mistake that the language server finds, lines counted from 1.
fn mistakes(folder: &Path) -> Vec<String> {
    let run = Command::new("emmylua_check")
        .args(["--output-format", "json"])
        .arg(folder)
        .output()
        .expect("emmylua_check is not installed; `make emmylua` does it");
    let files: Value = serde_json::from_slice(&run.stdout).unwrap();
    let mut found = Vec::new();
    let files = files.as_array().unwrap();
    assert!(files.len() > 3, "nothing was looked at");
    for file in files {
        let name = Path::new(file["file"].as_str().unwrap());
        let name = name.strip_prefix(folder.canonicalize().unwrap()).unwrap_or(name);
        for said in file["diagnostics"].as_array().unwrap() {
            let code = said["code"].as_str().unwrap_or_default();
            let line = said["range"]["start"]["line"].as_u64().unwrap() + 1;
            if MISTAKES.contains(&code) {
                found.push(format!("{}:{line}: {code}: {}", name.display(), said["message"]));
            }
        }
    }
    found.sort();
    found
}

fn shipped() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for folder in ["scripts", "plugins"] {
        copy(&Path::new(ROOT).join(folder), &home.path().join(folder));
    }
    let made = Command::new(env!("CARGO_BIN_EXE_wharf"))
        .arg("types")
        .current_dir(home.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for file in [
        "scripts/.types/wharf.d.lua",
        "scripts/.types/wharf.d.luau",
        ".luarc.json",
    ] {
        assert!(home.path().join(file).is_file(), "{file}");
    }
    home
}

#[test]
fn a_language_server_finds_no_mistake_in_what_is_shipped() {
    let home = shipped();
    assert_eq!(mistakes(home.path()), Vec::<String>::new());
}

#[test]
fn a_language_server_finds_mistakes_in_the_use_of_the_api() {
    let home = shipped();
    let text = r#"wharf.on("message", { is_group = false }, function(msg)
  wharf.kv.gett("x")
  msg:repply("x")
  msg:reply(msg.bdy)
  wharf.later(nil, "x")
  wharf.log.info(msg:reply("x").stauts)
  wharf.account("x"):send("1@c.us")
  mgs:reply("x")
end)
wharf.on("account.ready", function(event)
  wharf.log.info(event.body)
end)
"#;
    std::fs::write(home.path().join("scripts/bad.lua"), text).unwrap();
    let found = mistakes(home.path());
    for (line, code) in [
        (2, "undefined-field"),
        (3, "undefined-field"),
        (4, "undefined-field"),
        (5, "param-type-mismatch"),
        (6, "undefined-field"),
        (7, "missing-parameter"),
        (8, "undefined-global"),
        (11, "undefined-field"),
    ] {
        let wanted = format!("scripts/bad.lua:{line}: {code}: ");
        assert!(found.iter().any(|said| said.starts_with(&wanted)), "{wanted}{found:#?}");
    }
}

#[test]
fn the_files_for_editors_are_no_scripts_and_a_changed_luarc_is_left() {
    let home = shipped();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.args(arguments).current_dir(home.path()).output().unwrap()
    };
    let checked = run(&["check"]);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(checked.status.success() && !said.contains(".types"), "{said}");
    let luarc = home.path().join(".luarc.json");
    std::fs::write(&luarc, "{}").unwrap();
    let again = run(&["types", "."]);
    assert!(again.status.success());
    assert_eq!(std::fs::read_to_string(&luarc).unwrap(), "{}");
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(
        said.contains(".luarc.json") && said.contains("workspace.library"),
        "{said}"
    );
}
