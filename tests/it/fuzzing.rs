//! The fuzz targets over their corpus, whole and spoilt a little, so that they cannot rot: `make fuzz` runs them for longer.

#[path = "../../fuzz/targets/admin.rs"]
mod admin;
#[path = "../../fuzz/targets/agent.rs"]
mod agent;
#[path = "../../fuzz/targets/config.rs"]
mod config;
#[path = "../../fuzz/targets/record.rs"]
mod record;

use std::path::Path;
use std::time::{Duration, Instant};

/// Spoilt inputs for each one of the corpus.
const SPOILT: usize = 100;

#[test]
fn a_configuration_of_any_content_is_read_or_refused() {
    over("config", config::run);
}

#[test]
fn a_call_of_the_page_with_any_content_is_a_report_or_nothing() {
    over("agent", agent::run);
}

#[test]
fn a_row_of_any_content_is_decoded_or_reported() {
    over("record", record::run);
}

#[test]
fn a_request_of_any_form_is_answered_and_never_the_hosts_fault() {
    over("admin", admin::run);
}

fn told(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "how a person asks for more than the usual")]
    std::env::var(name).ok()?.parse().ok()
}

/// `WHARF_FUZZ_SECONDS` goes on for so long instead of once through; `WHARF_FUZZ_SEED` repeats.
fn over(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut corpus: Vec<Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    corpus.sort();
    assert!(corpus.len() > 3, "the corpus of {target} was not found");
    let mut seed = told("WHARF_FUZZ_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    eprintln!("WHARF_FUZZ_SEED={seed}");
    let (since, seconds) = (Instant::now(), told("WHARF_FUZZ_SECONDS"));
    let mut tried = 0_u64;
    loop {
        for whole in &corpus {
            run(whole);
            for _ in 0..SPOILT {
                run(&spoil(whole, &corpus, &mut seed));
                tried += 1;
            }
        }
        if seconds.is_none_or(|seconds| since.elapsed() > Duration::from_secs(seconds)) {
            break;
        }
    }
    eprintln!("{target}: {tried} inputs");
}

/// A few changes: bits, bytes that mean something, parts that are gone, twice there, or another's.
fn spoil(whole: &[u8], corpus: &[Vec<u8>], seed: &mut u64) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\"\\{}[]:,=-.09%\r\n \xff\x80&/";
    let mut spoilt = whole.to_vec();
    for _ in 0..=below(4, seed) {
        let at = below(spoilt.len() + 1, seed);
        let end = at + below(spoilt.len() - at + 1, seed).min(16);
        match below(6, seed) {
            0 if at < spoilt.len() => spoilt[at] ^= 1 << below(8, seed),
            1 if at < spoilt.len() => spoilt[at] = TELLING[below(TELLING.len(), seed)],
            2 => spoilt.insert(at, TELLING[below(TELLING.len(), seed)]),
            3 => drop(spoilt.drain(at..end)),
            4 => {
                let part = spoilt[at..end].to_vec();
                drop(spoilt.splice(at..at, part));
            }
            _ => {
                let other = &corpus[below(corpus.len(), seed)];
                let from = below(other.len() + 1, seed);
                let to = from + below(other.len() - from + 1, seed).min(64);
                drop(spoilt.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    spoilt
}

fn below(end: usize, seed: &mut u64) -> usize {
    // splitmix64
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
}
