//! The deliveries that wait, as far as they are held in memory: who is next.
//!
//! In: deliveries from the store, and what became of those that were taken. Out: the next delivery that may be tried. Must
//! not look at a clock, read the store or send; times are passed in.
//!
//! Each endpoint has a lane. In it, first attempts go in the order of their sequence within a chat, one at a time; a
//! delivery that failed stands aside until its time and holds up nobody. Lanes are served in turn.
//!
//! Bounds: a lane holds [`FRESH`] first attempts; of one that has more, the rest stays in the store and is read when
//! there is room, so that an endpoint that is down costs neither memory nor the others' turn. It holds [`LATE`] that failed;
//! beyond that they are forgotten here and found again in the store by their time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;

use crate::store::Delivery;

/// First attempts that a lane holds; the rest waits in the store.
pub(super) const FRESH: usize = 1_000;

/// Failed deliveries that a lane holds; the rest is found again in the store when it is due.
pub(super) const LATE: usize = 10_000;

/// All lanes.
#[derive(Default)]
pub(super) struct Queue {
    lanes: BTreeMap<String, Lane>,
    /// Ids of everything held here or in flight, so that nothing is taken in twice.
    known: HashSet<String>,
    in_flight: usize,
    /// The lane that was served last; the next one is asked first.
    served: String,
    /// Whether failed deliveries were forgotten for want of room.
    forgot: bool,
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
    late_next: bool,
}

impl Queue {
    /// Takes in a delivery of the store. `before` is the id of the row before it there; from it on the lane is read again
    /// when there was no room now.
    pub(super) fn add(&mut self, delivery: Delivery, before: Option<&str>) {
        if self.known.contains(&delivery.id) {
            return;
        }
        let lane = self.lanes.entry(delivery.endpoint.clone()).or_default();
        if delivery.tries > 0 {
            if lane.late.len() >= LATE {
                self.forgot = true;
                return;
            }
        } else if lane.rest.is_some() || lane.fresh >= FRESH {
            // Once one had to stay behind, so do all after it: a chat's order must hold.
            lane.rest.get_or_insert_with(|| before.unwrap_or_default().to_owned());
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

    /// A delivery that was taken has ended: it was delivered, or is dead.
    pub(super) fn end(&mut self, delivery: &Delivery) {
        self.release(delivery);
        self.known.remove(&delivery.id);
        if self.lanes.get(&delivery.endpoint).is_some_and(Lane::is_idle) {
            self.lanes.remove(&delivery.endpoint);
        }
    }

    /// A delivery that was taken comes back: to be tried again, or because it could not be tried.
    pub(super) fn put_back(&mut self, delivery: Delivery) {
        self.release(&delivery);
        let lane = self.lanes.entry(delivery.endpoint.clone()).or_default();
        if delivery.tries > 0 && lane.late.len() >= LATE {
            self.forgot = true;
            self.known.remove(&delivery.id);
            return;
        }
        lane.insert(delivery);
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

    /// Whether failed deliveries were forgotten since this was last asked.
    pub(super) fn forgot(&mut self) -> bool {
        std::mem::take(&mut self.forgot)
    }
}

impl Lane {
    fn insert(&mut self, delivery: Delivery) {
        if delivery.tries > 0 {
            self.late.insert((delivery.due, delivery.sequence), delivery);
            return;
        }
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
        self.fresh == 0 && self.late.is_empty() && self.in_flight == 0 && self.rest.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(endpoint: &str, chat: &str, sequence: u64) -> Delivery {
        Delivery {
            id: format!("dlv_{endpoint}_{sequence}"),
            endpoint: endpoint.to_owned(),
            sequence,
            chat_key: chat.to_owned(),
            body: [0; 32],
            due: 0,
            tries: 0,
            created_at: 0,
            last_error: None,
            script: None,
            event_id: None,
        }
    }

    fn failed(mut delivery: Delivery, due: i64) -> Delivery {
        delivery.tries += 1;
        delivery.due = due;
        delivery
    }

    fn next(queue: &mut Queue, now: i64) -> Option<(String, u64)> {
        queue
            .take(now, 100, |_| 8)
            .map(|taken| (taken.chat_key, taken.sequence))
    }

    fn named(chat: &str, sequence: u64) -> Option<(String, u64)> {
        Some((chat.to_owned(), sequence))
    }

    #[test]
    fn a_chat_goes_one_by_one_in_order_and_chats_go_together() {
        let mut queue = Queue::default();
        for (chat, sequence) in [("a", 1), ("a", 2), ("b", 3), ("a", 4)] {
            queue.add(delivery("e", chat, sequence), None);
        }
        assert_eq!(next(&mut queue, 0), named("a", 1));
        assert_eq!(next(&mut queue, 0), named("b", 3));
        assert_eq!(next(&mut queue, 0), None, "a is under way");
        queue.end(&delivery("e", "a", 1));
        assert_eq!(next(&mut queue, 0), named("a", 2));
        queue.end(&delivery("e", "a", 2));
        queue.end(&delivery("e", "b", 3));
        assert_eq!(next(&mut queue, 0), named("a", 4));
    }

    #[test]
    fn a_failed_one_stands_aside_until_its_time() {
        let mut queue = Queue::default();
        queue.add(delivery("e", "a", 1), None);
        queue.add(delivery("e", "a", 2), None);
        let first = queue.take(0, 100, |_| 8).unwrap();
        queue.put_back(failed(first, 500));
        assert_eq!(next(&mut queue, 0), named("a", 2));
        queue.end(&delivery("e", "a", 2));
        assert_eq!(queue.next_due(0), Some(500));
        assert_eq!(next(&mut queue, 499), None);
        assert_eq!(next(&mut queue, 500), named("a", 1));
    }

    #[test]
    fn bounds_hold_per_endpoint_and_over_all_and_endpoints_take_turns() {
        let mut queue = Queue::default();
        for sequence in 0..10 {
            queue.add(delivery("busy", &format!("chat{sequence}"), sequence), None);
        }
        queue.add(delivery("calm", "x", 100), None);
        let taken: Vec<String> = std::iter::from_fn(|| queue.take(0, 100, |_| 3))
            .map(|delivery| delivery.endpoint)
            .collect();
        assert_eq!(taken, ["busy", "calm", "busy", "busy"]);
        queue.end(&delivery("calm", "x", 100));
        queue.add(delivery("calm", "x", 101), None);
        assert!(queue.take(0, 3, |_| 8).is_none(), "three are in flight over all");
        assert!(queue.take(0, 4, |_| 8).is_some());
    }

    #[test]
    fn what_is_held_or_in_flight_is_not_taken_in_again() {
        let mut queue = Queue::default();
        queue.add(delivery("e", "a", 1), None);
        queue.add(delivery("e", "a", 1), None);
        let taken = queue.take(0, 100, |_| 8).unwrap();
        queue.add(delivery("e", "a", 1), None);
        queue.end(&taken);
        assert_eq!(next(&mut queue, 0), None);
        assert!(queue.lanes.is_empty(), "nothing is kept of an endpoint that is done");
    }

    #[test]
    fn a_parked_endpoint_waits_and_the_others_do_not() {
        let mut queue = Queue::default();
        queue.add(delivery("gone", "a", 1), None);
        queue.add(delivery("here", "a", 1), None);
        let taken = queue.take(0, 100, |_| 8).unwrap();
        assert_eq!(taken.endpoint, "gone");
        queue.put_back(taken);
        queue.park("gone", 1_000);
        assert_eq!(queue.take(0, 100, |_| 8).unwrap().endpoint, "here");
        assert!(queue.take(999, 100, |_| 8).is_none());
        assert_eq!(queue.next_due(999), Some(1_000));
        queue.unpark();
        assert_eq!(queue.take(5, 100, |_| 8).unwrap().endpoint, "gone");
    }

    #[test]
    fn a_clock_set_back_does_not_lengthen_a_wait() {
        let mut queue = Queue::default();
        queue.add(failed(delivery("e", "a", 1), 10_000), None);
        queue.shift(4_000);
        assert_eq!(queue.next_due(0), Some(6_000));
        assert_eq!(queue.take(6_000, 100, |_| 8).unwrap().due, 6_000);
    }

    #[test]
    fn a_long_backlog_stays_in_the_store_and_comes_in_its_order() {
        let mut queue = Queue::default();
        let store: Vec<Delivery> = (0..5_000).map(|sequence| delivery("e", "a", sequence)).collect();
        let read = |queue: &mut Queue, from: usize| {
            let mut before = from.checked_sub(1).map(|index| store[index].id.clone());
            for row in &store[from..] {
                queue.add(row.clone(), before.as_deref());
                before = Some(row.id.clone());
            }
        };
        read(&mut queue, 0);
        assert!(queue.short_of().is_none(), "there is no room yet");
        let mut seen = Vec::new();
        while let Some(taken) = queue.take(0, 100, |_| 8) {
            seen.push(taken.sequence);
            queue.end(&taken);
            if let Some((endpoint, after)) = queue.short_of() {
                assert_eq!(endpoint, "e");
                let from = store.iter().position(|row| row.id == after).unwrap() + 1;
                read(&mut queue, from);
            }
            assert!(queue.known.len() <= FRESH);
        }
        assert_eq!(seen, (0..5_000).collect::<Vec<_>>());
    }
}
