//! Which Chromium is started, and which version it is.
//!
//! In: `[browser]`. Out: an [`Executable`] that has answered once. Must not start a tab.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::Error;
use crate::config::resolved::{Browser, BrowserKind};

/// A cold start from a slow disk takes some seconds.
const ANSWER: Duration = Duration::from_secs(20);

/// Where Debian and other distributions put the real binaries. Their `/usr/bin/chromium` is a script that adds flags
/// of its own, so it comes late.
const SHELLS: &[&str] = &[
    "/usr/lib/chromium/chromium-headless-shell",
    "/usr/bin/chromium-headless-shell",
    "/usr/local/bin/chrome-headless-shell",
    "/usr/bin/chrome-headless-shell",
];
const CHROMIUMS: &[&str] = &[
    "/usr/lib/chromium/chromium",
    "/usr/lib64/chromium-browser/chromium-browser",
    "/usr/lib/chromium-browser/chromium-browser",
    "/opt/google/chrome/chrome",
    "/usr/local/bin/chromium",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/usr/bin/google-chrome",
    "/usr/bin/google-chrome-stable",
];
/// For a configured name without a folder.
const FOLDERS: &[&str] = &[
    "/usr/local/bin",
    "/usr/bin",
    "/bin",
    "/opt/google/chrome",
    "/usr/lib/chromium",
];

/// A browser that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    pub(super) path: PathBuf,
    /// The headless shell, which takes other flags and has other client hints.
    pub(super) is_shell: bool,
    /// As in `156.0.8078.79`.
    pub(super) version: String,
}

impl Executable {
    /// As in `156`.
    pub(super) fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or(&self.version)
    }

    /// What the same browser with a window would say.
    pub(super) fn user_agent(&self) -> String {
        let major = self.major();
        format!(
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{major}.0.0.0 Safari/537.36"
        )
    }
}

/// Which browser `[browser]` comes to, without starting it: for a host that wants to know at once that there is none.
///
/// # Errors
/// [`Error::NoBrowser`], [`Error::BadBrowser`] and [`Error::SandboxAsRoot`].
pub fn find_browser(browser: &Browser) -> Result<PathBuf, Error> {
    Ok(allowed(browser.executable.as_deref(), browser.kind, browser.sandbox)?.0)
}

fn allowed(configured: Option<&Path>, kind: BrowserKind, sandbox: bool) -> Result<(PathBuf, bool), Error> {
    if sandbox && rustix::process::geteuid().is_root() {
        return Err(Error::SandboxAsRoot);
    }
    choose(configured, kind)
}

/// Finds the browser and asks for its version.
pub(super) async fn find(configured: Option<&Path>, kind: BrowserKind, sandbox: bool) -> Result<Executable, Error> {
    let (path, is_shell) = allowed(configured, kind, sandbox)?;
    let version = version(&path).await?;
    Ok(Executable {
        path,
        is_shell,
        version,
    })
}

fn choose(configured: Option<&Path>, kind: BrowserKind) -> Result<(PathBuf, bool), Error> {
    if let Some(wanted) = configured {
        let path = located(wanted)?;
        let named_shell = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().contains("shell"));
        let is_shell = match kind {
            BrowserKind::Auto => named_shell,
            BrowserKind::Shell => true,
            BrowserKind::Chromium => false,
        };
        return Ok((path, is_shell));
    }
    let first = |paths: &[&str]| paths.iter().map(PathBuf::from).find(|path| runnable(path));
    let found = match kind {
        BrowserKind::Shell => first(SHELLS).map(|path| (path, true)),
        BrowserKind::Chromium => first(CHROMIUMS).map(|path| (path, false)),
        BrowserKind::Auto => first(SHELLS)
            .map(|path| (path, true))
            .or_else(|| first(CHROMIUMS).map(|path| (path, false))),
    };
    found.ok_or_else(|| {
        let looked_for = match kind {
            BrowserKind::Shell => SHELLS.to_vec(),
            BrowserKind::Chromium => CHROMIUMS.to_vec(),
            BrowserKind::Auto => [SHELLS, CHROMIUMS].concat(),
        };
        Error::NoBrowser {
            looked_for: format!("looked for {}", looked_for.join(", ")),
        }
    })
}

/// A configured browser: a path, or a name. Debian's script is replaced by the binary that it starts.
fn located(wanted: &Path) -> Result<PathBuf, Error> {
    let path = if wanted.components().count() > 1 {
        Some(wanted.to_owned())
    } else {
        FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(wanted))
            .find(|path| runnable(path))
    };
    match path {
        Some(path) if runnable(&path) => {
            let binary = Path::new("/usr/lib/chromium").join(path.file_name().unwrap_or_default());
            Ok(if path.starts_with("/usr/bin") && runnable(&binary) {
                binary
            } else {
                path
            })
        }
        _ => Err(Error::BadBrowser {
            path: wanted.to_owned(),
            problem: "there is no such program".to_owned(),
        }),
    }
}

fn runnable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

async fn version(path: &Path) -> Result<String, Error> {
    let bad = |problem: String| Error::BadBrowser {
        path: path.to_owned(),
        problem,
    };
    let asked = Command::new(path)
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(ANSWER, asked).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(bad(error.to_string())),
        Err(_) => return Err(bad(format!("no answer to --version within {} s", ANSWER.as_secs()))),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    parse(&said).ok_or_else(|| {
        bad(format!(
            "--version said `{}`",
            said.trim().chars().take(80).collect::<String>()
        ))
    })
}

/// The first word that is numbers and dots.
fn parse(said: &str) -> Option<String> {
    said.split_whitespace()
        .find(|word| word.contains('.') && word.split('.').all(|part| part.parse::<u32>().is_ok()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_among_the_words() {
        assert_eq!(
            parse("Chromium 156.0.8078.79 built on Debian").as_deref(),
            Some("156.0.8078.79")
        );
        assert_eq!(parse("Google Chrome 140.0.1.2 \n").as_deref(), Some("140.0.1.2"));
        assert_eq!(parse("hello 1.x"), None);
    }

    #[test]
    fn the_user_agent_is_that_of_the_same_version_with_a_window() {
        let found = Executable {
            path: "/x".into(),
            is_shell: true,
            version: "156.0.8078.79".into(),
        };
        assert!(found.user_agent().contains(" Chrome/156.0.0.0 "));
        assert!(!found.user_agent().contains("Headless"));
    }

    #[test]
    fn root_is_told_what_to_do_about_the_sandbox() {
        let browser = Browser {
            executable: None,
            kind: BrowserKind::Auto,
            sandbox: true,
            snapshot_interval: Default::default(),
        };
        let found = find_browser(&browser);
        if rustix::process::geteuid().is_root() {
            assert!(found.unwrap_err().to_string().contains("[browser] sandbox = false"));
        } else {
            assert!(!matches!(found, Err(Error::SandboxAsRoot)));
        }
    }

    #[tokio::test]
    async fn a_program_that_is_no_browser_is_refused_with_the_packages_to_install() {
        for program in ["/bin/true", "/nowhere/chromium", "no-such-browser"] {
            let error = find(Some(Path::new(program)), BrowserKind::Auto, false)
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("chromium-headless-shell") && error.contains(program),
                "{error}"
            );
        }
    }
}
