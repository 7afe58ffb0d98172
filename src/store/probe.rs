//! A row by itself: whether it can be read, as its table says.
//!
//! In: a key and bytes of any kind. Out: what is wrong with them, if anything. For the fuzzing of what lies on a disk; must not
//! look at other rows, nor fail in any other way than by its answer.

use serde::de::DeserializeOwned;

use crate::event::Event;

use super::layout::{self, Table};
use super::marks::Mark;
use super::{
    AccountRecord, DeadLetter, DeadRun, Delivery, Error, FailedRun, Intent, Job, KeyRecord, Position, Verdict, kv,
    record,
};

type Reader = fn(&[u8], &[u8]) -> Result<(), Error>;

/// Reads the bytes as the row of this key, then as the payload of such a row whose checksum is right.
///
/// # Errors
/// What the second reading says; [`Error::Corrupt`] also where the key is none.
#[doc(hidden)]
pub fn look_at_row(key: &[u8], bytes: &[u8]) -> Result<(), Error> {
    if let Ok(opened) = record::open(key, bytes) {
        // What follows may be damaged in any way; only a panic would be wrong.
        drop(read(key, opened.payload));
    }
    let packed = record::pack(key, bytes)?;
    let opened = record::open(key, &packed.first)?;
    if usize::from(opened.parts) != packed.parts.len() || !bytes.starts_with(opened.payload) {
        return Err(Error::corrupt("a row that was just packed is not what went in"));
    }
    read(key, bytes)
}

fn read(key: &[u8], payload: &[u8]) -> Result<(), Error> {
    let is = |table: Table| key.first() == Some(&(table as u8));
    if is(Table::Journal) {
        layout::number_of(key)?;
        return json::<Event>(key, payload);
    }
    if is(Table::Kv) {
        layout::text_of(key, layout::name_of(key))?;
        return kv::is_expired(key, payload, 0).map(|_| ());
    }
    if is(Table::Deliveries) || is(Table::Schedule) {
        layout::ulid_of(key)?;
    }
    let readers: [(Table, Reader); 12] = [
        (Table::Deliveries, json::<Delivery>),
        (Table::DeadLetters, json::<DeadLetter>),
        (Table::Intents, json::<Intent>),
        (Table::Positions, json::<Position>),
        (Table::FailedRuns, json::<FailedRun>),
        (Table::DeadRuns, json::<DeadRun>),
        (Table::Verdicts, json::<Verdict>),
        (Table::Jobs, json::<Job>),
        (Table::Keys, json::<KeyRecord>),
        (Table::Accounts, json::<AccountRecord>),
        (Table::PageMarks, json::<Mark>),
        (Table::Seq, json::<u64>),
    ];
    let reader = readers.iter().find(|(table, _)| is(*table));
    reader.map_or(Ok(()), |(_, reader)| reader(key, payload))
}

fn json<T: DeserializeOwned>(key: &[u8], payload: &[u8]) -> Result<(), Error> {
    record::from_json::<T>(key, payload).map(|_| ())
}
