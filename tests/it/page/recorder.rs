//! A browser whose look-ups and connections are noted from outside of it, by a library of our own beneath it.
//!
//! In: the path of a browser. Out: the path of a wrapper that starts it, and what was noted. Nothing that such a browser
//! does leaves the machine; see `recorder.c`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/page/recorder.c");

pub(super) struct Recorder {
    folder: tempfile::TempDir,
}

impl Recorder {
    /// Builds the library; a machine that links Rust has `cc`.
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(folder.path().join("recorder.so"))
            .args([SOURCE, "-ldl"])
            .output()
            .expect("cc starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Self { folder }
    }

    /// A program that is this browser, recorded. It becomes the browser, so the process stays the same; the variables
    /// are set in it because wharf gives a browser no environment. Arguments that match `without` are left out.
    pub(super) fn wrap(&self, browser: &Path, without: &str) -> PathBuf {
        let wrapper = self.folder.path().join(browser.file_name().unwrap());
        let (folder, browser) = (self.folder.path().display(), browser.display());
        let without = if without.is_empty() { "''" } else { without };
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {browser} --version\n\
             for argument; do shift; case \"$argument\" in {without}) ;; *) set -- \"$@\" \"$argument\";; esac; done\n\
             export LD_PRELOAD={folder}/recorder.so WHARF_TEST_RECORD={folder}/record\nexec {browser} \"$@\"\n"
        );
        std::fs::write(&wrapper, script).unwrap();
        std::fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
        wrapper
    }

    /// What was looked up and reached so far.
    pub(super) fn seen(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
