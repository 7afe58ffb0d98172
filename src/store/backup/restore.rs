//! From a backup's file to a data folder.
//!
//! In: the file, its passphrase if it has one. Out: a data folder as it was, or an error and no change: the file is read to its end
//! and compared with its seal before anything is written. Must not write over a store, nor over anything that is newer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use age::secrecy::SecretString;
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::{FORMAT, Manifest, Seal, Summary};
use crate::config::Secret;
use crate::store::engine::{Engine, Rows};
use crate::store::migrate::SCHEMA;
use crate::store::tree::Tree;
use crate::store::{Error, FOLDER, check, compact, durable, lock, record};

/// What is restored, while it is written: store, media and profiles.
const NEW: &str = "restored.part";

/// Rows written at a time.
const ROWS: usize = 128;

/// What an age file begins with.
const AGE: &[u8] = b"age-encryption.org/";

/// Bytes of a chunk of rows that are taken: more than any that was written.
const CHUNK_MAX: u64 = 64 << 20;

/// What is done with what an archive holds.
trait Taker {
    fn row(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), Error>;
    fn file(&mut self, name: &Path, content: &mut dyn Read) -> Result<(), Error>;
}

/// Reads a backup to its end, and says what it holds.
///
/// # Errors
/// [`Error::Backup`] if it is not one, not whole, of a newer wharf, or encrypted with another passphrase.
pub fn verify(file: &Path, passphrase: Option<&Secret>) -> Result<Summary, Error> {
    struct Nothing;
    impl Taker for Nothing {
        fn row(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), Error> {
            record::open(&key, &row).map(|_| ())
        }
        fn file(&mut self, _name: &Path, _content: &mut dyn Read) -> Result<(), Error> {
            Ok(())
        }
    }
    read(file, passphrase, &mut Nothing)
}

/// Makes the data folder of a backup. Blocks; it reads the file twice. Media and profiles that are in the folder already stay as
/// they are: they are newer.
///
/// # Errors
/// As for [`verify`]; [`Error::Backup`] too if there is a store in `dir`; [`Error::InUse`] if a host has it; [`Error::Folder`].
pub fn restore(file: &Path, dir: &Path, passphrase: Option<&Secret>, cache_bytes: u64) -> Result<Summary, Error> {
    no_store(file, dir)?;
    verify(file, passphrase)?;
    durable::make_folder(dir)?;
    let _lock = lock::take(dir)?;
    no_store(file, dir)?;
    let new = dir.join(NEW);
    compact::remove(&new)?;
    let done = write(file, &new, passphrase, cache_bytes).and_then(|summary| {
        // The store is the last: without it nothing counts as restored, and all of this can be done again.
        for name in ["media", "profiles"] {
            each_into(&new.join(name), &dir.join(name))?;
        }
        rename(&new.join(FOLDER), &dir.join(FOLDER))?;
        durable::sync_path(dir)?;
        // What became of the store that was here before says nothing of this one.
        check::whole(dir)?;
        Ok(summary)
    });
    let removed = compact::remove(&new);
    done.and_then(|summary| removed.map(|()| summary))
}

fn no_store(file: &Path, dir: &Path) -> Result<(), Error> {
    if compact::is_there(dir) {
        let why = format!(
            "there is a store in {} already: move `store` away, or restore into another folder (--data)",
            dir.display()
        );
        return Err(refused(file, why));
    }
    Ok(())
}

fn write(file: &Path, new: &Path, passphrase: Option<&Secret>, cache_bytes: u64) -> Result<Summary, Error> {
    let store = new.join(FOLDER);
    durable::make_folder(new)?;
    let mut folder = Folder {
        tree: Tree::open(&store, cache_bytes)?,
        dir: new.to_owned(),
        rows: Rows::new(),
    };
    let done = read(file, passphrase, &mut folder).and_then(|summary| {
        folder.write()?;
        folder.tree.sync()?;
        Ok(summary)
    });
    Box::new(folder.tree).close();
    let summary = done?;
    durable::sync_tree(&store)?;
    Ok(summary)
}

/// Moves what is in one folder into another, if it is not there.
fn each_into(from: &Path, to: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(from) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|err| Error::folder("read the folder", from, err))?,
    };
    durable::make_folder(to)?;
    for entry in entries {
        let entry = entry.map_err(|err| Error::folder("read the folder", from, err))?;
        let place = to.join(entry.file_name());
        if !place.exists() {
            rename(&entry.path(), &place)?;
        }
    }
    durable::sync_path(to)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|err| Error::folder("rename", from, err))
}

/// The data folder that is made.
struct Folder {
    tree: Tree,
    dir: PathBuf,
    rows: Rows,
}

impl Folder {
    fn write(&mut self) -> Result<(), Error> {
        self.tree.apply(std::mem::take(&mut self.rows))
    }
}

impl Taker for Folder {
    fn row(&mut self, key: Vec<u8>, row: Vec<u8>) -> Result<(), Error> {
        self.rows.insert(key, Some(row));
        if self.rows.len() < ROWS {
            return Ok(());
        }
        self.write()
    }

    fn file(&mut self, name: &Path, content: &mut dyn Read) -> Result<(), Error> {
        let path = self.dir.join(name);
        let above = path.parent().unwrap_or(&self.dir);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(above)
            .map_err(|err| Error::folder("make the folder", above, err))?;
        let written = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut out| {
                io::copy(content, &mut out)?;
                out.flush()?;
                out.sync_all()
            });
        written.map_err(|err| Error::folder("write", &path, err))
    }
}

fn read(file: &Path, passphrase: Option<&Secret>, taker: &mut dyn Taker) -> Result<Summary, Error> {
    let broken = |err: io::Error| refused(file, format!("it is damaged, or not a backup of wharf: {err}"));
    let bytes = fs::metadata(file)
        .map_err(|err| Error::folder("read", file, err))?
        .len();
    let mut tar = tar::Archive::new(GzDecoder::new(input(file, passphrase)?));
    let (mut manifest, mut seal) = (None::<Manifest>, None::<Seal>);
    let (mut rows, mut files, mut hash) = (0_u64, 0_u64, Sha256::new());
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().map_err(broken)?.into_owned();
        let first = name.iter().next().and_then(|first| first.to_str()).unwrap_or_default();
        match (first, &manifest) {
            ("manifest.json", None) => manifest = Some(known(file, json(file, &mut entry)?)?),
            (_, None) => return Err(refused(file, "it does not begin with a manifest")),
            ("rows", _) => {
                if entry.size() > CHUNK_MAX {
                    return Err(refused(file, "it is damaged: a part of it is too large"));
                }
                let mut chunk = Vec::new();
                entry.read_to_end(&mut chunk).map_err(broken)?;
                hash.update(&chunk);
                rows += each_row(file, &chunk, taker)?;
            }
            ("media" | "profiles", _) => {
                files += 1;
                // Nothing may leave the folder.
                if name.components().any(|part| !matches!(part, Component::Normal(_))) {
                    return Err(refused(file, format!("it holds a file named {}", name.display())));
                }
                taker.file(&name, &mut entry)?;
            }
            ("seal.json", _) => seal = Some(json(file, &mut entry)?),
            _ => return Err(refused(file, format!("it holds {}, which is unknown", name.display()))),
        }
    }
    // To the last byte: behind the last entry are the checksums of the whole.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    let found = Seal {
        rows,
        files,
        sha256: hex(&hash.finalize()),
    };
    let (Some(manifest), Some(seal)) = (manifest, seal) else {
        return Err(refused(file, "it ends too early: it is not whole"));
    };
    if seal != found {
        return Err(refused(file, "its content is not what its seal says"));
    }
    Ok(Summary {
        made_at: manifest.made_at,
        rows,
        files,
        bytes,
    })
}

fn input(file: &Path, passphrase: Option<&Secret>) -> Result<Box<dyn Read>, Error> {
    let opened = File::open(file).map_err(|err| Error::folder("read", file, err))?;
    let mut buffered = BufReader::new(opened);
    let begin = io::BufRead::fill_buf(&mut buffered).map_err(|err| Error::folder("read", file, err))?;
    if !begin.starts_with(AGE) {
        return Ok(Box::new(buffered));
    }
    let Some(passphrase) = passphrase else {
        return Err(refused(
            file,
            "it is encrypted: give its passphrase in a file (--passphrase-file)",
        ));
    };
    let identity = age::scrypt::Identity::new(SecretString::from(passphrase.reveal().to_owned()));
    let decryptor = age::Decryptor::new(buffered).map_err(|err| refused(file, format!("it cannot be read: {err}")))?;
    let stream = decryptor
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .map_err(|_| refused(file, "the passphrase is not that of the backup"))?;
    Ok(Box::new(stream))
}

fn known(file: &Path, manifest: Manifest) -> Result<Manifest, Error> {
    if manifest.format > FORMAT || manifest.schema > SCHEMA {
        let why = format!("it was made by wharf {}: use that one or a newer one", manifest.wharf);
        return Err(refused(file, why));
    }
    Ok(manifest)
}

fn json<T: serde::de::DeserializeOwned>(file: &Path, entry: &mut dyn Read) -> Result<T, Error> {
    serde_json::from_reader(entry).map_err(|err| refused(file, format!("it is damaged: {err}")))
}

fn each_row(file: &Path, mut chunk: &[u8], taker: &mut dyn Taker) -> Result<u64, Error> {
    let mut rows = 0;
    while !chunk.is_empty() {
        let parsed = length(&mut chunk).and_then(|key| Some((key, length(&mut chunk)?)));
        let parts = parsed.and_then(|(key, row)| {
            let (key, rest) = chunk.split_at_checked(key)?;
            let (row, rest) = rest.split_at_checked(row)?;
            Some((key, row, rest))
        });
        let Some((key, row, rest)) = parts else {
            return Err(refused(file, "it is damaged: a row ends too early"));
        };
        taker.row(key.to_vec(), row.to_vec())?;
        chunk = rest;
        rows += 1;
    }
    Ok(rows)
}

fn length(chunk: &mut &[u8]) -> Option<usize> {
    let (bytes, rest) = chunk.split_first_chunk::<4>()?;
    *chunk = rest;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

fn refused(file: &Path, why: impl Into<String>) -> Error {
    Error::Backup {
        file: file.to_owned(),
        why: why.into(),
    }
}

/// Bytes as people compare them.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
