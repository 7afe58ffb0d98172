//! Whether a store is what its process was promised: every answered commit there whole, others whole or not at all,
//! everything numbered without gaps, and able to go on.
//!
//! In: a data folder and the marks of the time before the cut. Out: what is wrong, in words.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use wharf::store::Store;

use super::workload::{
    KEPT, OPEN, PRODUCERS, SPACE, account, batch, body, chat, deliveries, large, large_at, open, stays,
};

macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => { if !$holds { return Err(format!($($why)+)); } };
}

/// What a process was promised.
#[derive(Debug, Default)]
pub(crate) struct Promised {
    /// Event id and delivery id by producer and number.
    acks: HashMap<(u64, u64), (String, String)>,
    gone: Vec<String>,
}

impl Promised {
    pub(crate) fn of<'a>(marks: impl Iterator<Item = &'a str>) -> Self {
        let mut promised = Self::default();
        for mark in marks {
            match mark.split(' ').collect::<Vec<_>>()[..] {
                ["ack", producer, n, event, delivery] => {
                    let of = (producer.parse().unwrap(), n.parse().unwrap());
                    promised.acks.insert(of, (event.to_owned(), delivery.to_owned()));
                }
                ["gone", name] => promised.gone.push(name.to_owned()),
                ["closed"] => {}
                _ => panic!("a mark that nobody knows: {mark}"),
            }
        }
        promised
    }

    pub(crate) fn acks(&self) -> usize {
        self.acks.len()
    }
}

/// Looks at a store twice: as it was found, and after it was worked with and opened again.
pub(crate) fn check(dir: &Path, promised: &Promised) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let result = runtime.block_on(async {
        let store = open(dir).map_err(|error| format!("it does not open: {error}"))?;
        let come = look(&store, promised).await?;
        let offset = *store.head().borrow();
        // Its log goes on behind whatever the cut has left there.
        for (producer, next) in &come {
            let n = *next;
            let old = n.checked_sub(OPEN).filter(|old| !stays(*old));
            let known = deliveries(&store).await.map_err(|error| error.to_string())?;
            let done = old
                .and_then(|old| known.get(&(*producer, old)))
                .map(|made| made.id.clone());
            let made = store
                .commit(batch(*producer, n, done))
                .await
                .map_err(|error| error.to_string())?;
            let (at, event) = made.events[0].as_ref().ok_or("a new event was taken for a known one")?;
            ensure!(
                *at == offset + producer,
                "the next event got offset {at}, not {}",
                offset + producer
            );
            ensure!(event.data["n"] == n, "another event was journaled");
        }
        store
            .close()
            .await
            .map_err(|error| format!("it does not close: {error}"))?;
        let store = open(dir).map_err(|error| format!("it does not open a second time: {error}"))?;
        let again = look(&store, promised).await?;
        ensure!(
            come.iter().all(|(producer, next)| again[producer] == next + 1),
            "what was committed after the cut is not there"
        );
        store.close().await.map_err(|error| error.to_string())
    });
    runtime.shutdown_background();
    result
}

/// Everything that is there; answers the next number of each producer.
pub(crate) async fn look(store: &Store, promised: &Promised) -> Result<BTreeMap<u64, u64>, String> {
    let mut ids: HashMap<(u64, u64), String> = HashMap::new();
    let mut next: BTreeMap<u64, u64> = (0..PRODUCERS).map(|producer| (producer, 0)).collect();
    let mut seqs: HashMap<String, u64> = HashMap::new();
    let (mut offset, mut last) = (0, String::new());
    loop {
        let page = store
            .events(offset, 1000)
            .await
            .map_err(|error| format!("the journal: {error}"))?;
        if page.is_empty() {
            break;
        }
        for (at, event) in page {
            ensure!(at == offset, "after event {offset} comes {at}");
            offset += 1;
            let of = event.account.as_ref().map(ToString::to_string).unwrap_or_default();
            let seq = seqs.entry(of.clone()).or_default();
            *seq += 1;
            ensure!(event.seq == *seq, "seq {} of {of} where {seq} is due", event.seq);
            ensure!(event.id > last, "id {} comes after {last}", event.id);
            last.clone_from(&event.id);
            let number = |name: &str| event.data.get(name).and_then(serde_json::Value::as_u64);
            let (Some(producer), Some(n)) = (number("producer"), number("n")) else {
                continue;
            };
            let due = next.get_mut(&producer).ok_or("an event of nobody")?;
            ensure!(n == *due, "producer {producer}: event {n} where {due} is due");
            *due += 1;
            ids.insert((producer, n), event.id.clone());
        }
    }
    ensure!(
        *store.head().borrow() == offset,
        "the head is {}, the journal ends at {offset}",
        *store.head().borrow()
    );
    for ((producer, n), (event, _)) in &promised.acks {
        ensure!(
            ids.get(&(*producer, *n)) == Some(event),
            "event {n} of producer {producer} was answered and is lost"
        );
    }
    let waiting = deliveries(store).await.map_err(|error| error.to_string())?;
    for (producer, next) in &next {
        producer_is_whole(store, *producer, *next, &waiting).await?;
    }
    for ((producer, n), (_, delivery)) in &promised.acks {
        let there = waiting.get(&(*producer, *n));
        ensure!(
            there.is_none_or(|made| made.id == *delivery),
            "delivery {n} of producer {producer} has another id"
        );
    }
    let mut sequences = HashSet::new();
    for made in waiting.values() {
        ensure!(
            sequences.insert((&made.endpoint, made.sequence)),
            "two deliveries with one sequence"
        );
    }
    ensure!(
        waiting
            .keys()
            .all(|(producer, n)| next.get(producer).is_some_and(|next| n < next)),
        "a delivery without its event"
    );
    let accounts = store.accounts().await.map_err(|error| error.to_string())?;
    for gone in &promised.gone {
        ensure!(
            accounts.iter().all(|record| record.id.as_str() != gone),
            "{gone} was removed and is back"
        );
    }
    Ok(next)
}

/// Whether all rows of a producer are those of its last commit.
async fn producer_is_whole(
    store: &Store,
    producer: u64,
    next: u64,
    waiting: &HashMap<(u64, u64), wharf::store::Delivery>,
) -> Result<(), String> {
    let of = |what: &str| format!("producer {producer} after {next} commits: {what}");
    let failed = |error: wharf::store::Error| of(&error.to_string());
    let count = store.kv_get(SPACE, &producer.to_string()).await.map_err(failed)?;
    let Some(n) = next.checked_sub(1) else {
        ensure!(count.is_none(), "{}", of("has a count"));
        return Ok(());
    };
    let count = count.ok_or_else(|| of("has no count"))?;
    ensure!(
        count.value == n.to_string().into_bytes(),
        "{}",
        of(&format!("counts {:?}", count.value.escape_ascii()))
    );
    let keys = store
        .kv_list(SPACE, &format!("t{producer}/"), 100)
        .await
        .map_err(failed)?;
    let first = next.saturating_sub(KEPT);
    ensure!(
        keys.iter()
            .map(|(key, _)| key.clone())
            .eq((first..next).map(|n| format!("t{producer}/{n:08}"))),
        "{}",
        of(&format!("keys {keys:?}"))
    );
    let value = store.kv_get(SPACE, &format!("large{producer}")).await.map_err(failed)?;
    ensure!(
        value.map(|entry| entry.value) == large_at(n).map(|n| large(producer, n)),
        "{}",
        of("the large value")
    );
    let intents = store
        .intents_with_prefix(&format!("i{producer}/"))
        .await
        .map_err(failed)?;
    ensure!(
        intents.len() as u64 == next - first,
        "{}",
        of(&format!("{} intents", intents.len()))
    );
    let position = store.position(&format!("script{producer}")).await.map_err(failed)?;
    ensure!(
        position.as_ref().is_some_and(|at| at.mark == next),
        "{}",
        of(&format!("position {position:?}"))
    );
    let mark = store
        .page_mark(&account(producer), &format!("P{producer}"))
        .await
        .map_err(failed)?;
    ensure!(mark == Some(next), "{}", of(&format!("page mark {mark:?}")));
    for n in [0, n] {
        let seen = store
            .is_seen(&account(producer), &chat(producer), &format!("M{producer}-{n}"))
            .await;
        ensure!(seen.map_err(failed)?, "{}", of("a message is not known"));
    }
    for n in 0..next {
        let made = waiting.get(&(producer, n));
        let is_open = n + OPEN >= next || stays(n);
        ensure!(
            made.is_some() == is_open,
            "{}",
            of(&format!("delivery {n} is {}", if is_open { "gone" } else { "back" }))
        );
        if let Some(made) = made {
            let found = store.delivery_body(&made.body).await.map_err(failed)?;
            ensure!(
                found.as_deref() == Some(&body(producer, n)[..]),
                "{}",
                of(&format!("the body of {n}"))
            );
        }
    }
    Ok(())
}
