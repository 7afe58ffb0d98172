//! Many edits while a hundred handlers are at work: each event is handled once, by the version that was in force.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use super::bench::{Bench, message, now};

/// Files that are written, half of them with a mistake.
const WRITES: usize = 30;
/// Handlers that are at work at each write, each in a chat of its own.
const AT_WORK: usize = 100;

fn version(number: usize) -> String {
    format!(
        "wharf.on('message', function(msg)
            msg:reply('hold ' .. msg.body)
            wharf.kv.incr('handled by {number}')
            msg:reply('{number} did ' .. msg.body)
        end)\n"
    )
}

/// A text that must not come into force, though most of it could work, and what is said of it.
fn broken(number: usize) -> (String, &'static str) {
    let text = version(number);
    match (number / 2) % 4 {
        0 => (format!("{text}wharf.on('message',"), "scripts/bot.lua:6: "),
        1 => (format!("{text}error('not today')"), "scripts/bot.lua:6: not today"),
        2 => (String::new(), "scripts/bot.lua: it registers no handler"),
        _ => (
            text.replace("wharf.on(", "print("),
            "scripts/bot.lua: it registers no handler",
        ),
    }
}

/// Saves a file in place, with a pause in the middle, or as a new file that takes the name.
async fn save(bench: &Bench, text: &str, in_place: bool) {
    let path = bench.path("bot");
    if !in_place {
        let beside = path.with_extension("tmp");
        std::fs::write(&beside, text).unwrap();
        return std::fs::rename(&beside, path).unwrap();
    }
    let mut file = std::fs::File::create(path).unwrap();
    let (first, second) = text.split_at(text.len() / 2);
    file.write_all(first.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    file.write_all(second.as_bytes()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_thirty_writes_under_load_the_good_ones_come_into_force_and_no_event_is_lost_or_handled_twice() {
    let bench = Bench::with(&[("bot", &version(0))]).await;
    let (mut in_force, mut expected) = (0, Vec::new());
    for number in 1..=WRITES {
        let bodies: Vec<_> = (0..AT_WORK).map(|chat| format!("{number}-{chat}")).collect();
        let held: Vec<_> = bodies
            .iter()
            .map(|body| bench.host.hold(&format!("hold {body}")))
            .collect();
        let drafts = bodies.iter().enumerate();
        let drafts: Vec<_> = drafts
            .map(|(chat, body)| message(&format!("{chat}@c.us"), body, now()))
            .collect();
        for some in drafts.chunks(wharf::store::EVENTS_PER_BATCH) {
            bench.journal(some.to_vec()).await;
        }
        // Two orders of each run before these, and the first of each of these, which waits.
        bench.host.until_asked((2 * number - 1) * AT_WORK).await;
        expected.extend(bodies.iter().map(|body| format!("{in_force} did {body}")));

        // Good and bad ones by turns, and of both kinds every second one in place.
        let in_place = (number / 2) % 2 == 0;
        if number % 2 == 0 {
            let (text, problem) = broken(number);
            save(&bench, &text, in_place).await;
            let view = bench.until_view("bot", |view| view.refused.is_some()).await;
            let said = view.refused.unwrap().headline();
            assert!(said.starts_with(problem), "write {number}: {said}");
            assert_eq!(view.state, "running");
        } else {
            save(&bench, &version(number), in_place).await;
            // What was refused has been counted, too.
            bench
                .until_view("bot", |view| view.generation == 1 + number as u64)
                .await;
            in_force = number;
        }
        held.iter().for_each(|held| held.notify_one());
    }
    bench.host.until_asked(2 * WRITES * AT_WORK).await;
    bench.until_finished("bot").await;

    let mut did = bench.host.texts();
    did.retain(|text| text.contains("did"));
    did.sort_unstable();
    expected.sort_unstable();
    assert_eq!(did, expected, "each event once, by the version in force when it came");
    let mut asked = bench.host.asked();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), 2 * WRITES * AT_WORK, "no run was begun twice");
    // The commits say the same: a version handled what came before the next good write.
    for number in 0..=WRITES {
        // The first write ends the reign of the version before it, the last good one sees one round of events.
        let rounds = if number == 0 || number == WRITES - 1 { 1 } else { 2 };
        let good = number == 0 || (number % 2 == 1 && number < WRITES);
        let found = bench.kv("bot", &format!("handled by {number}")).await;
        assert_eq!(found, good.then(|| json!(rounds * AT_WORK)), "version {number}");
    }
    assert!(bench.store.tries("bot").await.unwrap().is_empty());
}
