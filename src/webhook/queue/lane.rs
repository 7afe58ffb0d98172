//! What waits for one endpoint.
//!
//! In: its deliveries. Out: the one that may go. Must not know other lanes.
//!
//! What strict order adds: `strict`.

mod strict;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use crate::store::Delivery;

use super::Room;
use strict::Blocked;

/// Time between two deliveries that are due by a jump of the clock alone: 20 in a second.
const OVERDUE_MS: i64 = 50;

#[derive(Default)]
pub(super) struct Lane {
    strict: bool,
    room: Room,
    /// First attempts by chat, in order.
    chats: HashMap<String, VecDeque<Delivery>>,
    /// The chats that may go, by the sequence of their first delivery.
    turns: BTreeSet<(u64, String)>,
    fresh: usize,
    /// Failed ones by the time they are due.
    late: BTreeMap<(i64, u64), Delivery>,
    /// Chats of which a delivery is taken, and its id.
    busy: HashMap<String, String>,
    /// Ids of those whose request has no answer yet.
    flying: HashSet<String>,
    /// Chats that wait for one that failed. Only in strict order.
    blocked: HashMap<String, Blocked>,
    overdue: Option<Overdue>,
    /// Nothing goes before this time.
    pub(super) parked: i64,
    /// The id after which the store has more for this lane.
    pub(super) rest: Option<String>,
    /// From this due time on the store has failed ones for this lane that are not here; all that are here are due before.
    pub(super) late_rest: Option<i64>,
    late_next: bool,
}

/// After a jump of the clock: those due until `to` go one by one.
struct Overdue {
    to: i64,
    next: i64,
}

impl Lane {
    pub(super) fn new(strict: bool, room: Room) -> Self {
        Self {
            strict,
            room,
            ..Self::default()
        }
    }

    pub(super) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Takes in a delivery; answers the id of the one that stays in the store for want of room, or because its chat is blocked.
    pub(super) fn add(&mut self, delivery: Delivery, before: Option<&str>) -> Option<String> {
        if self.strict && self.is_behind(&delivery) {
            let id = delivery.id;
            self.leave(&delivery.chat_key, before.unwrap_or_default());
            return Some(id);
        }
        if delivery.tries > 0 {
            return self.add_late(delivery);
        }
        if self.rest.is_some() || self.fresh >= self.room.fresh {
            // Once one had to stay behind, so do all after it: a chat's order must hold.
            self.owe(before.unwrap_or_default());
            return Some(delivery.id);
        }
        self.insert(delivery);
        None
    }

    /// A failed one. In strict order it blocks its chat from here on, and what is held of the chat is left to the store.
    fn add_late(&mut self, delivery: Delivery) -> Option<String> {
        if self.strict {
            let blocked = self.blocked.entry(delivery.chat_key.clone());
            blocked.or_insert(Blocked {
                by: delivery.sequence,
                rest: None,
            });
        }
        self.insert_late(delivery).map(|left| left.id)
    }

    /// Takes in a failed one; gives back the one that stays in the store for want of room, which is the one due last.
    fn insert_late(&mut self, delivery: Delivery) -> Option<Delivery> {
        // Once one had to stay behind, so do all that are due after it, or it could be passed over for ever.
        if self.late_rest.is_some_and(|rest| delivery.due >= rest) {
            return Some(delivery);
        }
        self.late.insert((delivery.due, delivery.sequence), delivery);
        if self.late.len() <= self.room.late {
            return None;
        }
        let (_, left) = self.late.pop_last()?;
        self.late_rest = Some(left.due);
        Some(left)
    }

    fn insert(&mut self, delivery: Delivery) {
        self.fresh += 1;
        let (sequence, key) = (delivery.sequence, delivery.chat_key.clone());
        let chat = self.chats.entry(key.clone()).or_default();
        let at = chat.partition_point(|other| other.sequence < sequence);
        if at == 0 {
            if let Some(first) = chat.front() {
                self.turns.remove(&(first.sequence, key.clone()));
            }
            if !self.busy.contains_key(&key) {
                self.turns.insert((sequence, key));
            }
        }
        chat.insert(at, delivery);
    }

    /// Whether something could go, if the endpoint takes it.
    pub(super) fn has_something(&self, now: i64) -> bool {
        now >= self.parked && (!self.turns.is_empty() || self.first_late(now).is_some())
    }

    pub(super) fn take(&mut self, now: i64, most: usize) -> Option<Delivery> {
        if self.flying.len() >= most || now < self.parked {
            return None;
        }
        // In turn, so that neither those that failed nor those that are new wait for the end of the others.
        self.late_next = !self.late_next;
        let taken = if self.late_next {
            self.take_late(now).or_else(|| self.take_fresh())
        } else {
            self.take_fresh().or_else(|| self.take_late(now))
        }?;
        self.flying.insert(taken.id.clone());
        self.busy.insert(taken.chat_key.clone(), taken.id.clone());
        if let Some(next) = self.chats.get(&taken.chat_key).and_then(VecDeque::front) {
            self.turns.remove(&(next.sequence, taken.chat_key.clone()));
        }
        Some(taken)
    }

    fn take_fresh(&mut self) -> Option<Delivery> {
        let (_, key) = self.turns.pop_first()?;
        let chat = self.chats.get_mut(&key)?;
        let taken = chat.pop_front();
        if chat.is_empty() {
            self.chats.remove(&key);
        }
        self.fresh -= usize::from(taken.is_some());
        taken
    }

    fn take_late(&mut self, now: i64) -> Option<Delivery> {
        let key = self.first_late(now)?;
        if let Some(overdue) = self.overdue.as_mut().filter(|overdue| key.0 <= overdue.to) {
            overdue.next = now + OVERDUE_MS;
        }
        self.late.remove(&key)
    }

    /// The first failed one that is due and whose chat is free.
    fn first_late(&self, now: i64) -> Option<(i64, u64)> {
        // While those of a jump wait for their turn, only what is due after them may go.
        let from = match &self.overdue {
            Some(overdue) if now < overdue.next => (overdue.to.saturating_add(1), 0),
            _ => (i64::MIN, 0),
        };
        if from > (now, u64::MAX) {
            return None;
        }
        let mut due = self.late.range(from..=(now, u64::MAX));
        due.find(|(_, delivery)| !self.busy.contains_key(&delivery.chat_key))
            .map(|(key, _)| *key)
    }

    /// Whether its request was under way until now.
    pub(super) fn answered(&mut self, delivery: &Delivery) -> bool {
        self.flying.remove(&delivery.id)
    }

    /// Its chat may go on.
    pub(super) fn release(&mut self, delivery: &Delivery) {
        self.busy.remove(&delivery.chat_key);
        if let Some(next) = self.chats.get(&delivery.chat_key).and_then(VecDeque::front) {
            self.turns.insert((next.sequence, delivery.chat_key.clone()));
        }
    }

    /// Comes back after it was taken. Answers the ids of those that are not held any more.
    pub(super) fn put_back(&mut self, delivery: Delivery) -> Vec<String> {
        if delivery.tries == 0 {
            self.insert(delivery);
            return Vec::new();
        }
        let mut left = Vec::new();
        if self.strict {
            if self.is_behind(&delivery) {
                // The order was another one when it was taken.
                self.leave(&delivery.chat_key, "");
                return vec![delivery.id];
            }
            left = self.block(&delivery);
        }
        left.extend(self.insert_late(delivery).map(|other| other.id));
        left
    }

    pub(super) fn is_taken(&self, delivery: &Delivery) -> bool {
        self.busy.get(&delivery.chat_key).is_some_and(|id| *id == delivery.id)
    }

    /// Takes one out that waits, if it is held.
    pub(super) fn withdraw(&mut self, delivery: &Delivery) {
        let place = (delivery.due, delivery.sequence);
        if delivery.tries > 0 && self.late.remove(&place).is_some() {
            return;
        }
        let key = &delivery.chat_key;
        if let Some(chat) = self.chats.get_mut(key)
            && let Some(at) = chat.iter().position(|other| other.id == delivery.id)
        {
            chat.remove(at);
            self.fresh -= 1;
            self.turns.remove(&(delivery.sequence, key.clone()));
            match chat.front() {
                Some(next) if !self.busy.contains_key(key) => {
                    self.turns.insert((next.sequence, key.clone()));
                }
                Some(_) => {}
                None => {
                    self.chats.remove(key);
                }
            }
        } else {
            // Its due time may have been moved since the row was read.
            self.late.retain(|_, other| other.id != delivery.id);
        }
    }

    pub(super) fn shift(&mut self, by: i64) {
        self.parked = self.parked.saturating_sub(by);
        self.overdue = None;
        if let Some(rest) = &mut self.late_rest {
            *rest = rest.saturating_sub(by);
        }
        let moved = std::mem::take(&mut self.late)
            .into_iter()
            .map(|((due, sequence), mut delivery)| {
                delivery.due = due.saturating_sub(by);
                ((delivery.due, sequence), delivery)
            });
        self.late = moved.collect();
    }

    pub(super) fn jumped(&mut self, to: i64) {
        if self.late.first_key_value().is_some_and(|((due, _), _)| *due <= to) {
            self.overdue = Some(Overdue { to, next: to });
        }
    }

    pub(super) fn next_due(&self, now: i64) -> Option<i64> {
        if now < self.parked {
            return (self.fresh > 0 || !self.late.is_empty()).then_some(self.parked);
        }
        let due = self
            .late
            .range((now.saturating_add(1), 0)..)
            .next()
            .map(|((due, _), _)| *due);
        let first = self.late.first_key_value().map(|((due, _), _)| *due);
        let overdue = self.overdue.as_ref().filter(|overdue| now < overdue.next);
        let turn = overdue
            .filter(|overdue| first.is_some_and(|first| first <= overdue.to))
            .map(|overdue| overdue.next);
        due.into_iter().chain(turn).min()
    }

    pub(super) fn oldest(&self) -> Option<i64> {
        let chats = self.chats.values().filter_map(VecDeque::front);
        chats
            .chain(self.late.values())
            .map(|delivery| delivery.created_at)
            .min()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    pub(super) fn short_of(&mut self) -> Option<String> {
        let low = self.fresh < self.room.fresh / 4;
        self.rest.take_if(|_| low)
    }

    pub(super) fn short_of_late(&mut self) -> Option<i64> {
        let low = self.late.len() < self.room.late / 4;
        self.late_rest.take_if(|_| low)
    }

    /// Notes that the store has more after this id.
    pub(super) fn owe(&mut self, after: &str) {
        lower(&mut self.rest, after);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.fresh == 0
            && self.late.is_empty()
            && self.busy.is_empty()
            && self.blocked.is_empty()
            && self.rest.is_none()
            && self.late_rest.is_none()
    }
}

/// Of two places in the store, the earlier one.
fn lower(rest: &mut Option<String>, after: &str) {
    if rest.as_deref().is_none_or(|rest| rest > after) {
        *rest = Some(after.to_owned());
    }
}
