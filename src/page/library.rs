//! The in-page library: its file, read and checked.
//!
//! In: the path from `[whatsapp] library`. Out: [`Library`], whose text goes into each document before the page's own.
//! Must not know what the library can do: that is the agent's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Error;

/// Larger than any build so far (0.5 MB) by far; a file above it is taken for a mistake, not read.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The library's text, as it was when it was read.
pub struct Library {
    path: PathBuf,
    text: String,
    sha256: String,
}

impl Library {
    /// Reads the file. Blocks for a millisecond or so.
    ///
    /// # Errors
    /// [`Error::LibraryMissing`] and [`Error::NotTheLibrary`]; both name the path and `npm ci`.
    pub fn read(path: &Path) -> Result<Arc<Library>, Error> {
        let missing = |source| Error::LibraryMissing {
            path: path.to_owned(),
            source,
        };
        let wrong = |problem| Error::NotTheLibrary {
            path: path.to_owned(),
            problem,
        };
        let about = std::fs::metadata(path).map_err(missing)?;
        if !about.is_file() {
            return Err(wrong("it is no file"));
        }
        if about.len() > LARGEST {
            return Err(wrong("it is larger than 16 MiB"));
        }
        let bytes = std::fs::read(path).map_err(missing)?;
        let sha256 = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text"))?;
        if !text.contains("wa-js") || !text.contains("WPP") {
            return Err(wrong("it lacks the words `wa-js` and `WPP`"));
        }
        Ok(Arc::new(Library {
            path: path.to_owned(),
            text,
            sha256,
        }))
    }

    /// Where it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SHA-256 of the file, in hex.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The script itself.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("path", &self.path)
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}
