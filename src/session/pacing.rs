//! How fast an account sends: a turn for each send, by chat and by minute.
//!
//! In: `[pacing]`, or the account's own. Out: a [`Turn`], which holds its chat's lane until it is dropped, so that sends to one
//! chat follow one another also when pacing is off. Must not know what is sent.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as Lane, OwnedMutexGuard, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::config::resolved::Pacing as Rules;
use crate::event::AccountId;

/// Lanes kept before those that nobody uses are forgotten.
const LANES: usize = 1024;

const MINUTE: Duration = Duration::from_secs(60);

/// The turns of one account.
#[derive(Debug)]
pub(super) struct Pacing {
    account: AccountId,
    config: watch::Receiver<Arc<Config>>,
    /// For each chat, when its next send may go.
    lanes: Mutex<HashMap<String, Arc<Lane<Option<Instant>>>>>,
    /// When the sends of the last minute went; its lock is the queue for the account's next place.
    minute: Lane<VecDeque<Instant>>,
    waiting: AtomicUsize,
}

/// The right to send now; the chat's lane is free again when it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _lane: OwnedMutexGuard<Option<Instant>>,
}

/// As many wait as may.
#[derive(Debug)]
pub(super) struct Full(pub(super) usize);

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pacing {
    pub(super) fn new(account: AccountId, config: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            account,
            config,
            lanes: Mutex::default(),
            minute: Lane::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Waits for a turn. `bounded`: refused if [`Rules::waiting`] wait already; otherwise the caller is bounded by itself
    /// (a script has at most 64 runs at work). Dropped while waiting, it gives its place up.
    pub(super) async fn turn(&self, chat: &str, bounded: bool) -> Result<Turn, Full> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let limit = self.rules().waiting;
        if bounded && before >= limit {
            return Err(Full(limit));
        }
        let mut lane = self.lane(chat).lock_owned().await;
        if let Some(next) = *lane {
            self.sleep_until(|_| Some(next)).await;
        }
        let mut minute = self.minute.lock().await;
        self.sleep_until(|rules| {
            let most = usize::try_from(rules.per_minute.max(1)).unwrap_or(usize::MAX);
            minute.len().checked_sub(most).and_then(|over| minute.get(over)).map(|at| *at + MINUTE)
        })
        .await;
        let now = Instant::now();
        while minute.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            minute.pop_front();
        }
        let rules = self.rules();
        if rules.enabled {
            minute.push_back(now);
            *lane = Some(now + rules.per_chat.mul_f64(1.0 + super::chance() / 2.0));
        } else {
            *lane = None;
        }
        Ok(Turn { _lane: lane })
    }

    /// Sleeps as long as the rules in force say so; they may change meanwhile.
    async fn sleep_until(&self, until: impl Fn(&Rules) -> Option<Instant>) {
        let mut config = self.config.clone();
        loop {
            config.mark_unchanged();
            let rules = self.rules();
            let Some(until) = until(&rules).filter(|_| rules.enabled) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                Ok(()) = config.changed() => {}
            }
        }
    }

    fn rules(&self) -> Rules {
        let config = self.config.borrow();
        let own = config.account.get(&self.account).and_then(|account| account.pacing.as_ref());
        own.unwrap_or(&config.pacing).clone()
    }

    fn lane(&self, chat: &str) -> Arc<Lane<Option<Instant>>> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= LANES {
            let now = Instant::now();
            let is_used = |lane: &Arc<Lane<Option<Instant>>>| {
                Arc::strong_count(lane) > 1 || lane.try_lock().map_or(true, |next| next.is_some_and(|at| at > now))
            };
            lanes.retain(|_, lane| is_used(lane));
        }
        Arc::clone(lanes.entry(chat.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::config;
    use super::*;

    fn pacing(rules: Rules) -> (Arc<Pacing>, watch::Sender<Arc<Config>>) {
        let mut config = config(std::path::Path::new("/nowhere"));
        config.pacing = rules;
        let (sender, receiver) = watch::channel(Arc::new(config));
        (Arc::new(Pacing::new("one".parse().unwrap(), receiver)), sender)
    }

    fn rules() -> Rules {
        Rules { enabled: true, per_chat: Duration::from_secs(1), per_minute: 5, waiting: 2 }
    }

    #[tokio::test(start_paused = true)]
    async fn sends_to_one_chat_keep_a_gap_and_other_chats_do_not_wait_for_it() {
        let (pacing, _config) = pacing(rules());
        let start = Instant::now();
        drop(pacing.turn("a", true).await);
        drop(pacing.turn("b", true).await);
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(pacing.turn("a", true).await);
        let gap = start.elapsed();
        assert!(gap >= Duration::from_secs(1) && gap <= Duration::from_millis(1501), "{gap:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_holds_no_more_than_its_number() {
        let (pacing, _config) = pacing(rules());
        let start = Instant::now();
        for chat in 0..11 {
            drop(pacing.turn(&chat.to_string(), true).await);
        }
        assert_eq!(start.elapsed().as_secs(), 120);
    }

    #[tokio::test(start_paused = true)]
    async fn off_is_as_fast_as_can_be_and_one_chat_still_has_one_at_a_time() {
        let (pacing, _config) = pacing(Rules { enabled: false, ..rules() });
        let start = Instant::now();
        let first = pacing.turn("a", true).await.unwrap();
        for chat in 0..100 {
            drop(pacing.turn(&format!("b{chat}"), true).await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        let second = tokio::time::timeout(Duration::from_secs(5), pacing.turn("a", true)).await;
        assert!(second.is_err(), "two at a time in one chat");
        drop(first);
        assert!(pacing.turn("a", true).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_more_than_may_wait_is_refused_and_a_run_is_not() {
        let (pacing, _config) = pacing(rules());
        let _held = pacing.turn("a", true).await.unwrap();
        let others: Vec<_> = (0..2)
            .map(|_| {
                let pacing = Arc::clone(&pacing);
                tokio_util::task::TaskTracker::new().spawn(async move { pacing.turn("a", true).await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(matches!(pacing.turn("b", true).await, Err(Full(2))));
        assert!(pacing.turn("b", false).await.is_ok());
        others.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[tokio::test(start_paused = true)]
    async fn pacing_that_is_turned_off_lets_those_go_that_wait() {
        let (pacing, config) = pacing(Rules { per_chat: Duration::from_secs(3600), ..rules() });
        drop(pacing.turn("a", true).await);
        let mut off = Config::clone(&config.borrow());
        off.pacing.enabled = false;
        let start = Instant::now();
        let (turn, ()) = tokio::join!(pacing.turn("a", true), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            config.send_replace(Arc::new(off));
        });
        assert!(turn.is_ok());
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }
}
