//! The documents are true: the code in them runs, the reference is that of the program.

use std::path::Path;
use std::process::Command;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

const BEGIN: &str = "<!-- reference -->\n";
const END: &str = "<!-- end of reference -->";

#[test]
fn the_reference_of_the_scripting_guide_is_that_of_the_program() {
    let page = read("docs/scripting.md");
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (written, after) = rest.split_once(END).unwrap();
    let made = format!("\n{}\n", wharf::script::reference());
    if std::env::var_os("WHARF_WRITE_DOCS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/scripting.md");
        std::fs::write(path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
        return;
    }
    assert!(
        written == made,
        "docs/scripting.md is not what the program says; run `make docs`"
    );
}

/// The blocks of Lua in a document, with the file that each names in its first line.
fn blocks(document: &str) -> Vec<(String, String)> {
    let text = read(document);
    let parts: Vec<&str> = text.split("```").collect();
    let lua = parts
        .iter()
        .skip(1)
        .step_by(2)
        .filter_map(|block| block.strip_prefix("lua\n"));
    let named = lua.map(|code| {
        let first = code.lines().next().unwrap_or_default();
        let name = first
            .strip_prefix("-- scripts/")
            .unwrap_or_else(|| panic!("{document}: no file in `{first}`"));
        (name.to_owned(), code.to_owned())
    });
    named.collect()
}

#[test]
fn the_scripts_in_the_documents_load_and_their_tests_pass() {
    for document in ["README.md", "docs/scripting.md"] {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("scripts");
        std::fs::create_dir(&folder).unwrap();
        let blocks = blocks(document);
        assert!(!blocks.is_empty(), "no Lua in {document}");
        for (name, code) in &blocks {
            assert!(!folder.join(name).exists(), "{document}: two blocks are named {name}");
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, code).unwrap();
        }
        let wharf = |command: &str| {
            let run = Command::new(env!("CARGO_BIN_EXE_wharf"))
                .arg(command)
                .arg(&folder)
                .current_dir(home.path())
                .output();
            let run = run.unwrap();
            let said = String::from_utf8(run.stdout).unwrap();
            assert!(
                run.status.success(),
                "{document}: {said}{}",
                String::from_utf8_lossy(&run.stderr)
            );
            said
        };
        let tests = blocks.iter().filter(|(name, _)| name.ends_with("_test.lua")).count();
        // What scripts require is no script.
        let libraries = blocks.iter().filter(|(name, _)| name.contains('/')).count();
        let checked = wharf("check");
        let expected = format!("{} checked, 0 with a mistake", blocks.len() - tests - libraries);
        assert!(checked.contains(&expected), "{document}: {checked}");
        if tests > 0 {
            let ran = wharf("test");
            assert!(
                ran.contains(", 0 failed") && !ran.contains("\n0 passed"),
                "{document}: {ran}"
            );
        }
    }
}
