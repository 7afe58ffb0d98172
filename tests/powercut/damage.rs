//! A byte of the database that is not what was written: the store refuses it with a word of what to do, or has everything.
//!
//! Nearly: where the byte lies in what sled has written since its last snapshot, sled may take a whole part of its log for
//! empty and go on with what is behind it. If rows of the journal, or a commit at the end, are missing then, that is found; if an
//! older version of other rows comes back, it is not. Measured, that is the fate of 2 changed bytes in 100.
//!
//! The store is opened in a process of its own, whose end would be seen.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use wharf::store::Store;

use super::disk::Chance;
use super::images::{seed, told};
use super::oracle::{self, Promised};
use super::recorder::Bench;
use super::workload;

const CHILD: &str = "damage::child_that_opens_damaged_stores";
/// Bytes that are changed, one at a time.
const FLIPS: usize = 150;
/// Of so many changed bytes, one may go unnoticed; five times as many as were measured.
const UNNOTICED: usize = 10;

#[test]
fn a_changed_byte_in_the_database_is_refused_or_harmless() {
    let bench = Bench::new();
    let (status, said) = bench.run(workload::CHILD, "0 40 each");
    assert!(status.success(), "{said}");
    let flips = told("WHARF_POWERCUT_FLIPS").unwrap_or(FLIPS);
    let (status, said) = bench.run(CHILD, &format!("{} {flips}", seed()));
    let mut outcomes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in said
        .lines()
        .filter_map(|line| line.split_once("flip ").map(|(_, rest)| rest))
    {
        let (outcome, rest) = line.split_once(": ").unwrap();
        outcomes.entry(outcome).or_default().push(rest);
    }
    let figures: Vec<String> = outcomes
        .iter()
        .map(|(outcome, found)| format!("{} {outcome}", found.len()))
        .collect();
    eprintln!("{}", figures.join(", "));
    assert!(status.success(), "{status}: {said}");
    let count = |outcome: &str| outcomes.get(outcome).map_or(0, Vec::len);
    assert_eq!(count("older"), 0, "silently: {outcomes:#?}");
    assert!(count("unnoticed") * UNNOTICED <= flips, "silently: {outcomes:#?}");
    assert_eq!(outcomes.values().map(Vec::len).sum::<usize>(), flips, "{said}");
    assert!(count("refused") > 0, "no byte mattered: {}", figures.join(", "));
    let refused = outcomes["refused"].iter();
    assert!(refused.clone().all(|why| why.contains("damaged")), "{refused:#?}");
    let unhelpful: Vec<_> = refused.filter(|why| !why.contains("restore a backup")).collect();
    assert!(unhelpful.is_empty(), "what to do? {unhelpful:#?}");
}

#[test]
#[ignore = "the child of the test above, which starts it"]
fn child_that_opens_damaged_stores() {
    let Some((bench, told)) = Bench::of_child() else { return };
    let (seed, flips) = told.split_once(' ').unwrap();
    let mut chance = Chance::new(seed.parse().unwrap());
    let log = super::log::Log::read(&bench.log());
    let promised = Promised::of(log.marks(log.records.len()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..flips.parse().unwrap() {
        let place = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp")
            .arg("-r")
            .arg(bench.data())
            .arg(place.path())
            .status();
        assert!(copied.unwrap().success());
        let folder = place.path().join("data");
        let (at, bit) = flip(&folder.join("store/db"), &mut chance);
        let outcome = runtime.block_on(look(&folder, &promised));
        println!("flip {outcome} byte {at} bit {bit}");
    }
}

async fn look(folder: &Path, promised: &Promised) -> String {
    let store: Store = match workload::open(folder) {
        Ok(store) => store,
        Err(error) => return format!("refused: {error}"),
    };
    let found = oracle::look(&store, promised).await;
    let is_older = found.is_err() && oracle::look(&store, &Promised::default()).await.is_ok();
    let closed = store
        .close()
        .await
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    match found {
        Ok(_) => format!("whole: {closed}"),
        Err(why) if why.contains("damaged") => format!("refused in part: {why}"),
        Err(why) if is_older => format!("older: {why}"),
        // As the host does after an unclean end, and `wharf doctor` whenever it is asked.
        Err(why) => match wharf::store::check(folder, 1 << 24) {
            Ok(checked) if checked.found == 0 => format!("unnoticed: {why}"),
            _ => format!("found by a check: {why}"),
        },
    }
}

/// Changes one bit of a page that is not empty.
fn flip(path: &Path, chance: &mut Chance) -> (usize, usize) {
    let bytes = std::fs::read(path).unwrap();
    loop {
        let (at, bit) = (chance.below(bytes.len()), chance.below(8));
        let page = at / 4096 * 4096;
        if bytes[page..bytes.len().min(page + 4096)].iter().all(|byte| *byte == 0) {
            continue;
        }
        let file: File = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&[bytes[at] ^ (1 << bit)], at as u64).unwrap();
        return (at, bit);
    }
}
