//! Reading a whole store, to find what is damaged (guard G8).
//!
//! In: a data folder that no host uses. Out: what was found. Damage can make sled panic, or end the process: who needs to live on does
//! this in a process of its own. Must not write rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::disk::Disk;
use super::engine::Medium;
use super::layout::{self, Table};
use super::outbox::Delivery;
use super::tree::Folder;
use super::{Error, FOLDER, lock, opening, record};

/// Findings that are named; more are counted.
const NAMED: usize = 20;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were read.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What is wrong, the first twenty.
    pub findings: Vec<String>,
    /// How many there are in all.
    pub found: u64,
}

impl Checked {
    fn find(&mut self, what: String) {
        self.found += 1;
        if self.findings.len() < NAMED {
            self.findings.push(what);
        }
    }
}

/// Reads every row of the store in a data folder. Blocks, about two seconds for a million rows.
///
/// # Errors
/// As for [`super::Store::open`]: a store that does not open is the worst finding.
pub fn check(dir: &Path, cache_bytes: u64) -> Result<Checked, Error> {
    let _lock = lock::take(dir)?;
    if !dir.join(FOLDER).exists() {
        return Ok(Checked::default());
    }
    let medium = Folder::new(dir.join(FOLDER), cache_bytes, None);
    let disk = Disk::on(medium.open()?);
    let done = opening::inspect(&disk, &medium).and_then(|_| read(&disk));
    disk.close();
    done
}

fn read(disk: &Disk) -> Result<Checked, Error> {
    let mut checked = Checked::default();
    let (mut parts, mut due, mut bodies) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    let mut next = None;
    for row in disk.engine().range(&[]) {
        let (key, row) = row?;
        checked.rows += 1;
        checked.bytes += (key.len() + row.len()) as u64;
        let opened = match record::open(&key, &row) {
            Ok(opened) => opened,
            Err(error) => {
                checked.find(error.to_string());
                continue;
            }
        };
        for number in 0..opened.parts {
            parts.insert(layout::part(&key, number), false);
        }
        match key.first().copied() {
            Some(first) if first == Table::Journal as u8 => {
                let offset = layout::number_of(&key)?;
                if next.is_some_and(|next| next != offset) {
                    checked.find(format!("the journal has no event {}", next.unwrap_or(0)));
                }
                next = Some(offset + 1);
            }
            Some(first) if first == Table::Bodies as u8 => {
                bodies.insert(key.get(1..).unwrap_or_default().to_vec());
            }
            Some(first) if first == Table::Schedule as u8 => {
                due.insert(layout::ulid_of(&key)?);
            }
            _ => {}
        }
    }
    for (part, _) in parts {
        if !disk.has(&part)? {
            checked.find(format!("row {} is missing", part.escape_ascii()));
        }
    }
    deliveries(disk, &mut checked, &due, &bodies)?;
    Ok(checked)
}

/// Every delivery that waits has its place in the schedule and its body, and no place is left over.
fn deliveries(
    disk: &Disk,
    checked: &mut Checked,
    due: &BTreeSet<u128>,
    bodies: &BTreeSet<Vec<u8>>,
) -> Result<(), Error> {
    let mut known = BTreeSet::new();
    for row in disk.scan(&Table::Deliveries.prefix()) {
        // Its checksum was looked at before.
        let Ok((key, payload)) = row else { continue };
        let ulid = layout::ulid_of(&key)?;
        known.insert(ulid);
        let delivery: Delivery = record::from_json(&key, &payload)?;
        if !due.contains(&ulid) {
            checked.find(format!("the delivery {} is in no schedule", delivery.id));
        }
        if !bodies.contains(&delivery.body[..]) {
            checked.find(format!("the body of the delivery {} is missing", delivery.id));
        }
    }
    for ulid in due.difference(&known) {
        checked.find(format!("the schedule names a delivery that is not there: {ulid:x}"));
    }
    Ok(())
}
