//! The target `agent` under libFuzzer.
#![no_main]

#[path = "../targets/agent.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
