//! One host for one data folder, on a local disk.
//!
//! In: the data folder. Out: a lock that lasts as long as the value, or a refusal that says who has it. Must not wait.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Error;

/// The lock's file in the data folder; it holds the number of the process that has the folder.
pub const LOCK_FILE: &str = "wharf.lock";

/// The held lock. The kernel lets go of it with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes the folder, or refuses at once. For who works on the folder without its store; [`super::Store::open`] takes it itself.
///
/// # Errors
/// [`Error::InUse`] if a host has it, [`Error::NetworkFolder`], [`Error::Folder`].
pub fn take(dir: &Path) -> Result<Lock, Error> {
    if let Some(kind) = network_filesystem(dir)? {
        return Err(Error::NetworkFolder {
            dir: dir.to_owned(),
            kind,
        });
    }
    let path = dir.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|err| Error::folder("open", &path, err))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let by = file
                .read_to_string(&mut text)
                .ok()
                .and_then(|_| text.trim().parse().ok());
            return Err(Error::InUse {
                dir: dir.to_owned(),
                by,
            });
        }
        Err(TryLockError::Error(err)) => return Err(Error::folder("lock", &path, err)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|err| Error::folder("write", &path, err))?;
    Ok(Lock { _file: file })
}

/// The name of the filesystem if it is one that lies on another machine: locks and syncs cannot be relied on there.
fn network_filesystem(dir: &Path) -> Result<Option<&'static str>, Error> {
    let stat = rustix::fs::statfs(dir).map_err(|err| Error::folder("ask for the filesystem of", dir, err.into()))?;
    // The field's type differs between architectures; the numbers fit into 32 bits.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "see above"
    )]
    let magic = stat.f_type as u32;
    Ok(name_of_network(magic))
}

/// The numbers are those of `linux/magic.h` and of the filesystems' own headers.
fn name_of_network(magic: u32) -> Option<&'static str> {
    Some(match magic {
        0x0000_6969 => "nfs",
        0x0000_517b => "smb",
        0xff53_4d42 => "cifs",
        0xfe53_4d42 => "smb2",
        0x0102_1997 => "9p",
        0x5346_414f | 0x6b41_4653 => "afs",
        0x7375_7245 => "coda",
        0x0000_564c => "ncp",
        0x00c3_6400 => "ceph",
        0x0bd0_0bd0 => "lustre",
        0x4750_4653 => "gpfs",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_filesystems_are_taken_and_network_ones_are_not() {
        for (magic, name) in [
            (0x6969, "nfs"),
            (0xff53_4d42, "cifs"),
            (0xfe53_4d42, "smb2"),
            (0x00c3_6400, "ceph"),
        ] {
            assert_eq!(name_of_network(magic), Some(name));
        }
        // ext4, btrfs, xfs, tmpfs, zfs, overlayfs
        for magic in [0xef53, 0x9123_683e, 0x5846_5342, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630] {
            assert_eq!(name_of_network(magic), None);
        }
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(network_filesystem(dir.path()).unwrap(), None);
    }

    #[test]
    fn the_folder_is_free_again_when_the_lock_is_dropped_and_names_its_holder_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let lock = take(dir.path()).unwrap();
        match take(dir.path()) {
            Err(Error::InUse { dir: named, by }) => {
                assert_eq!(named, dir.path());
                assert_eq!(by, Some(std::process::id()));
            }
            other => panic!("{other:?}"),
        }
        drop(lock);
        take(dir.path()).unwrap();
    }
}
