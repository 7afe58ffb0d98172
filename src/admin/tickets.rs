//! Who is signed in on a page.
//!
//! In: a key that was shown to be right. Out: the value of the cookie, and the token that the page must send with every
//! change. Must not hold the key: the ticket names it, so that a revoked key ends its pages at once. Tickets live in memory;
//! after a restart of the host people sign in again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{Error, keys};

/// How long a ticket is good.
pub(super) const LIFE: Duration = Duration::from_secs(12 * 60 * 60);

/// Tickets at a time; when there are more, the oldest ends.
const MOST: usize = 256;

/// Characters of a cookie or token: 256 bits.
const LENGTH: usize = 43;

/// A signed-in page.
#[derive(Clone)]
pub(super) struct Ticket {
    pub(super) key_id: String,
    /// What changes from the page must bring along.
    pub(super) token: String,
    until: Instant,
}

/// Without the token: a `Caller` holds the ticket and may be printed.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    pub(super) fn has_token(&self, shown: &str) -> bool {
        self.token.as_bytes().ct_eq(shown.as_bytes()).into()
    }
}

/// The tickets, by the hash of their cookie: looking one up then tells nothing about the others by its time.
#[derive(Default)]
pub(super) struct Tickets {
    live: Mutex<HashMap<[u8; 32], Ticket>>,
}

impl Tickets {
    /// Signs in; answers the cookie's value.
    pub(super) fn issue(&self, key_id: String) -> Result<String, Error> {
        let (cookie, token) = (keys::random(LENGTH)?, keys::random(LENGTH)?);
        let now = Instant::now();
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, ticket| ticket.until > now);
        if live.len() >= MOST {
            let oldest = live
                .iter()
                .min_by_key(|(_, ticket)| ticket.until)
                .map(|(hash, _)| *hash);
            oldest.and_then(|hash| live.remove(&hash));
        }
        live.insert(
            keys::hash(&cookie),
            Ticket {
                key_id,
                token,
                until: now + LIFE,
            },
        );
        Ok(cookie)
    }

    pub(super) fn find(&self, cookie: &str) -> Option<Ticket> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.get(&keys::hash(cookie))
            .filter(|ticket| ticket.until > Instant::now())
            .cloned()
    }

    pub(super) fn end(&self, cookie: &str) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&keys::hash(cookie));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_until_it_is_ended_or_old() {
        let tickets = Tickets::default();
        let cookie = tickets.issue("k1".to_owned()).unwrap();
        let ticket = tickets.find(&cookie).unwrap();
        assert_eq!(ticket.key_id, "k1");
        assert!(!format!("{ticket:?}").contains(&ticket.token));
        assert!(ticket.has_token(&ticket.token.clone()) && !ticket.has_token("") && !ticket.has_token(&cookie));
        tokio::time::advance(LIFE).await;
        assert!(tickets.find(&cookie).is_none());
        let cookie = tickets.issue("k1".to_owned()).unwrap();
        tickets.end(&cookie);
        assert!(tickets.find(&cookie).is_none());
    }

    #[test]
    fn their_number_is_bounded() {
        let tickets = Tickets::default();
        let cookies: Vec<String> = (0..MOST + 3).map(|n| tickets.issue(n.to_string()).unwrap()).collect();
        assert_eq!(
            cookies.iter().filter(|cookie| tickets.find(cookie).is_some()).count(),
            MOST
        );
    }
}
