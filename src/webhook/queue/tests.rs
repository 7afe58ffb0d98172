//! Who is next, and that nobody is passed over.

use super::*;

fn delivery(endpoint: &str, chat: &str, sequence: u64) -> Delivery {
    Delivery {
        // As real ones, they rise as texts do.
        id: format!("dlv_{endpoint}_{sequence:08}"),
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
        replayed: false,
        size: 0,
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

#[test]
fn failed_ones_beyond_the_bound_are_not_forgotten_and_come_by_their_time() {
    let mut queue = Queue::default();
    let count = 3 * LATE as u64 + 7;
    // Due in another order than they were posted in.
    let due = |sequence: u64| i64::try_from((sequence * 7_919) % count).unwrap() + 1;
    let store: Vec<Delivery> = (0..count)
        .map(|sequence| failed(delivery("e", "a", sequence), due(sequence)))
        .collect();
    for row in &store {
        queue.add(row.clone(), None);
        assert!(queue.known.len() <= LATE);
    }
    let mut by_due = store;
    by_due.sort_by_key(|row| row.due);
    let mut seen = Vec::new();
    while let Some(taken) = queue.take(i64::MAX - 1, 100, |_| 8) {
        seen.push(taken.due);
        queue.end(&taken);
        while let Some((endpoint, from)) = queue.short_of_late() {
            let rows = by_due.iter().filter(|row| row.due >= from && row.due > taken.due);
            for row in rows {
                queue.add(row.clone(), None);
                if queue.has_more_late(&endpoint) {
                    break;
                }
            }
        }
        assert!(queue.known.len() <= LATE);
    }
    assert_eq!(seen.len(), by_due.len(), "none is forgotten");
    assert!(seen.is_sorted());
    assert!(queue.lanes.is_empty());
}

#[test]
fn a_failed_one_that_comes_back_later_than_what_stayed_behind_stays_behind_too() {
    let mut queue = Queue::default();
    for sequence in 0..=LATE as u64 {
        let due = i64::try_from(sequence).unwrap();
        queue.add(failed(delivery("e", &sequence.to_string(), sequence), due), None);
    }
    assert!(queue.has_more_late("e"));
    let first = queue.take(0, 100, |_| 8).unwrap();
    queue.put_back(failed(first.clone(), 1_000_000));
    assert!(!queue.known.contains(&first.id), "it is read again with the rest");
    assert_eq!(queue.lanes["e"].late_rest, Some(LATE as i64));
}

#[test]
fn what_could_not_be_read_is_owed() {
    let mut queue = Queue::default();
    for sequence in 0..=FRESH as u64 {
        queue.add(delivery("e", "a", sequence), Some("before"));
    }
    assert!(queue.has_more("e"));
    while let Some(taken) = queue.take(0, 100, |_| 8) {
        queue.end(&taken);
    }
    let (endpoint, after) = queue.short_of().unwrap();
    assert!(queue.short_of().is_none());
    queue.owe(&endpoint, &after);
    assert_eq!(queue.short_of(), Some((endpoint, after)));
}

#[test]
fn what_is_put_back_while_its_end_is_not_known_here_is_read_again_then() {
    let mut queue = Queue::default();
    queue.add(delivery("e", "a", 1), None);
    let taken = queue.take(0, 8, |_| 8).unwrap();
    let back = Delivery {
        replayed: true,
        ..taken.clone()
    };
    queue.add(back.clone(), Some("dlv_before"));
    assert_eq!(queue.end(&taken).as_deref(), Some("dlv_before"));
    queue.add(back, Some("dlv_before"));
    let again = queue.take(0, 8, |_| 8).unwrap();
    assert!(again.replayed);
    assert_eq!(queue.end(&again), None);
}

#[test]
fn a_full_lane_is_read_again_from_the_first_that_found_no_room() {
    let mut queue = Queue::default();
    for sequence in 1..=u64::try_from(FRESH).unwrap() {
        queue.add(delivery("e", "a", 10 + sequence), None);
    }
    queue.add(delivery("e", "a", 5_000), Some("dlv_5"));
    queue.add(delivery("e", "a", 3), Some("dlv_2"));
    queue.add(delivery("e", "a", 6_000), Some("dlv_7"));
    while let Some(taken) = queue.take(0, 8, |_| 8) {
        queue.end(&taken);
    }
    assert_eq!(queue.short_of(), Some(("e".to_owned(), "dlv_2".to_owned())));
}
