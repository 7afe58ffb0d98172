//! The deliveries that wait, as far as they are held in memory: who is next.
//!
//! In: deliveries from the store, and what became of those that were taken. Out: the next delivery that may be tried. Must
//! not look at a clock, read the store or send; times are passed in.
//!
//! Each endpoint has a lane (`lane`). In it, first attempts go in the order of their sequence within a chat, one at a time; a
//! delivery that failed stands aside until its time and holds up nobody, or, where the endpoint wants strict order, the ones
//! after it in its chat. Lanes are served in turn.
//!
//! Bounds: a lane holds [`FRESH`] first attempts; of one that has more, the rest stays in the store and is read when
//! there is room, so that an endpoint that is down costs neither memory nor the others' turn. It holds the [`LATE`] failed ones
//! that are due first; those due later stay in the store and are read when there is room.

mod lane;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use crate::store::Delivery;

use lane::Lane;

/// First attempts that a lane holds; the rest waits in the store.
pub(super) const FRESH: usize = 1_000;

/// Failed deliveries that a lane holds; the rest waits in the store.
pub(super) const LATE: usize = 10_000;

/// How much a lane holds.
#[derive(Clone, Copy, Debug)]
struct Room {
    fresh: usize,
    late: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            fresh: FRESH,
            late: LATE,
        }
    }
}

/// All lanes.
#[derive(Default)]
pub(super) struct Queue {
    lanes: BTreeMap<String, Lane>,
    /// Ids of everything held here or taken, so that nothing is taken in twice.
    known: HashSet<String>,
    /// Those that were put back before they had ended here, and the id after which each is found in the store.
    again: HashMap<String, String>,
    in_flight: usize,
    /// The lane that was served last; the next one is asked first.
    served: String,
    /// Endpoints with strict order.
    strict: BTreeSet<String>,
    room: Room,
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
        let id = delivery.id.clone();
        let left = self.lane(&delivery.endpoint).add(delivery, before);
        if left.as_ref().is_none_or(|left| *left != id) {
            self.known.insert(id);
        }
        if let Some(left) = left {
            self.known.remove(&left);
        }
    }

    fn lane(&mut self, endpoint: &str) -> &mut Lane {
        if !self.lanes.contains_key(endpoint) {
            let lane = Lane::new(self.strict.contains(endpoint), self.room);
            self.lanes.insert(endpoint.to_owned(), lane);
        }
        self.lanes.get_mut(endpoint).expect("it is there now")
    }

    /// Which endpoints have strict order now. What waits in a lane whose order has changed is read again.
    pub(super) fn follow_strict(&mut self, strict: BTreeSet<String>) {
        for (name, lane) in &mut self.lanes {
            if lane.is_strict() != strict.contains(name) {
                for id in lane.turn(strict.contains(name)) {
                    self.known.remove(&id);
                }
            }
        }
        self.strict = strict;
    }

    /// The next delivery that may be tried. `limit` gives an endpoint's bound on requests now, `all` the bound over all.
    pub(super) fn take(&mut self, now: i64, all: usize, mut limit: impl FnMut(&str) -> usize) -> Option<Delivery> {
        if self.in_flight >= all {
            return None;
        }
        let after = (Bound::Excluded(self.served.as_str()), Bound::Unbounded);
        let upto = (Bound::Unbounded, Bound::Included(self.served.as_str()));
        let names = self
            .lanes
            .range::<str, _>(after)
            .chain(self.lanes.range::<str, _>(upto));
        let names: Vec<String> = names
            .filter(|(_, lane)| lane.has_something(now))
            .map(|(name, _)| name.clone())
            .collect();
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

    /// The request of a delivery that was taken has its answer: another one may go. Its chat waits until it is committed.
    pub(super) fn answered(&mut self, delivery: &Delivery) {
        if self
            .lanes
            .get_mut(&delivery.endpoint)
            .is_some_and(|lane| lane.answered(delivery))
        {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
    }

    /// A delivery that was taken has ended: it was delivered, or is dead. If it was put back meanwhile: the id after which the
    /// store must be read again.
    pub(super) fn end(&mut self, delivery: &Delivery) -> Option<String> {
        self.answered(delivery);
        self.known.remove(&delivery.id);
        if let Some(lane) = self.lanes.get_mut(&delivery.endpoint) {
            lane.release(delivery);
            lane.passed(delivery);
        }
        self.drop_idle(&delivery.endpoint);
        self.again.remove(&delivery.id)
    }

    /// A delivery that was taken comes back: to be tried again, or because it could not be tried.
    pub(super) fn put_back(&mut self, delivery: Delivery) {
        self.answered(&delivery);
        let lane = self.lane(&delivery.endpoint);
        lane.release(&delivery);
        for left in lane.put_back(delivery) {
            self.known.remove(&left);
        }
    }

    /// A delivery that waits is given up. Answers whether it may be: not while it is tried. It counts as known until
    /// [`Queue::forget`], so that it is not read again before it is out of the store.
    pub(super) fn withdraw(&mut self, delivery: &Delivery) -> bool {
        if let Some(lane) = self.lanes.get_mut(&delivery.endpoint) {
            if lane.is_taken(delivery) {
                return false;
            }
            lane.withdraw(delivery);
            lane.passed(delivery);
        }
        self.known.insert(delivery.id.clone());
        true
    }

    /// One that was withdrawn is out of the store. If it was put back meanwhile: the id after which the store must be read again.
    pub(super) fn forget(&mut self, delivery: &Delivery) -> Option<String> {
        self.known.remove(&delivery.id);
        self.drop_idle(&delivery.endpoint);
        self.again.remove(&delivery.id)
    }

    fn drop_idle(&mut self, endpoint: &str) {
        if self.lanes.get(endpoint).is_some_and(Lane::is_idle) {
            self.lanes.remove(endpoint);
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

    /// The clock was set back by `by` milliseconds: what waits keeps waiting as long as it would have. The rows in the store
    /// are to be moved likewise.
    pub(super) fn shift(&mut self, by: i64) {
        self.lanes.values_mut().for_each(|lane| lane.shift(by));
    }

    /// The clock was set forward to `to`: of those failed ones that are due by it alone, each endpoint gets 20 in a second.
    pub(super) fn jumped(&mut self, to: i64) {
        self.lanes.values_mut().for_each(|lane| lane.jumped(to));
    }

    /// When the next delivery becomes due that is not so now; what is due now waits for another to end, or for its endpoint.
    pub(super) fn next_due(&self, now: i64) -> Option<i64> {
        self.lanes.values().filter_map(|lane| lane.next_due(now)).min()
    }

    /// The endpoints for which something could go now, were they to take it.
    pub(super) fn ready(&self, now: i64) -> impl Iterator<Item = &str> {
        let ready = self.lanes.iter().filter(move |(_, lane)| lane.has_something(now));
        ready.map(|(name, _)| name.as_str())
    }

    /// When the oldest delivery for an endpoint was posted that is held here.
    pub(super) fn oldest(&self, endpoint: &str) -> Option<i64> {
        self.lanes.get(endpoint).and_then(Lane::oldest)
    }

    /// Requests to an endpoint that have no answer yet.
    pub(super) fn in_flight(&self, endpoint: &str) -> usize {
        self.lanes.get(endpoint).map_or(0, Lane::in_flight)
    }

    /// An endpoint of which the store has more, now that there is room for it, and the id after which to read. It counts
    /// as read to the end, until [`Queue::add`] finds it full again.
    pub(super) fn short_of(&mut self) -> Option<(String, String)> {
        self.lanes
            .iter_mut()
            .find_map(|(name, lane)| lane.short_of().map(|after| (name.clone(), after)))
    }

    /// The same for failed deliveries: an endpoint and the due time from which to read.
    pub(super) fn short_of_late(&mut self) -> Option<(String, i64)> {
        self.lanes
            .iter_mut()
            .find_map(|(name, lane)| lane.short_of_late().map(|due| (name.clone(), due)))
    }

    /// All that [`Queue::short_of`] gave is read: lanes for which nothing was found are done.
    pub(super) fn drop_done(&mut self) {
        self.lanes.retain(|_, lane| !lane.is_idle());
    }

    /// What [`Queue::short_of`] gave could not be read.
    pub(super) fn owe(&mut self, endpoint: &str, after: &str) {
        self.lane(endpoint).owe(after);
    }

    /// What [`Queue::short_of_late`] gave could not be read to its end.
    pub(super) fn owe_late(&mut self, endpoint: &str, due: i64) {
        self.lane(endpoint).late_rest = Some(due);
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

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
