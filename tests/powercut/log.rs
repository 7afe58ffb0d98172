//! The recorder's notes, read back.
//!
//! In: the file that `recorder.c` wrote. Out: [`Record`]s in the order in which the program did things. Must not interpret them.

use std::ops::Range;
use std::path::{Path, PathBuf};

const HEADER: usize = 32;

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A process began.
    Began,
    /// A new file got this name.
    Created { inode: u64, path: PathBuf },
    /// Bytes were written.
    Written {
        inode: u64,
        offset: usize,
        bytes: Range<usize>,
    },
    /// A file got this length.
    Resized { inode: u64, length: usize },
    /// A file was synced; what was written from record `begun` on need not be in it.
    Synced { inode: u64, begun: usize, only_data: bool },
    /// A file or folder changed its name.
    Renamed { from: PathBuf, to: PathBuf },
    /// A file or folder lost its name.
    Removed { path: PathBuf },
    /// A folder was made.
    Folder { path: PathBuf },
    /// The program was promised this.
    Mark { text: String },
    /// A call that promises nothing, such as `sync_file_range`.
    Nothing,
}

/// All notes of a folder.
pub(crate) struct Log {
    bytes: Vec<u8>,
    pub(crate) records: Vec<Record>,
}

impl Log {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let (mut records, mut at, mut first) = (Vec::new(), 0, 0);
        while at < bytes.len() {
            let number = |from: usize| u64::from_le_bytes(bytes[at + from..at + from + 8].try_into().unwrap());
            let (op, inode, offset) = (bytes[at], number(8), usize::try_from(number(16)).unwrap());
            let content = at + HEADER..at + HEADER + usize::try_from(number(24)).unwrap();
            let text = || String::from_utf8(bytes[content.clone()].to_vec()).unwrap();
            if op == b'+' {
                // Each process counts its own records.
                first = records.len();
            }
            records.push(match op {
                b'+' => Record::Began,
                b'c' => Record::Created {
                    inode,
                    path: text().into(),
                },
                b'w' => Record::Written {
                    inode,
                    offset,
                    bytes: content.clone(),
                },
                b't' => Record::Resized { inode, length: offset },
                b's' | b'd' => Record::Synced {
                    inode,
                    begun: first + offset,
                    only_data: op == b'd',
                },
                b'n' => {
                    let text = text();
                    let (from, to) = text.split_once('\n').unwrap();
                    Record::Renamed {
                        from: from.into(),
                        to: to.into(),
                    }
                }
                b'u' => Record::Removed { path: text().into() },
                b'm' => Record::Folder { path: text().into() },
                b'M' => Record::Mark { text: text() },
                b'r' => Record::Nothing,
                other => panic!("the recorder wrote {:?}", char::from(other)),
            });
            at = content.end;
        }
        Self { bytes, records }
    }

    pub(crate) fn bytes(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// What had been promised before the record at `cut`.
    pub(crate) fn marks(&self, cut: usize) -> impl Iterator<Item = &str> {
        self.records.iter().take(cut).filter_map(|record| match record {
            Record::Mark { text } => Some(text.as_str()),
            _ => None,
        })
    }
}
