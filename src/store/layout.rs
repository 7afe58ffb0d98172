//! The key of every row. All tables lie in one sled tree, each under a first byte of its own.
//!
//! | first byte, rest | table | value |
//! |---|---|---|
//! | `!` | schema | `{"schema":1}` |
//! | `h` | head | last commit, next offset, last id, how much the outbox holds |
//! | `j` offset | journal | the event |
//! | `n` account (none: the host's) | last `seq` | number |
//! | `s` account 0 hash(chat, message id) kind | compared ids | time of the commit, ms |
//! | `p` account 0 page id | page marks | `{"seq","at"}` |
//! | `m` account 0 chat | chat marks | time of the newest message, ms |
//! | `a` account | accounts | the record |
//! | `x` account | accounts whose rows are still being removed | `{"at"}` |
//! | `k` space 0 key | kv | version, expiry, JSON |
//! | `d` ulid | deliveries | the delivery |
//! | `o` due ulid | schedule of the deliveries | nothing |
//! | `q` endpoint | endpoint's last sequence and first due time, and what waits for it | `{"sequence","due","held"}` |
//! | `e` endpoint | what is kept of an endpoint over restarts: secrets it signs with, whether it is disabled | the record |
//! | `b` sha-256 | bodies | raw bytes |
//! | `r` sha-256 | how many deliveries share a body, from two on | number |
//! | `D` ulid | dead letters | delivery, reason, time |
//! | `A` ulid | what the last attempts of a delivery or dead letter met | list |
//! | `t` key | send intents | the intent |
//! | `P` script | positions | mark and ranges |
//! | `f` script 0 offset | failed runs | tries, due, error |
//! | `F` id | dead runs | the run |
//! | `g` offset | verdicts of gates | the verdict |
//! | `J` due ulid | jobs of scripts | the job |
//! | `K` id | keys of the admin | the record |
//! | `+` key part | further parts of a value over 48 KiB | raw bytes |
//!
//! Numbers are big-endian, so that rows lie in their order.

use sha2::{Digest, Sha256};

use crate::event::AccountId;

use super::Error;

/// The longest key, in bytes.
pub(super) const KEY_MAX: usize = 1024;

/// The first byte of a table's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Table {
    Schema = b'!',
    Head = b'h',
    Journal = b'j',
    Seq = b'n',
    Seen = b's',
    PageMarks = b'p',
    ChatMarks = b'm',
    Accounts = b'a',
    Removed = b'x',
    Kv = b'k',
    Deliveries = b'd',
    Schedule = b'o',
    Endpoints = b'q',
    Bodies = b'b',
    Shares = b'r',
    EndpointRecords = b'e',
    DeadLetters = b'D',
    Attempts = b'A',
    Intents = b't',
    Positions = b'P',
    FailedRuns = b'f',
    DeadRuns = b'F',
    Verdicts = b'g',
    Jobs = b'J',
    Keys = b'K',
    Parts = b'+',
}

impl Table {
    /// Whether a row under this key may have further parts, so that who replaces or deletes it must look. The numbers and
    /// marks that nearly every commit writes are small: they are spared the look.
    pub(super) fn can_be_cut(key: &[u8]) -> bool {
        const SMALL: [Table; 9] = [
            Table::Head,
            Table::Seq,
            Table::Seen,
            Table::PageMarks,
            Table::ChatMarks,
            Table::Schedule,
            Table::Endpoints,
            Table::Shares,
            Table::Parts,
        ];
        key.first()
            .is_some_and(|first| SMALL.iter().all(|table| *table as u8 != *first))
    }

    /// What all keys of the table begin with.
    pub(super) fn prefix(self) -> Vec<u8> {
        vec![self as u8]
    }

    /// A row with a name of its own, which may be empty.
    pub(super) fn named(self, name: &str) -> Result<Vec<u8>, Error> {
        self.raw(name.as_bytes())
    }

    /// A row that is numbered.
    pub(super) fn numbered(self, number: u64) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend(number.to_be_bytes());
        key
    }

    /// A row named by an id.
    pub(super) fn ulid(self, id: u128) -> Vec<u8> {
        let mut key = self.prefix();
        key.extend(id.to_be_bytes());
        key
    }

    /// A row named by bytes.
    pub(super) fn raw(self, name: &[u8]) -> Result<Vec<u8>, Error> {
        let mut key = self.prefix();
        key.extend_from_slice(name);
        bounded(key)
    }

    /// What all rows of `owner` in this table begin with.
    pub(super) fn of(self, owner: &str) -> Result<Vec<u8>, Error> {
        if owner.as_bytes().contains(&0) {
            return Err(Error::invalid(format!(
                "`{}` cannot be stored under: it holds a zero byte",
                owner.escape_debug()
            )));
        }
        let mut key = self.prefix();
        key.extend_from_slice(owner.as_bytes());
        key.push(0);
        bounded(key)
    }

    /// A row of `owner`, named within it.
    pub(super) fn owned(self, owner: &str, name: &[u8]) -> Result<Vec<u8>, Error> {
        let mut key = self.of(owner)?;
        key.extend_from_slice(name);
        bounded(key)
    }
}

/// What comes after the zero byte of an owned row's key.
pub(super) fn name_of(key: &[u8]) -> &[u8] {
    key.iter()
        .position(|byte| *byte == 0)
        .and_then(|zero| key.get(zero + 1..))
        .unwrap_or_default()
}

/// The number of a numbered row, or the offset at the end of an owned one.
pub(super) fn number_of(key: &[u8]) -> Result<u64, Error> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| Error::corrupt(format!("row {}: no number in its key", key.escape_ascii())))
}

/// The first key behind all that begin so; empty stands for a prefix that nothing lies behind.
pub(super) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// A text in a key.
pub(super) fn text_of(key: &[u8], bytes: &[u8]) -> Result<String, Error> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Error::corrupt(format!("row {}: not a text", key.escape_ascii())))
}

/// The row of a compared id. Chat and message id come from the page and have no bound: 16 bytes of their SHA-256 stand
/// for them.
pub(super) fn seen(account: &AccountId, chat: &str, message_id: &str, kind: &str) -> Result<Vec<u8>, Error> {
    let mut hash = Sha256::new();
    hash.update(chat.len().to_be_bytes());
    hash.update(chat.as_bytes());
    hash.update(message_id.as_bytes());
    let mut name = hash.finalize().get(..16).unwrap_or_default().to_vec();
    name.extend_from_slice(kind.as_bytes());
    Table::Seen.owned(account.as_str(), &name)
}

/// The row of a delivery in the schedule.
pub(super) fn schedule(due: i64, id: u128) -> Vec<u8> {
    by_due(Table::Schedule, due, id)
}

/// A row of a table that lies by due time, and then by id.
pub(super) fn by_due(table: Table, due: i64, id: u128) -> Vec<u8> {
    let mut key = table.prefix();
    // Flipping the sign bit makes the byte order the order of the numbers.
    key.extend((due.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.extend(id.to_be_bytes());
    key
}

/// The id at the end of a key.
pub(super) fn ulid_of(key: &[u8]) -> Result<u128, Error> {
    key.last_chunk::<16>()
        .map(|bytes| u128::from_be_bytes(*bytes))
        .ok_or_else(|| Error::corrupt(format!("row {}: no id in its key", key.escape_ascii())))
}

/// The row of a further part, counted from 0.
pub(super) fn part(key: &[u8], number: u16) -> Vec<u8> {
    let mut row = Table::Parts.prefix();
    row.extend_from_slice(key);
    row.extend(number.to_be_bytes());
    row
}

fn bounded(key: Vec<u8>) -> Result<Vec<u8>, Error> {
    if key.len() > KEY_MAX {
        let what = format!(
            "the key {}…, in bytes,",
            key.get(..40).unwrap_or_default().escape_ascii()
        );
        return Err(Error::TooLarge {
            what,
            size: key.len(),
            limit: KEY_MAX,
        });
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_schedule_lies_in_the_order_of_its_times(a in any::<i64>(), b in any::<i64>(), x in any::<u128>(), y in any::<u128>()) {
            prop_assert_eq!(schedule(a, x).cmp(&schedule(b, y)), (a, x).cmp(&(b, y)));
            prop_assert_eq!(ulid_of(&schedule(a, x)).unwrap(), x);
        }

        #[test]
        fn rows_of_one_owner_are_never_found_under_another(
            a in "[a-z]{1,6}", b in "[a-z]{1,6}", name in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            prop_assume!(a != b);
            let row = Table::Kv.owned(&a, &name).unwrap();
            prop_assert!(!row.starts_with(&Table::Kv.of(&b).unwrap()));
            prop_assert_eq!(name_of(&row), &name[..]);
        }
    }

    #[test]
    fn names_that_cannot_be_keys_are_refused() {
        assert!(matches!(Table::Kv.of("a\0b"), Err(Error::Invalid { .. })));
        assert!(matches!(
            Table::Intents.named(&"x".repeat(2000)),
            Err(Error::TooLarge { .. })
        ));
    }
}
