//! The QR code that waits to be scanned.
//!
//! In: texts from the page. Out: [`Qr`] for the admin. The text is a credential: must never reach a log or an event.

use std::fmt;

/// WhatsApp shows the first code of a round for 60 s, each later one for 20 s.
const FIRST: i64 = 60_000;
const NEXT: i64 = 20_000;

/// A code to scan.
#[derive(Clone, PartialEq, Eq)]
pub struct Qr {
    /// What the picture says.
    pub text: String,
    /// The how manieth since the account was started.
    pub attempt: u32,
    /// About when the next one comes, in milliseconds since 1970.
    pub expires_at: i64,
}

impl fmt::Debug for Qr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Qr")
            .field("text", &"***")
            .field("attempt", &self.attempt)
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// Counts the codes of an account.
#[derive(Debug, Default)]
pub(super) struct Codes {
    attempt: u32,
    in_round: u32,
}

impl Codes {
    /// A new code has come.
    pub(super) fn next(&mut self, text: String, now: i64) -> Qr {
        self.attempt += 1;
        self.in_round += 1;
        let expires_at = now + if self.in_round == 1 { FIRST } else { NEXT };
        Qr { text, attempt: self.attempt, expires_at }
    }

    /// WhatsApp Web stopped; what comes next is a first one again.
    pub(super) fn end_round(&mut self) {
        self.in_round = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_not_printed() {
        let qr = Codes::default().next("2@secret,key".to_owned(), 0);
        assert!(!format!("{qr:?}").contains("secret"));
    }

    #[test]
    fn codes_are_counted_over_rounds_and_the_first_of_a_round_lives_longer() {
        let mut codes = Codes::default();
        assert_eq!((codes.next("a".to_owned(), 0).attempt, codes.next("b".to_owned(), 0).expires_at), (1, NEXT));
        codes.end_round();
        let third = codes.next("c".to_owned(), 0);
        assert_eq!((third.attempt, third.expires_at), (3, FIRST));
    }
}
