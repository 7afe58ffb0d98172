//! The figures of the whole path: the real program, real browsers, the simulated WhatsApp.
//!
//! Latencies are read from the host's own trace lines (microseconds, one clock), memory (proportional set size) from `/proc`.
//! Browsers, simulator, phones and host share the machine. Run by `make bench`.

#![allow(
    clippy::unwrap_used,
    reason = "a bench that meets what it does not expect has failed"
)]

#[path = "../tests/it/support/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests, which use more of it")]
mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::host::{Home, Host};
use support::phones::Phones;

const SHOP: &str = "491700000001";
/// Each has a chat of its own; the runs of one chat follow one another.
const WRITERS: usize = 100;
/// What WhatsApp Web in the simulator carries on a small machine, and more than that: then what waits in the page counts too.
const RATES: [u32; 2] = [25, 100];
const SECONDS: u32 = 20;
const ACCOUNTS: usize = 5;

/// Answers everybody but the phone `FRESH`; of that one, what the newest version asks for.
const ECHO: &str = r#"
wharf.on("message", { account = "shop", match = "n" }, function(msg) msg:reply("a " .. msg.body) end)
wharf.on("message", { account = "shop", match = "trip" }, function(msg) msg:reply("a " .. msg.body) end)
wharf.on("message", { account = "shop", match = "VERSION" }, function(msg) msg:reply("new " .. msg.body) end)
"#;
const FRESH: &str = "491700000003";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure());
}

fn writer(n: usize) -> String {
    format!("49170000{:04}", 100 + n)
}

async fn measure() {
    let phones = Arc::new(Phones::start().await);
    phones.add(SHOP, "Shop").await;
    for n in 0..WRITERS {
        phones.add(&writer(n), "Writer").await;
    }
    let home = Home::new(&phones.url, "[pacing]\nenabled = false\n");
    home.script("echo.lua", &ECHO.replace("VERSION", "nothing yet"));
    let host = Host::start_logging(&home, "info,wharf::path=trace").await;
    let qr = host.create_account("shop").await;
    phones.scan(SHOP, &qr).await;
    host.state("shop", "ready").await;

    for rate in RATES {
        let (from, since) = (host.logged(), Instant::now());
        pour(&phones, rate, rate * SECONDS).await;
        let poured = since.elapsed();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let log = host.log_since(from);
        report(
            &format!("event seen by the host -> action handed to the page, {rate} messages/s"),
            &pair(&log),
        );
        let sends = log.iter().filter(|line| line.contains("message in send"));
        let times: Vec<_> = sends.filter_map(|line| moment(line)).map(|(at, _)| at).collect();
        if let [first, .., last] = times.as_slice() {
            let took = (last.as_microsecond() - first.as_microsecond()) as f64 / 1e6;
            println!(
                "  written in {:.1} s, {} answers in {took:.1} s: {:.0}/s",
                poured.as_secs_f64(),
                times.len(),
                times.len() as f64 / took
            );
        }
    }

    let mut trips = Vec::new();
    for n in 0..100 {
        let (since, text) = (Instant::now(), format!("trip {n}"));
        let number = writer(n % WRITERS);
        phones.write(&number, SHOP, &text).await;
        let answer = format!("a {text}");
        while !phones.texts(&number).await.contains(&answer) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        trips.push(since.elapsed().as_micros() as i64);
    }
    report("phone -> phone, there and back", &trips);

    phones.add(FRESH, "Fresh").await;
    let mut saves = Vec::new();
    for round in 0..10 {
        let version = format!("version{round} ");
        let from = host.logged();
        // Only the version that is about to be saved answers these, so the first answer to one is its own.
        let pouring = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for n in 0..30 {
                tick.tick().await;
                phones.write(FRESH, SHOP, &format!("{version}{n}")).await;
            }
        };
        let saving = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let saved = jiff::Timestamp::now();
            home.script("echo.lua", &ECHO.replace("VERSION", &version));
            saved
        };
        let (saved, ()) = tokio::join!(saving, pouring);
        // Until the answers of this round are out, which would otherwise be taken for those of the next.
        tokio::time::sleep(Duration::from_secs(3)).await;
        saves.extend(first_answer(&host.log_since(from), saved));
    }
    report("save of a script -> first answer of the new version", &saves);

    for n in 1..ACCOUNTS {
        let (id, number) = (format!("more{n}"), format!("4917000010{n:02}"));
        phones.add(&number, &id).await;
        let qr = host.create_account(&id).await;
        phones.scan(&number, &qr).await;
        host.state(&id, "ready").await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let browsers = groups_of(&home.browsers());
    let memory: u64 = browsers.iter().filter_map(|pid| pss(*pid)).sum();
    println!(
        "host memory with {ACCOUNTS} accounts: {} MB",
        pss(host.pid()).unwrap_or_default() / 1000
    );
    println!(
        "per account: {} MB, {} processes",
        memory / 1000 / ACCOUNTS as u64,
        browsers.len() as f64 / ACCOUNTS as f64
    );
    host.stop().await;
}

/// Writes `count` messages at this rate, from each phone in turn.
async fn pour(phones: &Phones, rate: u32, count: u32) {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / rate);
    for n in 0..count {
        tick.tick().await;
        phones
            .write(&writer(n as usize % WRITERS), SHOP, &format!("n{n}"))
            .await;
    }
}

/// The moment of a line of the log and the chat that it names.
fn moment(line: &str) -> Option<(jiff::Timestamp, String)> {
    let at = line.split_whitespace().next()?.parse().ok()?;
    let chat = line.split("chat=").nth(1)?.split_whitespace().next()?;
    Some((at, chat.trim_matches('"').to_owned()))
}

/// Microseconds from each message in the ring to the next send in the same chat.
fn pair(log: &[String]) -> Vec<i64> {
    let mut waiting: HashMap<String, Vec<jiff::Timestamp>> = HashMap::new();
    let mut took = Vec::new();
    for line in log {
        let Some((at, chat)) = moment(line) else { continue };
        // The answers come by the ring as well.
        if line.contains("message in ring") && line.contains("id=false") {
            waiting.entry(chat).or_default().push(at);
        } else if line.contains("message in send") {
            let Some(queue) = waiting.get_mut(&chat).filter(|queue| !queue.is_empty()) else {
                continue;
            };
            took.push(at.as_microsecond() - queue.remove(0).as_microsecond());
        }
    }
    took
}

/// Microseconds from the save to the first answer in the chat of the phone `FRESH`.
fn first_answer(log: &[String], saved: jiff::Timestamp) -> Option<i64> {
    let sends = log.iter().filter(|line| line.contains("message in send"));
    let (at, _) = sends
        .filter_map(|line| moment(line))
        .find(|(_, chat)| chat.starts_with(FRESH))?;
    Some(at.as_microsecond() - saved.as_microsecond())
}

fn report(what: &str, took: &[i64]) {
    assert!(!took.is_empty(), "{what}: nothing was measured");
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |part: f64| {
        sorted
            .get(((sorted.len() as f64 - 1.0) * part).round() as usize)
            .copied()
            .unwrap_or_default()
    };
    let ms = |micros: i64| micros as f64 / 1000.0;
    println!(
        "{what}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms ({} samples)",
        ms(at(0.5)),
        ms(at(0.99)),
        ms(at(1.0)),
        sorted.len()
    );
}

/// All processes of the groups that these lead: a browser's helpers do not all name its profile.
fn groups_of(leaders: &[u32]) -> Vec<u32> {
    let stat = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    let group = |pid: u32| {
        stat(pid)?
            .rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(2)?
            .parse::<u32>()
            .ok()
    };
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| group(*pid).is_some_and(|group| leaders.contains(&group)))
        .collect()
}

/// Proportional set size of a process, in kB.
fn pss(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
