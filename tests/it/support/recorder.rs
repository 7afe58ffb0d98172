//! What a browser looks up and reaches, recorded from outside: a library before the C library's own calls, and a script
//! that starts the real browser with it.
//!
//! In: a browser. Out: a program to start in its place, and what it has looked up and reached. Nothing goes beyond this
//! machine. Must not ask the browser: what it forgets to tell is what is looked for.
//!
//! Chromium asks for names by `getaddrinfo` or by UDP of its own, from the browser process in both cases; both pass
//! here, as does every connection, because it is linked with the system's C library.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/support/netrecord.c");

/// A recorder; its files are in `folder`.
pub(crate) struct Recorder {
    folder: PathBuf,
}

impl Recorder {
    /// Compiles the library, and writes a program that is `browser` under the recorder.
    pub(crate) fn new(folder: &Path, browser: &str) -> Self {
        let library = folder.join("netrecord.so");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(SOURCE)
            .arg("-ldl")
            .output()
            .expect("install a C compiler");
        assert!(
            compiled.status.success(),
            "{}",
            String::from_utf8_lossy(&compiled.stderr)
        );
        let recorder = Self {
            folder: folder.to_owned(),
        };
        let script = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec {browser} --version\n\
             LD_PRELOAD={} RECORD_TO={} exec {browser} \"$@\"\n",
            library.display(),
            recorder.file().display()
        );
        std::fs::write(recorder.program(), script).unwrap();
        std::fs::set_permissions(recorder.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        recorder
    }

    /// To be started in place of the browser; the process becomes the browser.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("browser")
    }

    fn file(&self) -> PathBuf {
        self.folder.join("record")
    }

    /// All that was looked up and reached so far: `name NAME`, `tcp ADDRESS PORT`, `udp ADDRESS PORT`.
    pub(crate) fn seen(&self) -> BTreeSet<String> {
        let text = std::fs::read_to_string(self.file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}
