//! The deliveries that wait, as far as they are held in memory: who is next.
//!
//! In: deliveries from the store, and what became of those that were taken. Out: the next delivery that may be tried. Must
//! not look at a clock, read the store or send; times are passed in.
//!
//! Each endpoint has a lane. In it, first attempts go in the order of their sequence within a chat, one at a time; a
//! delivery that failed stands aside until its time and holds up nobody. Lanes are served in turn.
//!
//! Bounds: a lane holds [`FRESH`] first attempts; of one that has more, the rest stays in the store and is read when
//! there is room, so that an endpoint that is down costs neither memory nor the others' turn. It holds the [`LATE`] failed ones
//! that are due first; those due later stay in the store and are read when there is room.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;

use crate::store::Delivery;

/// First attempts that a lane holds; the rest waits in the store.
pub(super) const FRESH: usize = 1_000;

/// Failed deliveries that a lane holds; the rest waits in the store.
pub(super) const LATE: usize = 10_000;

/// All lanes.
#[derive(Default)]
pub(super) struct Queue {
    lanes: BTreeMap<String, Lane>,
    /// Ids of everything held here or in flight, so that nothing is taken in twice.
    known: HashSet<String>,
    /// Those that were put back before they had ended here, and the id after which each is found in the store.
    again: HashMap<String, String>,
    in_flight: usize,
    /// The lane that was served last; the next one is asked first.
    served: String,
}

#[derive(Default)]
struct Lane {
    /// First attempts by chat, in order.
    chats: HashMap<String, VecDeque<Delivery>>,
    /// The chats that may go, by the sequence of their first delivery.
    turns: BTreeSet<(u64, String)>,
    fresh: usize,
    /// Failed ones by the time they are due.
    late: BTreeMap<(i64, u64), Delivery>,
    /// Chats with a delivery in flight.
    busy: HashSet<String>,
    in_flight: usize,
    /// Nothing goes before this time.
    parked: i64,
    /// The id after which the store has more for this lane.
    rest: Option<String>,
    /// From this due time on the store has failed ones for this lane that are not here; all that are here are due before.
    late_rest: Option<i64>,
    late_next: bool,
}

impl Queue {
    /// Takes in a delivery of the store. `before` is the id of the row before it there; from it on the lane is read again
    /// when there was no room now.
    pub(super) fn add(&mut self, delivery: Delivery, before: Option<&str>) {
        if self.known.contains(&delivery.id) {
            if delivery.replayed {
                self.again.insert(delivery.id, before.unwrap_or_default().to_owned());
            }
            return;
        }
        let lane = self.lanes.entry(delivery.endpoint.clone()).or_default();
        if delivery.tries > 0 {
            self.known.insert(delivery.id.clone());
            if let Some(left) = lane.insert_late(delivery) {
                self.known.remove(&left.id);
            }
            return;
        }
        if lane.rest.is_some() || lane.fresh >= FRESH {
            // Once one had to stay behind, so do all after it: a chat's order must hold.
            let before = before.unwrap_or_default();
            if lane.rest.as_deref().is_none_or(|rest| rest > before) {
                lane.rest = Some(before.to_owned());
            }
            return;
        }
        self.known.insert(delivery.id.clone());
        lane.insert(delivery);
    }

    /// The next delivery that may be tried. `limit` gives an endpoint's bound on requests, `all` the bound over all.
    pub(super) fn take(&mut self, now: i64, all: usize, limit: impl Fn(&str) -> usize) -> Option<Delivery> {
        if self.in_flight >= all {
            return None;
        }
        let after = (Bound::Excluded(self.served.clone()), Bound::Unbounded);
        let mut names: Vec<String> = self
            .lanes
            .range::<String, _>(after)
            .map(|(name, _)| name.clone())
            .collect();
        names.extend(self.lanes.range(..=self.served.clone()).map(|(name, _)| name.clone()));
        for name in names {
            let most = limit(&name);
            let taken = self.lanes.get_mut(&name).and_then(|lane| lane.take(now, most));
            if taken.is_some() {
                self.in_flight += 1;
                self.served = name;
                return taken;
            }
        }
        None
    }

    /// A delivery that was taken has ended: it was delivered, or is dead. If it was put back meanwhile: the id after which the
    /// store must be read again.
    pub(super) fn end(&mut self, delivery: &Delivery) -> Option<String> {
        self.release(delivery);
        self.known.remove(&delivery.id);
        if self.lanes.get(&delivery.endpoint).is_some_and(Lane::is_idle) {
            self.lanes.remove(&delivery.endpoint);
        }
        self.again.remove(&delivery.id)
    }

    /// A delivery that was taken comes back: to be tried again, or because it could not be tried.
    pub(super) fn put_back(&mut self, delivery: Delivery) {
        self.release(&delivery);
        let lane = self.lanes.entry(delivery.endpoint.clone()).or_default();
        if delivery.tries == 0 {
            lane.insert(delivery);
        } else if let Some(left) = lane.insert_late(delivery) {
            self.known.remove(&left.id);
        }
    }

    fn release(&mut self, delivery: &Delivery) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(lane) = self.lanes.get_mut(&delivery.endpoint) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.busy.remove(&delivery.chat_key);
            if let Some(next) = lane.chats.get(&delivery.chat_key).and_then(VecDeque::front) {
                lane.turns.insert((next.sequence, delivery.chat_key.clone()));
            }
        }
    }

    /// Holds an endpoint's deliveries back until a time.
    pub(super) fn park(&mut self, endpoint: &str, until: i64) {
        if let Some(lane) = self.lanes.get_mut(endpoint) {
            lane.parked = until;
        }
    }

    /// Ends every holding back.
    pub(super) fn unpark(&mut self) {
        self.lanes.values_mut().for_each(|lane| lane.parked = 0);
    }

    /// The clock was set back by `by` milliseconds: what waits keeps waiting as long as it would have.
    pub(super) fn shift(&mut self, by: i64) {
        for lane in self.lanes.values_mut() {
            lane.parked -= by;
            let moved = std::mem::take(&mut lane.late)
                .into_iter()
                .map(|((due, sequence), mut delivery)| {
                    delivery.due = due - by;
                    ((delivery.due, sequence), delivery)
                });
            lane.late = moved.collect();
        }
    }

    /// When the next delivery becomes due that is not so now; what is due now waits for another to end.
    pub(super) fn next_due(&self, now: i64) -> Option<i64> {
        self.lanes.values().filter_map(|lane| lane.next_due(now)).min()
    }

    /// An endpoint of which the store has more, now that there is room for it, and the id after which to read. It counts
    /// as read to the end, until [`Queue::add`] finds it full again.
    pub(super) fn short_of(&mut self) -> Option<(String, String)> {
        self.lanes.iter_mut().find_map(|(name, lane)| {
            let low = lane.fresh < FRESH / 4;
            lane.rest.take_if(|_| low).map(|after| (name.clone(), after))
        })
    }

    /// The same for failed deliveries: an endpoint and the due time from which to read.
    pub(super) fn short_of_late(&mut self) -> Option<(String, i64)> {
        self.lanes.iter_mut().find_map(|(name, lane)| {
            let low = lane.late.len() < LATE / 4;
            lane.late_rest.take_if(|_| low).map(|due| (name.clone(), due))
        })
    }

    /// What [`Queue::short_of`] gave could not be read.
    pub(super) fn owe(&mut self, endpoint: &str, after: String) {
        self.lanes.entry(endpoint.to_owned()).or_default().rest = Some(after);
    }

    /// What [`Queue::short_of_late`] gave could not be read to its end.
    pub(super) fn owe_late(&mut self, endpoint: &str, due: i64) {
        self.lanes.entry(endpoint.to_owned()).or_default().late_rest = Some(due);
    }

    /// Whether the store has first attempts for the endpoint that found no room.
    pub(super) fn has_more(&self, endpoint: &str) -> bool {
        self.lanes.get(endpoint).is_some_and(|lane| lane.rest.is_some())
    }

    /// Whether the store has failed deliveries for the endpoint that found no room.
    pub(super) fn has_more_late(&self, endpoint: &str) -> bool {
        self.lanes.get(endpoint).is_some_and(|lane| lane.late_rest.is_some())
    }
}

impl Lane {
    /// Takes in a failed one; gives back the one that stays in the store for want of room, which is the one due last.
    fn insert_late(&mut self, delivery: Delivery) -> Option<Delivery> {
        // Once one had to stay behind, so do all that are due after it, or it could be passed over for ever.
        if self.late_rest.is_some_and(|rest| delivery.due >= rest) {
            return Some(delivery);
        }
        self.late.insert((delivery.due, delivery.sequence), delivery);
        if self.late.len() <= LATE {
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
            if !self.busy.contains(&key) {
                self.turns.insert((sequence, key));
            }
        }
        chat.insert(at, delivery);
    }

    fn take(&mut self, now: i64, most: usize) -> Option<Delivery> {
        if self.in_flight >= most || now < self.parked {
            return None;
        }
        // In turn, so that neither those that failed nor those that are new wait for the end of the others.
        self.late_next = !self.late_next;
        let taken = if self.late_next {
            self.take_late(now).or_else(|| self.take_fresh())
        } else {
            self.take_fresh().or_else(|| self.take_late(now))
        }?;
        self.in_flight += 1;
        self.busy.insert(taken.chat_key.clone());
        self.turns.retain(|(_, key)| *key != taken.chat_key);
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
        let due = self
            .late
            .range(..=(now, u64::MAX))
            .find(|(_, delivery)| !self.busy.contains(&delivery.chat_key));
        let key = *due?.0;
        self.late.remove(&key)
    }

    fn next_due(&self, now: i64) -> Option<i64> {
        if now < self.parked {
            return (self.fresh > 0 || !self.late.is_empty()).then_some(self.parked);
        }
        self.late.range((now + 1, 0)..).next().map(|((due, _), _)| *due)
    }

    fn is_idle(&self) -> bool {
        self.fresh == 0
            && self.late.is_empty()
            && self.in_flight == 0
            && self.rest.is_none()
            && self.late_rest.is_none()
    }
}

#[cfg(test)]
mod tests;
