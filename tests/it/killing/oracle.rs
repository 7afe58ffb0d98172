//! Whether nothing was lost, made up, mixed up or put out of order.
//!
//! In: what the page was told, what the endpoints received, and the store of the host when all is over. Out: figures, or a
//! failure that says which event.

use std::collections::{BTreeMap, HashMap, HashSet};

use wharf::event::{Event, Kind, Origin};
use wharf::store::Store;

use super::receiver::Received;
use crate::support::host::Home;

/// What is known outside of the host.
pub(super) struct Told {
    /// Ids of the messages that the host said are journaled.
    pub(super) acknowledged: HashSet<String>,
    /// The texts of all messages.
    pub(super) written: Vec<String>,
    /// Texts are `CHAT-NUMBER`, and a chat's messages must come in the order of their numbers.
    pub(super) by_number: bool,
}

/// Checks everything.
pub(super) async fn check(home: &Home, received: &[Received], paths: &[&str], told: &Told) -> String {
    let data = home.data();
    let store = tokio::task::spawn_blocking(move || Store::open(&data, 16 << 20))
        .await
        .unwrap()
        .unwrap();
    let events = journal(&store).await;
    let journaled: HashSet<&str> = events.iter().filter_map(|event| event.text("id")).collect();
    for id in &told.acknowledged {
        assert!(
            journaled.contains(id.as_str()),
            "{id} was acknowledged and is not in the journal"
        );
    }
    let texts: HashSet<&str> = events.iter().filter_map(|event| event.text("body")).collect();
    let lost: Vec<_> = told
        .written
        .iter()
        .filter(|text| !texts.contains(text.as_str()))
        .collect();
    assert!(lost.is_empty(), "never journaled: {lost:?}");
    assert_eq!(events.len(), told.written.len(), "a message became two events");
    let known: HashMap<&str, &Event> = events.iter().map(|event| (event.id.as_str(), event)).collect();
    let mut repeated = 0;
    for path in paths {
        let here: Vec<&Received> = received.iter().filter(|one| one.path == *path).collect();
        let mut of_event: HashMap<&str, &Received> = HashMap::new();
        let mut of_sequence: BTreeMap<u64, &str> = BTreeMap::new();
        for one in &here {
            assert!(
                known.contains_key(one.event.as_str()),
                "{path}: nobody knows event {}",
                one.event
            );
            // However often it comes: one delivery for an event, with one id, one sequence, one body.
            match of_event.insert(&one.event, one) {
                Some(first) => {
                    repeated += 1;
                    assert_eq!(
                        (&first.id, first.sequence),
                        (&one.id, one.sequence),
                        "{path}: two deliveries"
                    );
                    assert_eq!(first.body, one.body, "{path}: two bodies of {}", one.id);
                }
                None => {
                    let other = of_sequence.insert(one.sequence, &one.id);
                    assert_eq!(other, None, "{path}: two deliveries with sequence {}", one.sequence);
                }
            }
        }
        let taken: HashSet<&str> = here
            .iter()
            .filter(|one| one.taken)
            .map(|one| one.event.as_str())
            .collect();
        for id in known.keys() {
            assert!(taken.contains(id), "{path}: event {id} never arrived");
        }
        assert!(
            of_sequence.keys().copied().eq(1..=of_sequence.len() as u64),
            "{path}: sequences with gaps"
        );
        in_order(path, &here, &known, told.by_number);
    }
    // A run that was repeated has counted once.
    let count = store.kv_get("count", "count").await.unwrap().unwrap();
    assert_eq!(
        count.value,
        events.len().to_string().into_bytes(),
        "runs that were kept"
    );
    let waiting = store.deliveries(10).await.unwrap();
    assert!(waiting.is_empty(), "delivered, and still waiting: {waiting:?}");
    store.close().await.unwrap();
    format!(
        "{} events, {} acknowledged to the page, {} requests, {repeated} of them repeated, nothing lost",
        events.len(),
        told.acknowledged.len(),
        received.len(),
    )
}

/// First tries of a chat come in the order of their deliveries; one that comes again after a kill is not first any more. Messages
/// come in the order in which they were written; what is found afterwards, because more came live than a session holds back
/// for the sweep, is in order by itself.
fn in_order(path: &str, received: &[&Received], known: &HashMap<&str, &Event>, by_number: bool) {
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut numbers: HashMap<(&str, &str), usize> = HashMap::new();
    let mut seen = HashSet::new();
    for one in received.iter().filter(|one| one.attempt == 1) {
        if !seen.insert(&one.id) {
            continue;
        }
        if let Some(sequence) = last.insert(&one.chat, one.sequence) {
            assert!(
                sequence < one.sequence,
                "{path}: {} of {} came after {sequence}",
                one.sequence,
                one.chat
            );
        }
        if by_number {
            let origin = match known[one.event.as_str()].origin {
                Origin::Live => "live",
                Origin::History => "history",
            };
            let number = one.text.split('-').nth(1).unwrap().parse().unwrap();
            if let Some(before) = numbers.insert((&one.chat, origin), number) {
                assert!(
                    before < number,
                    "{path}: {} came after {before}, both {origin}",
                    one.text
                );
            }
        }
    }
}

async fn journal(store: &Store) -> Vec<Event> {
    let (mut from, mut all) = (0, Vec::new());
    loop {
        let page = store.events(from, 1000).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        from = last + 1;
        all.extend(page.into_iter().map(|(_, event)| (*event).clone()));
    }
    all.retain(|event| event.event == Kind::MESSAGE);
    all
}
