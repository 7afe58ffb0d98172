//! Builds `recorder.c`, and runs this test program again under it.
//!
//! In: the name of an ignored test, which is the child's work. Out: how the child ended; its notes lie beside the folder.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/powercut/recorder.c");

/// Tells a child which bench it works on.
const BENCH: &str = "WHARF_TEST_POWERCUT";
/// Tells a child what to do, in words of its own.
const TOLD: &str = "WHARF_TEST_POWERCUT_TOLD";

/// A folder with everything of one recording: `data` is recorded, the rest is not.
pub(crate) struct Bench {
    root: PathBuf,
    _owned: Option<tempfile::TempDir>,
}

impl Bench {
    /// Makes one, with a library that was just built; a machine that links Rust has `cc`.
    pub(crate) fn new() -> Self {
        let owned = tempfile::tempdir().unwrap();
        let bench = Self {
            root: owned.path().canonicalize().unwrap(),
            _owned: Some(owned),
        };
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(bench.library())
            .args([SOURCE, "-ldl", "-lpthread"])
            .output()
            .expect("cc starts");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        std::fs::create_dir(bench.data()).unwrap();
        bench
    }

    /// The one that this process was started to work on, and what it was told.
    pub(crate) fn of_child() -> Option<(Self, String)> {
        #[allow(clippy::disallowed_methods, reason = "the only way to tell a test something")]
        let told = |name: &str| std::env::var(name).ok();
        let root = told(BENCH)?.into();
        Some((Self { root, _owned: None }, told(TOLD)?))
    }

    fn library(&self) -> PathBuf {
        self.root.join("recorder.so")
    }

    /// The recorded folder: the data folder of the store.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Where a child says what it was promised.
    pub(crate) fn marks(&self) -> PathBuf {
        self.root.join("marks")
    }

    /// What is wrong with the disk; not there when nothing is.
    pub(crate) fn fault(&self) -> PathBuf {
        self.root.join("fault")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Runs a child to its end and answers that and what it printed.
    pub(crate) fn run(&self, child: &str, told: &str) -> (ExitStatus, String) {
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", child, "--nocapture", "--test-threads=1"])
            .env(BENCH, &self.root)
            .env(TOLD, told)
            .env("LD_PRELOAD", self.library())
            .env("WHARF_RECORD_FOLDER", self.data())
            .env("WHARF_RECORD_MARKS", self.marks())
            .env("WHARF_RECORD_FAULT", self.fault())
            .env("WHARF_RECORD_LOG", self.log())
            .output()
            .unwrap();
        let mut said = String::from_utf8_lossy(&ended.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&ended.stderr));
        (ended.status, said)
    }
}

/// How many files a folder has; none if there is no such folder.
pub(crate) fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}
