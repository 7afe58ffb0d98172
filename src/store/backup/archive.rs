//! The backup's file: rows and files in, a sealed archive out.
//!
//! In: rows in order, then folders. Out: a file under its name when it is whole and synced, or nothing. Must not know what a row
//! says. The file is for its owner alone (mode 0600): it holds secrets.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Seal;
use crate::config::Secret;
use crate::store::{Error, durable};

/// Bytes of rows in one entry.
const CHUNK: usize = 4 << 20;

/// An archive that is written.
pub(super) struct Archive {
    part: Part,
    tar: tar::Builder<GzEncoder<Output>>,
    chunk: Vec<u8>,
    chunks: u32,
    rows: u64,
    files: u64,
    hash: Sha256,
}

/// The file under its first name, which goes with it: what is not whole does not stay.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After the end it has its own name.
        fs::remove_file(&self.0).ok();
    }
}

/// Where the bytes go.
enum Output {
    Plain(BufWriter<File>),
    Encrypted(age::stream::StreamWriter<BufWriter<File>>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Encrypted(stream) => stream.flush(),
        }
    }
}

impl Archive {
    /// Begins an archive that is to be at `file`.
    pub(super) fn create(file: &Path, passphrase: Option<&Secret>) -> Result<Self, Error> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = file.with_file_name(name);
        let failed = |err| Error::folder("write", &part, err);
        // One that was left by a crash may have another mode.
        match fs::remove_file(&part) {
            Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
            _ => {}
        }
        let out = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&part)
            .map_err(failed)?;
        let guard = Part(part.clone());
        let out = BufWriter::new(out);
        let output = match passphrase {
            None => Output::Plain(out),
            Some(passphrase) => {
                let passphrase = SecretString::from(passphrase.reveal().to_owned());
                let encryptor = age::Encryptor::with_user_passphrase(passphrase);
                Output::Encrypted(encryptor.wrap_output(out).map_err(failed)?)
            }
        };
        Ok(Self {
            part: guard,
            tar: tar::Builder::new(GzEncoder::new(output, Compression::fast())),
            chunk: Vec::with_capacity(CHUNK),
            chunks: 0,
            rows: 0,
            files: 0,
            hash: Sha256::new(),
        })
    }

    /// An entry of JSON.
    pub(super) fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let bytes = crate::store::record::to_json(value)?;
        self.entry(name, &bytes)
    }

    /// The next row.
    pub(super) fn row(&mut self, key: &[u8], row: &[u8]) -> Result<(), Error> {
        let begin = self.chunk.len();
        for part in [key, row] {
            let length = u32::try_from(part.len()).map_err(|_| Error::corrupt("a row over 4 GiB"))?;
            self.chunk.extend(length.to_le_bytes());
        }
        self.chunk.extend_from_slice(key);
        self.chunk.extend_from_slice(row);
        self.hash.update(self.chunk.get(begin..).unwrap_or_default());
        self.rows += 1;
        if self.chunk.len() < CHUNK {
            return Ok(());
        }
        self.end_rows()
    }

    /// Writes the rows that are not written yet.
    pub(super) fn end_rows(&mut self) -> Result<(), Error> {
        let name = format!("rows/{:06}", self.chunks);
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.chunks += 1;
        self.entry(&name, &chunk)
    }

    /// All files of a folder, without links and sockets. A file that goes meanwhile is left out.
    pub(super) fn folder(&mut self, name: &str, folder: &Path) -> Result<(), Error> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(Error::folder("read the folder", folder, err)),
        };
        for entry in entries {
            let entry = entry.map_err(|err| Error::folder("read the folder", folder, err))?;
            let (path, inner) = (entry.path(), entry.file_name());
            let Some(inner) = inner.to_str() else { continue };
            let kind = entry.file_type().map_err(|err| Error::folder("read", &path, err))?;
            let name = format!("{name}/{inner}");
            if kind.is_dir() {
                self.folder(&name, &path)?;
            } else if kind.is_file() {
                self.file(&name, &path)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, name: &str, path: &Path) -> Result<(), Error> {
        let failed = |err| Error::folder("read", path, err);
        let file = match File::open(path) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(err) => return Err(failed(err)),
        };
        let size = file.metadata().map_err(failed)?.len();
        let mut file = file.take(size);
        self.files += 1;
        self.append(name, size, &mut file)?;
        if file.limit() > 0 {
            return Err(failed(io::Error::other("it became shorter while it was copied")));
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
        self.append(name, bytes.len() as u64, &mut bytes)
    }

    fn append(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), Error> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(crate::store::now() / 1000).unwrap_or(0));
        self.tar
            .append_data(&mut header, name, content)
            .map_err(|err| Error::folder("write", &self.part.0, err))
    }

    /// Seals the archive, syncs it and gives it its name. Rows, files, and bytes of the archive.
    pub(super) fn finish(mut self, file: &Path) -> Result<(u64, u64, u64), Error> {
        let seal = Seal {
            rows: self.rows,
            files: self.files,
            sha256: super::restore::hex(&self.hash.clone().finalize()),
        };
        self.json("seal.json", &seal)?;
        let part = self.part.0.clone();
        let failed = |err| Error::folder("write", &part, err);
        let output = self.tar.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
        let buffer = match output {
            Output::Plain(buffer) => buffer,
            Output::Encrypted(stream) => stream.finish().map_err(failed)?,
        };
        let out = buffer.into_inner().map_err(|err| failed(err.into_error()))?;
        out.sync_all().map_err(failed)?;
        let bytes = out.metadata().map_err(failed)?.len();
        fs::rename(&part, file).map_err(|err| Error::folder("rename", &part, err))?;
        let above = file.parent().filter(|above| !above.as_os_str().is_empty());
        durable::sync_path(above.unwrap_or(Path::new(".")))?;
        Ok((seal.rows, seal.files, bytes))
    }
}
