//! Names and keys that the server makes: refs, device keys, message ids, group ids, lids.
//!
//! In: nothing but the system's randomness. Out: text. Must not know what a token is used for.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    bytes
}

fn hex<const N: usize>() -> String {
    random::<N>()
        .iter()
        .fold(String::with_capacity(2 * N), |mut text, byte| {
            write!(text, "{byte:02X}").expect("writing to a string cannot fail");
            text
        })
}

/// A ref for a code. Real ones begin with `2@` and hold no comma (library: `AuthCode.fullCode` splits by commas).
pub(super) fn reference() -> String {
    format!("2@{}", STANDARD.encode(random::<48>()))
}

/// The id of a linked device (assumed: ours are opaque, the real ones are `NUMBER:INDEX`).
pub(super) fn device() -> String {
    format!("dev-{}", hex::<6>().to_lowercase())
}

/// What a device proves itself with.
pub(super) fn key() -> String {
    URL_SAFE_NO_PAD.encode(random::<24>())
}

/// The id of a message that a phone has written: `3A` and 18 hex digits, as an iPhone makes them; the library's own
/// begin with `3EB0`.
pub(super) fn message() -> String {
    format!("3A{}", hex::<9>())
}

/// The id of a group: 18 digits, beginning as the real ones do (assumed from ids in public issues).
pub(super) fn group() -> String {
    let digits = u64::from_le_bytes(random::<8>()) % 1_000_000_000_000;
    format!("120363{digits:012}@g.us")
}

/// The lid of a number: 15 digits that do not show the number (WhatsApp's purpose of a lid), the same at each start so
/// that a kept profile meets the lid it knows.
pub(super) fn lid(number: &str) -> String {
    // FNV-1a: nothing depends on its strength, only on its being the same tomorrow.
    let hash = number.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}@lid", 100_000_000_000_000 + hash % 900_000_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ref_holds_no_comma_and_no_two_are_equal() {
        let (one, two) = (reference(), reference());
        assert!(one.starts_with("2@") && !one.contains(','));
        assert_ne!(one, two);
    }

    #[test]
    fn a_number_has_one_lid_for_ever() {
        assert_eq!(lid("4915112345678"), lid("4915112345678"));
        assert_ne!(lid("4915112345678"), lid("4915112345679"));
        assert_eq!(lid("1").len(), 15 + "@lid".len());
    }
}
