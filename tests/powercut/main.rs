//! What a disk may do to the store: lose what was not synced, refuse to write, fail a sync.
//!
//! A process with the real store works under a library that notes every change of a file (`recorder.c`); from its notes the
//! disk is built anew as it might be found after a power cut at any moment (`disk`), and the store opened on it. The model
//! takes changes of names and of lengths (creating, renaming, removing, truncating) as done in order and at once, as
//! filesystems with a journal do them; only what was written into files can be lost. It is one disk.
//!
//! `WHARF_POWERCUT_IMAGES` says how many images are tried, 160 without it; `WHARF_POWERCUT_SEED` repeats a choice of chances.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod damage;
mod disk;
mod faults;
mod images;
mod log;
mod oracle;
mod recorder;
mod workload;
