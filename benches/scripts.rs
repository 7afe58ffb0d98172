//! The figures of scripts, each beside its aim: events through handlers, memory of an idle plugin, reload, and what a runaway
//! does to its neighbours. Without a browser: accounts answer at once. The store lies in the temporary folder (`TMPDIR`). Run by
//! `make bench`; `cargo bench --bench scripts -- reload` runs one section.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that meets what it does not expect has failed"
)]

mod folder;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::runtime::Handle;
use wharf::event::Event;
use wharf::script::throughput;
use wharf::store::EVENTS_PER_BATCH;

use folder::{Folder, message};

const EMPTY: &str = "wharf.on('message', function(msg) end)";
const PLUGINS: usize = 10;
/// Events in a VM.
const IN_MEMORY: usize = 200_000;
/// Events through the journal, and the chats that they are of.
const JOURNALED: usize = 20_000;
const CHATS: usize = 500;
const IDLE: usize = 50;
const RELOADS: usize = 100;
/// One less than suspends a script.
const RUNAWAYS: usize = 9;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    runtime.block_on(async {
        // First, while nothing else has left memory behind.
        if is_wanted("idle") {
            idle().await;
        }
        if is_wanted("memory") {
            in_memory().await;
        }
        if is_wanted("commit") {
            with_commit(1).await;
            with_commit(PLUGINS).await;
        }
        if is_wanted("reload") {
            reload().await;
        }
        if is_wanted("runaway") {
            runaway().await;
        }
    });
}

async fn in_memory() {
    let folder = Folder::new();
    let event = folder.journal(vec![message(0, "hello")]).await.remove(0);
    let one = rate(&folder, &event, 1).await;
    println!("one empty handler, in memory: {one:.0} events/s (aim: 300,000)");
    let ten = rate(&folder, &event, PLUGINS).await;
    println!("{PLUGINS} plugins with an empty handler, in memory: {ten:.0} events/s through all of them");
}

/// Events that each of so many VMs has seen, in a second.
async fn rate(folder: &Folder, event: &Arc<Event>, plugins: usize) -> f64 {
    let begun = Instant::now();
    let works = (0..plugins).map(|_| {
        let (deps, event, runtime) = (folder.deps(), Arc::clone(event), Handle::current());
        tokio::task::spawn_blocking(move || throughput(&deps, &runtime, EMPTY, &event, IN_MEMORY).unwrap())
    });
    let took: Vec<_> = join_all(works).await.into_iter().map(Result::unwrap).collect();
    let took = if plugins == 1 { took[0] } else { begun.elapsed() };
    IN_MEMORY as f64 / took.as_secs_f64()
}

async fn with_commit(plugins: usize) {
    let mut folder = Folder::new();
    let names: Vec<_> = (0..plugins).map(|n| format!("bot{n}")).collect();
    names.iter().for_each(|name| folder.write(name, EMPTY));
    folder.start().await;
    let drafts: Vec<_> = (0..JOURNALED).map(|n| message(n % CHATS, &format!("{n}"))).collect();
    let begun = Instant::now();
    join_all(
        drafts
            .chunks(EVENTS_PER_BATCH)
            .map(|some| folder.journal(some.to_vec())),
    )
    .await;
    let journaled = begun.elapsed();
    join_all(names.iter().map(|name| folder.until_finished(name))).await;
    let took = begun.elapsed();
    let aim = if plugins == 1 { " (aim: 5,000)" } else { "" };
    println!(
        "{plugins} x an empty handler, from the journal to the commit: {:.0} events/s{aim}; journaled in {:.2} s, finished in {:.2} s",
        JOURNALED as f64 / took.as_secs_f64(),
        journaled.as_secs_f64(),
        took.as_secs_f64(),
    );
    folder.stop().await;
}

async fn idle() {
    let mut folder = Folder::new();
    folder.write("first", EMPTY);
    folder.start().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = resident();
    for n in 0..IDLE {
        folder.write(&format!("idle{n}"), EMPTY);
    }
    for n in 0..IDLE {
        folder.until_generation(&format!("idle{n}"), 1).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let each = resident().saturating_sub(before) / IDLE as u64;
    println!("memory of an idle plugin with its thread: {each} KiB (aim: < 1024)");
    folder.stop().await;
}

/// Memory of this process, in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn reload() {
    let mut folder = Folder::new();
    folder.write("bot", EMPTY);
    folder.start().await;
    let mut times = Vec::new();
    for n in 0..RELOADS {
        let begun = Instant::now();
        folder.write("bot", &format!("{EMPTY} -- {n}"));
        folder.until_generation("bot", n as u64 + 2).await;
        times.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (p50, p99, max) = spread(times);
    println!(
        "save of a file -> new version in force, 50 ms of quiet included: p50 {p50:.1} ms (aim: 60), p99 {p99:.1} ms (aim: 100), max {max:.1} ms"
    );
    folder.stop().await;
}

async fn runaway() {
    let mut folder = Folder::new();
    folder.write(
        "bot",
        "wharf.on('message', { match = 'ping' }, function(msg) msg:reply(msg.body) end)",
    );
    folder.write(
        "mad",
        "wharf.on('message', { match = 'spin' }, function(msg) while true do end end)",
    );
    folder.start().await;
    let mut quiet = Vec::new();
    let mut beside = Vec::new();
    for round in 0..RUNAWAYS {
        for n in 0..15 {
            quiet.push(ping(&folder, round * 100 + n).await);
        }
        folder.journal(vec![message(0, "spin")]).await;
        // It has 100 ms of CPU time.
        let begun = Instant::now();
        let mut n = 20;
        while begun.elapsed() < Duration::from_millis(100) {
            beside.push(ping(&folder, round * 100 + n).await);
            n += 1;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (p50, p99, max) = spread(quiet);
    println!("event -> order of an answer, in peace: p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms");
    let (mad50, mad99, most) = spread(beside);
    println!(
        "the same while another script's runaway is stopped: p50 {mad50:.1} ms, p99 {mad99:.1} ms, max {most:.1} ms"
    );
    println!(
        "added delay, worst answer beside the usual one: {:.1} ms (aim: < 100)",
        most - p50
    );
    folder.stop().await;
}

/// The time from a message to the order of its answer.
async fn ping(folder: &Folder, n: usize) -> Duration {
    let text = format!("ping {n}");
    let begun = Instant::now();
    folder.journal(vec![message(n, &text)]).await;
    folder.until_sent(&text).await - begun
}

/// p50, p99 and the longest, in ms.
fn spread(mut times: Vec<Duration>) -> (f64, f64, f64) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    (at(50), at(99), at(100))
}
