//! Ids that only rise.
//!
//! A ULID is 48 bits of milliseconds and 80 bits of chance. [`Ids`] gives each id a greater value than the one before:
//! within one millisecond, and when the clock has gone back, the last id plus one. The last id is kept in the store's head,
//! so this holds across restarts, too.

use ulid::Ulid;

use super::Error;

/// The maker of ids; its value is the last one made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ids {
    last: u128,
}

impl Ids {
    /// Goes on after `last`.
    pub(super) fn after(last: u128) -> Self {
        Ids { last }
    }

    /// The last id made.
    pub(super) fn last(self) -> u128 {
        self.last
    }

    /// The next id, at this time in milliseconds since 1970.
    pub(super) fn next(&mut self, now: i64) -> Result<u128, Error> {
        let mut chance = [0u8; 16];
        getrandom::fill(&mut chance[6..])
            .map_err(|err| Error::invalid(format!("the operating system gives no random numbers: {err}")))?;
        let time = u128::try_from(now).unwrap_or(0).min((1 << 48) - 1);
        let fresh = (time << 80) | u128::from_be_bytes(chance);
        self.last = if fresh > self.last {
            fresh
        } else {
            self.last.saturating_add(1)
        };
        Ok(self.last)
    }
}

/// When an id was made, in milliseconds since 1970.
pub(super) fn time_of(id: u128) -> i64 {
    i64::try_from(id >> 80).unwrap_or(i64::MAX)
}

/// An id as text, such as `evt_01J…`.
pub(super) fn text(prefix: &str, id: u128) -> String {
    format!("{prefix}{}", Ulid(id))
}

/// The id in a text; `None` if it is not one with this prefix.
pub(super) fn parse(prefix: &str, text: &str) -> Option<u128> {
    Ulid::from_string(text.strip_prefix(prefix)?).ok().map(|id| id.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn ids_rise_whatever_the_clock_does(times in proptest::collection::vec(-5_000..2_000_000_000_000i64, 1..200)) {
            let mut ids = Ids::default();
            let mut before = String::new();
            for now in times {
                let id = text("evt_", ids.next(now).unwrap());
                prop_assert!(id > before, "{} after {}", id, before);
                prop_assert_eq!(parse("evt_", &id), Some(ids.last()));
                before = id;
                // A restart loses everything but the last id.
                ids = Ids::after(ids.last());
            }
        }
    }

    #[test]
    fn what_is_not_an_id_is_not_parsed() {
        assert_eq!(parse("evt_", "dlv_01ARZ3NDEKTSV4RRFFQ69G5FAV"), None);
        assert_eq!(parse("evt_", "evt_hello"), None);
        assert_eq!(parse("evt_", ""), None);
    }
}
