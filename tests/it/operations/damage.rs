//! A damaged store, and one of a newer wharf: refused by every command that would open it, and left as it is.

use super::{NOWHERE, bytes_of, fill, flip, wharf};
use crate::support::host::Home;

#[tokio::test]
async fn the_doctor_finds_a_bit_that_has_turned_and_changes_nothing() {
    let home = Home::new(NOWHERE, "");
    fill(&home.data(), 300).await;
    let store = home.data().join("store");
    let before = bytes_of(&store);
    wharf(&home, &["doctor", "--store"]).fine();
    assert_eq!(bytes_of(&store), before, "a look at a whole store changes it");
    flip(&home.data(), "message number 150");
    let before = bytes_of(&store);
    let found = wharf(&home, &["doctor", "--store"]);
    assert!(
        found.code != Some(0) && found.errors.contains("wharf: the store is damaged: "),
        "{found:?}"
    );
    assert_eq!(bytes_of(&store), before, "a look at a damaged store changes it");
    assert!(!home.data().join("store.check").exists());
}

#[tokio::test]
async fn a_store_of_a_newer_wharf_ends_a_start_with_78_also_after_an_end_out_of_order() {
    let home = Home::new(NOWHERE, "");
    fill(&home.data(), 3).await;
    let config = sled::Config::new()
        .path(home.data().join("store"))
        .segment_size(4 << 20);
    let db = config.open().unwrap();
    // A row as the store writes it: kind, version, checksum, payload.
    let (key, payload) = (b"!", b"99");
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&[b'!', 1]), key), payload);
    let row = [&[b'!', 1][..], &sum.to_le_bytes(), payload].concat();
    db.insert(key, row).unwrap();
    db.flush().unwrap();
    drop(db);
    for uncleanly in [false, true] {
        if uncleanly {
            std::fs::write(home.data().join("store.open"), "").unwrap();
        }
        let said = wharf(&home, &["run"]);
        assert!(
            said.code == Some(78) && said.errors.contains("has schema 99") && !said.errors.contains("damaged"),
            "{said:?}"
        );
    }
}
