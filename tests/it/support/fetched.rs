//! What tests take from the registries of npm and Python, once for each build folder, in the version that they name.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of an npm package, as it was published; nothing of it is installed or run.
pub(crate) fn npm(package: &str, version: &str) -> PathBuf {
    fetch(&format!("{package}-{version}"), |folder| {
        let wanted = format!("{package}@{version}");
        run(Command::new("npm")
            .args(["pack", "--silent", &wanted])
            .current_dir(folder));
        let archive = format!("{package}-{version}.tgz");
        run(Command::new("tar").args(["-xzf", &archive]).current_dir(folder));
    })
    .join("package")
}

/// A Python of its own, with these packages.
pub(crate) fn python(name: &str, packages: &[&str]) -> PathBuf {
    let folder = fetch(name, |folder| {
        run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder));
        let pip = folder.join("venv/bin/python");
        run(Command::new(pip)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(packages));
    });
    folder.join("venv/bin/python")
}

/// A folder that is whole or not there. Test processes run at the same time: the first that is ready wins.
fn fetch(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fetched");
    let done = home.join(name);
    if !done.join("whole").exists() {
        std::fs::create_dir_all(&done).unwrap();
        let lock = std::fs::File::create(home.join(format!("{name}.lock"))).unwrap();
        lock.lock().unwrap();
        if !done.join("whole").exists() {
            make(&done);
            std::fs::write(done.join("whole"), "").unwrap();
        }
    }
    done
}

fn run(command: &mut Command) {
    let ran = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        ran.status.success(),
        "{command:?} failed; this test needs the network:\n{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
