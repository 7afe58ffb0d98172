//! Which secrets sign: the one in force, and those before it for a day.
//!
//! In: an endpoint's record, the secret that its settings have now, the time. Out: the record as it is to be kept. Must not
//! write it, nor sign.

use crate::config::Secret;
use crate::store::{EndpointRecord, SigningSecret};

/// How long a secret goes on signing after another one has taken its place, in milliseconds.
pub(super) const OVERLAP: i64 = 24 * 60 * 60 * 1000;

/// Secrets beside the one in force; with one more, the oldest goes.
const OLD: usize = 3;

/// Takes up the secret that holds now. Answers whether the record is another one by it.
///
/// One that is wholly removed takes those before it along: who wants no signature gets none. One that comes back signs alone
/// again, beside the one that it replaces.
pub(super) fn take_up(record: &mut EndpointRecord, holds: Option<&Secret>, now: i64) -> bool {
    let before = record.secrets.clone();
    match holds {
        None => record.secrets.clear(),
        Some(holds) => {
            for kept in &mut record.secrets {
                kept.until.get_or_insert(now.saturating_add(OVERLAP));
            }
            // The clock may have been set back meanwhile: a day is the most.
            record
                .secrets
                .retain(|kept| kept.secret != *holds && kept.until.is_some_and(|until| until > now));
            let newest = SigningSecret {
                secret: holds.clone(),
                until: None,
            };
            record.secrets.insert(0, newest);
            record.secrets.truncate(1 + OLD);
        }
    }
    record.secrets != before
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1000;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn signing(record: &EndpointRecord) -> Vec<&str> {
        record.secrets.iter().map(|kept| kept.secret.reveal()).collect()
    }

    fn holds(record: &mut EndpointRecord, text: &str, now: i64) -> bool {
        take_up(record, Some(&secret(text)), now)
    }

    #[test]
    fn an_old_secret_signs_for_a_day_and_no_longer() {
        let mut record = EndpointRecord::default();
        assert!(holds(&mut record, "a", 0));
        assert!(!holds(&mut record, "a", 100 * HOUR), "nothing is new");
        assert!(holds(&mut record, "b", 100 * HOUR));
        assert_eq!(signing(&record), ["b", "a"]);
        assert!(!holds(&mut record, "b", 124 * HOUR - 1));
        assert!(holds(&mut record, "b", 124 * HOUR));
        assert_eq!(signing(&record), ["b"]);
    }

    #[test]
    fn three_old_ones_are_the_most() {
        let mut record = EndpointRecord::default();
        for (name, now) in ["a", "b", "c", "d", "e"].into_iter().zip(0..) {
            holds(&mut record, name, now);
        }
        assert_eq!(signing(&record), ["e", "d", "c", "b"]);
    }

    #[test]
    fn one_that_comes_back_is_in_force_and_not_twice_there() {
        let mut record = EndpointRecord::default();
        holds(&mut record, "a", 0);
        holds(&mut record, "b", HOUR);
        assert!(holds(&mut record, "a", 2 * HOUR));
        assert_eq!(signing(&record), ["a", "b"]);
        assert_eq!(record.secrets[0].until, None);
        assert_eq!(record.secrets[1].until, Some(26 * HOUR));
    }

    #[test]
    fn one_that_is_removed_leaves_no_signature_at_all() {
        let mut record = EndpointRecord::default();
        holds(&mut record, "a", 0);
        holds(&mut record, "b", HOUR);
        assert!(take_up(&mut record, None, 2 * HOUR));
        assert!(record.secrets.is_empty());
        assert!(!take_up(&mut record, None, 3 * HOUR));
        holds(&mut record, "c", 4 * HOUR);
        assert_eq!(signing(&record), ["c"]);
    }
}
