//! A disk, built from the recorder's notes: what is certain on it, and what a power cut may leave of the rest.
//!
//! In: records up to a cut. Out: a folder with files. Must not promise more than the program's syncs did.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, create_dir_all};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::log::{Log, Record};

/// Linux writes file content back in pages, a disk in sectors.
const PAGE: usize = 4096;
const SECTOR: usize = 512;

/// What becomes of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// All are lost.
    None,
    /// All are lost, but files have the lengths that they would have.
    Zeros,
    /// They are kept in order up to some moment before the cut; the last one is torn between two sectors.
    Prefix,
    /// Each page is kept or lost by itself; where the last ones are lost, the file may have their length, with zeros.
    Rand,
}

/// Which syncs count. Without some of them the models show what those are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honoured {
    All,
    /// Not `fdatasync`: what is left is what sled does by itself.
    WithoutDataSyncs,
    /// Only those of the log: the files beside it are never synced.
    LogOnly,
}

struct Write {
    record: usize,
    offset: usize,
    bytes: Range<usize>,
}

#[derive(Default)]
struct Content {
    synced: Vec<u8>,
    pending: Vec<Write>,
}

/// A disk as the records up to some moment leave it.
pub(crate) struct Disk<'a> {
    log: &'a Log,
    honoured: Honoured,
    done: usize,
    names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    inodes: HashMap<u64, usize>,
    contents: Vec<Content>,
}

impl<'a> Disk<'a> {
    pub(crate) fn new(log: &'a Log, honoured: Honoured) -> Self {
        Self {
            log,
            honoured,
            done: 0,
            names: BTreeMap::new(),
            folders: BTreeSet::new(),
            inodes: HashMap::new(),
            contents: Vec::new(),
        }
    }

    /// Goes on to just before the record at `cut`.
    pub(crate) fn go_to(&mut self, cut: usize) {
        assert!(cut >= self.done, "a disk does not go back");
        for at in self.done..cut {
            self.follow(at);
        }
        self.done = cut;
    }

    fn follow(&mut self, at: usize) {
        match &self.log.records[at] {
            Record::Created { inode, path } => {
                self.contents.push(Content::default());
                let number = self.contents.len() - 1;
                self.inodes.insert(*inode, number);
                self.names.insert(path.clone(), number);
            }
            Record::Written { inode, offset, bytes } => {
                let write = Write {
                    record: at,
                    offset: *offset,
                    bytes: bytes.clone(),
                };
                self.content(*inode).pending.push(write);
            }
            Record::Resized { inode, length } => {
                let length = *length;
                let content = self.content(*inode);
                content.synced.resize(length, 0);
                content.pending.retain_mut(|write| {
                    let left = length.saturating_sub(write.offset).min(write.bytes.len());
                    write.bytes.end = write.bytes.start + left;
                    left > 0
                });
            }
            Record::Synced {
                inode,
                begun,
                only_data,
            } => {
                if self.counts(*inode, *only_data) {
                    let log = self.log;
                    let content = self.content(*inode);
                    for write in content.pending.extract_if(.., |write| write.record < *begun) {
                        put(&mut content.synced, write.offset, log.bytes(&write.bytes));
                    }
                }
            }
            Record::Renamed { from, to } => {
                let moved: Vec<PathBuf> = self
                    .names
                    .keys()
                    .filter(|name| name.starts_with(from))
                    .cloned()
                    .collect();
                for name in moved {
                    let number = self.names.remove(&name).unwrap();
                    self.names.insert(under(to, name.strip_prefix(from).unwrap()), number);
                }
                let moved: Vec<PathBuf> = self
                    .folders
                    .iter()
                    .filter(|name| name.starts_with(from))
                    .cloned()
                    .collect();
                for name in moved {
                    self.folders.remove(&name);
                    self.folders.insert(under(to, name.strip_prefix(from).unwrap()));
                }
            }
            Record::Removed { path } => {
                self.names.remove(path);
                self.folders.remove(path);
            }
            Record::Folder { path } => {
                self.folders.insert(path.clone());
            }
            Record::Began | Record::Mark { .. } | Record::Nothing => {}
        }
    }

    fn content(&mut self, inode: u64) -> &mut Content {
        let number = self.inodes[&inode];
        &mut self.contents[number]
    }

    fn counts(&self, inode: u64, only_data: bool) -> bool {
        let number = self.inodes[&inode];
        match self.honoured {
            Honoured::All => true,
            Honoured::WithoutDataSyncs => !only_data,
            Honoured::LogOnly => self
                .names
                .iter()
                .any(|(name, at)| *at == number && name.ends_with("db")),
        }
    }

    /// Every name that a file has now.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Path> {
        self.names.keys().map(PathBuf::as_path)
    }

    /// Writes a folder as the recorded one `of` may be found after a cut at this moment.
    pub(crate) fn image(&self, of: &Path, into: &Path, model: Model, chance: &mut Chance) {
        create_dir_all(into).unwrap();
        for folder in &self.folders {
            create_dir_all(under(into, folder.strip_prefix(of).unwrap())).unwrap();
        }
        // The first write that is not whole.
        let torn = self.done.saturating_sub(chance.below(64));
        for (name, number) in &self.names {
            let content = &self.contents[*number];
            let mut bytes = content.synced.clone();
            match model {
                Model::None => {}
                Model::Zeros => {
                    let ends = content.pending.iter().map(|write| write.offset + write.bytes.len());
                    let length = ends.fold(bytes.len(), usize::max);
                    bytes.resize(length, 0);
                }
                Model::Prefix => {
                    for write in content.pending.iter().filter(|write| write.record <= torn) {
                        let whole = self.log.bytes(&write.bytes);
                        let kept = if write.record < torn {
                            whole.len()
                        } else {
                            sectors(write.offset, whole.len(), chance)
                        };
                        put(&mut bytes, write.offset, &whole[..kept]);
                    }
                }
                Model::Rand => self.keep_some_pages(content, &mut bytes, chance),
            }
            write_sparse(&under(into, name.strip_prefix(of).unwrap()), &bytes);
        }
    }

    fn keep_some_pages(&self, content: &Content, bytes: &mut Vec<u8>, chance: &mut Chance) {
        let mut all = bytes.clone();
        let mut pages = BTreeSet::new();
        for write in &content.pending {
            put(&mut all, write.offset, self.log.bytes(&write.bytes));
            pages.extend(write.offset / PAGE..(write.offset + write.bytes.len()).div_ceil(PAGE));
        }
        for page in pages {
            if chance.below(2) == 0 {
                let end = all.len().min((page + 1) * PAGE);
                put(bytes, page * PAGE, &all[page * PAGE..end]);
            }
        }
        if chance.below(2) == 0 {
            bytes.resize(all.len(), 0);
        }
    }
}

/// How much of a write of so many bytes has reached the disk when it is cut off at the end of one of its sectors, or before
/// the first.
fn sectors(offset: usize, length: usize, chance: &mut Chance) -> usize {
    let ends = (offset + length).div_ceil(SECTOR) - offset / SECTOR;
    let at = (offset / SECTOR + chance.below(ends + 1)) * SECTOR;
    at.saturating_sub(offset).min(length)
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if into.len() < offset + bytes.len() {
        into.resize(offset + bytes.len(), 0);
    }
    into[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// `Path::join` with nothing adds a slash.
fn under(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() {
        folder.to_owned()
    } else {
        folder.join(rest)
    }
}

/// Large parts of a log are zeros.
fn write_sparse(path: &Path, bytes: &[u8]) {
    create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for (at, chunk) in bytes.chunks(16 * PAGE).enumerate() {
        if chunk.iter().any(|byte| *byte != 0) {
            file.write_all_at(chunk, (at * 16 * PAGE) as u64).unwrap();
        }
    }
}

/// Chances that come again with their seed (splitmix64).
#[derive(Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of the numbers below.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}
