//! The files that messages carry: uploaded once, fetched by who has the message.
//!
//! In: bytes of pages and of the control API. Out: the same, by the reference that was given for them. In memory; the oldest go
//! when there are too many. Must not know messages.
//!
//! Sources: the real page uploads to `mmg.whatsapp.net` and fetches from there, encrypted with a key that the message carries;
//! that files are not encrypted here, and that they are of the page's own origin, is assumed in their place.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest as _, Sha256};

/// Bytes of all files.
const MOST: usize = 64 * 1024 * 1024;
/// Bytes of one file: 16 MiB, as WhatsApp's limit for media.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;

/// The files.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: HashMap<String, Vec<u8>>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Files {
    /// Keeps a file; its reference is what its bytes hash to.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) -> String {
        let reference = hash(&bytes);
        if !self.files.contains_key(&reference) {
            self.bytes += bytes.len();
            self.order.push_back(reference.clone());
            self.files.insert(reference.clone(), bytes);
        }
        while self.bytes > MOST {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.files.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
        reference
    }

    /// A file.
    pub(super) fn get(&self, reference: &str) -> Option<&Vec<u8>> {
        self.files.get(reference)
    }

    /// Forgets a file, as the real server does after weeks.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }
}

fn hash(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
