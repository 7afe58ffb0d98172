//! A copy of a profile that no browser uses.
//!
//! In: the profile's folder. Out: a folder with all that makes it linked, without caches, which a browser makes anew, and without what
//! belongs to one run of it. Must not copy while a browser runs on the profile, because that may not open: the profile is locked
//! meanwhile, and a browser that a host left behind is looked for.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::procfs;
use super::profile::Profile;
use crate::event::AccountId;

/// Folders that a browser makes anew by itself.
const CACHES: [&str; 6] = [
    "Cache",
    "CacheStorage",
    "Code Cache",
    "GPUCache",
    "GrShaderCache",
    "ShaderCache",
];

/// Files of one run.
const OF_A_RUN: [&str; 4] = [
    "DevToolsActivePort",
    ".wharf.lock",
    ".wharf-browser.json",
    ".wharf-browser.log",
];

/// Copies the folder `from`, if it is there, to `to`, and says how many files there were.
///
/// # Errors
/// What the operating system says, or that a browser has the profile; the copy is not whole then.
pub fn copy_profile(account: &AccountId, from: &Path, to: &Path) -> io::Result<u64> {
    if !from.exists() {
        return Ok(0);
    }
    let profile = Profile::open(account, from).map_err(io::Error::other)?;
    if let Some(pid) = procfs::browsers_with(&profile.argument()).first() {
        return Err(io::Error::other(format!(
            "a browser is still at work on it (process {pid}), left by a host that was killed: let wharf run once, which closes \
             it, or end it"
        )));
    }
    copy_folder(profile.path(), to)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<u64> {
    let entries = fs::read_dir(from)?;
    DirBuilder::new().recursive(true).mode(0o700).create(to)?;
    let mut copied = 0;
    for entry in entries {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let is = |names: &[&str]| names.iter().any(|known| name.to_str() == Some(known));
        if kind.is_dir() && !is(&CACHES) {
            copied += copy_folder(&entry.path(), &to.join(&name))?;
        } else if kind.is_file() && !is(&OF_A_RUN) {
            fs::copy(entry.path(), to.join(&name))?;
            copied += 1;
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_the_login_and_neither_caches_nor_locks() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        for name in [
            "Default/IndexedDB/x/1.log",
            "Default/Code Cache/js/1",
            "DevToolsActivePort",
            "Local State",
        ] {
            fs::create_dir_all(from.join(name).parent().unwrap()).unwrap();
            fs::write(from.join(name), name).unwrap();
        }
        std::os::unix::fs::symlink("host-1", from.join("SingletonLock")).unwrap();
        let account = "one".parse().unwrap();
        assert_eq!(copy_profile(&account, &from, &to).unwrap(), 2);
        assert!(to.join("Default/IndexedDB/x/1.log").exists() && to.join("Local State").exists());
        assert!(!to.join("Default/Code Cache").exists() && !to.join("SingletonLock").exists());
        assert_eq!(copy_profile(&account, &dir.path().join("nowhere"), &to).unwrap(), 0);
    }

    #[test]
    fn a_profile_that_a_browser_has_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let account = "one".parse().unwrap();
        let held = Profile::open(&account, &from).unwrap();
        copy_profile(&account, &from, &to).unwrap_err();
        drop(held);
        copy_profile(&account, &from, &to).unwrap();
    }
}
