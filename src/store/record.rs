//! How a row's value looks: `[kind][version][crc32c, 4 bytes little-endian][payload]`.
//!
//! The kind is the first byte of the row's key, so a row under a wrong key is found out; the checksum covers kind, version,
//! key and payload, so a changed bit is found out whatever sled makes of it. The payload is JSON, raw bytes for bodies, a
//! small header and JSON for kv. A payload larger than [`PART_MAX`] is cut: the first row has the kind's high bit set and
//! `[number of further parts, 2 bytes]` before its bytes, the others lie in the table of parts (`layout`). sled writes values
//! above a quarter of its segment into files that it never syncs; this keeps well below (guard G2).

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;

/// The version that this program writes.
const VERSION: u8 = 1;
const HEADER: usize = 6;
const CUT: u8 = 0x80;

/// Bytes of payload in one row: 16 rows of a tree node stay below the 1 MiB at which sled would use a file of its own.
pub(super) const PART_MAX: usize = 48 * 1024;

/// Further parts that a value may have: 1.5 MiB in all, more than any event or body.
pub(super) const PARTS_MAX: usize = 32;

/// A value, cut to rows.
pub(super) struct Packed {
    /// The row under the key itself.
    pub(super) first: Vec<u8>,
    /// The payloads of the further parts, in order.
    pub(super) parts: Vec<Vec<u8>>,
}

/// Wraps a payload for its key.
pub(super) fn pack(key: &[u8], payload: &[u8]) -> Result<Packed, Error> {
    let kind = kind_of(key)?;
    if payload.len() <= PART_MAX {
        return Ok(Packed {
            first: seal(kind, key, &[payload]),
            parts: Vec::new(),
        });
    }
    let mut chunks = payload.chunks(PART_MAX);
    let first = chunks.next().unwrap_or_default();
    let parts: Vec<Vec<u8>> = chunks.map(<[u8]>::to_vec).collect();
    let count = u16::try_from(parts.len())
        .ok()
        .filter(|count| usize::from(*count) <= PARTS_MAX)
        .ok_or_else(|| {
            let limit = PART_MAX * (PARTS_MAX + 1);
            Error::TooLarge {
                what: "a value, in bytes,".to_owned(),
                size: payload.len(),
                limit,
            }
        })?;
    Ok(Packed {
        first: seal(kind | CUT, key, &[&count.to_le_bytes(), first]),
        parts,
    })
}

/// Wraps one part for its key in the table of parts.
pub(super) fn pack_part(key: &[u8], payload: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(seal(kind_of(key)?, key, &[payload]))
}

/// What a row says.
pub(super) struct Opened<'a> {
    /// The payload, or its first part.
    pub(super) payload: &'a [u8],
    /// How many further parts there are.
    pub(super) parts: u16,
}

/// Checks a row and unwraps it.
pub(super) fn open<'a>(key: &[u8], row: &'a [u8]) -> Result<Opened<'a>, Error> {
    let expected = kind_of(key)?;
    let damaged = |why: &str| Error::corrupt(format!("row {}: {why}", key.escape_ascii()));
    let Some((header, payload)) = row.split_at_checked(HEADER) else {
        return Err(damaged("too short"));
    };
    let (kind, version) = (header[0], header[1]);
    let stored = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
    if stored != checksum(kind, version, key, &[payload]) {
        return Err(damaged("its checksum does not match"));
    }
    if kind & !CUT != expected {
        return Err(damaged("it belongs to another table"));
    }
    if version != VERSION {
        return Err(damaged(&format!(
            "it has version {version}, which this wharf does not know"
        )));
    }
    if kind & CUT == 0 {
        return Ok(Opened { payload, parts: 0 });
    }
    let Some((count, payload)) = payload.split_at_checked(2) else {
        return Err(damaged("too short"));
    };
    Ok(Opened {
        payload,
        parts: u16::from_le_bytes([count[0], count[1]]),
    })
}

/// A payload as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(|err| Error::invalid(format!("a value cannot be written as JSON: {err}")))
}

/// A payload read as JSON.
pub(super) fn from_json<T: DeserializeOwned>(key: &[u8], payload: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(payload).map_err(|err| Error::corrupt(format!("row {}: {err}", key.escape_ascii())))
}

fn kind_of(key: &[u8]) -> Result<u8, Error> {
    key.first()
        .copied()
        .ok_or_else(|| Error::corrupt("a row without a key"))
}

fn seal(kind: u8, key: &[u8], payload: &[&[u8]]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEADER + payload.iter().map(|part| part.len()).sum::<usize>());
    row.extend([kind, VERSION]);
    row.extend(checksum(kind, VERSION, key, payload).to_le_bytes());
    for part in payload {
        row.extend_from_slice(part);
    }
    row
}

fn checksum(kind: u8, version: u8, key: &[u8], payload: &[&[u8]]) -> u32 {
    let start = crc32c::crc32c_append(crc32c::crc32c(&[kind, version]), key);
    payload.iter().fold(start, |sum, part| crc32c::crc32c_append(sum, part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_changed_bit_anywhere_is_found(
            key in proptest::collection::vec(any::<u8>(), 1..40),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let mut key = key;
            key[0] &= 0x7f;
            let mut row = pack(&key, &payload).unwrap().first;
            prop_assert_eq!(open(&key, &row).unwrap().payload, &payload[..]);
            let at = at.index(row.len());
            row[at] ^= 1 << bit;
            prop_assert!(open(&key, &row).is_err());
        }
    }

    #[test]
    fn a_row_under_another_key_is_found() {
        let row = pack(b"abc", b"{}").unwrap().first;
        assert!(open(b"abd", &row).is_err());
        assert!(open(b"xbc", &row).is_err());
        assert!(open(b"abc", &row[..4]).is_err());
    }

    #[test]
    fn a_large_value_is_cut_and_no_row_is_over_the_limit() {
        let payload: Vec<u8> = (0..256 * 1024).map(|n: u32| n.to_le_bytes()[0]).collect();
        let packed = pack(b"b", &payload).unwrap();
        assert!(packed.first.len() <= PART_MAX + 8);
        assert!(packed.parts.iter().all(|part| part.len() <= PART_MAX));
        let opened = open(b"b", &packed.first).unwrap();
        assert_eq!(usize::from(opened.parts), packed.parts.len());
        let mut all = opened.payload.to_vec();
        all.extend(packed.parts.concat());
        assert_eq!(all, payload);
        assert!(matches!(pack(b"b", &vec![0; 2 << 20]), Err(Error::TooLarge { .. })));
    }
}
