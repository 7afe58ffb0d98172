//! The target `admin` under libFuzzer.
#![no_main]

#[path = "../targets/admin.rs"]
mod target;

libfuzzer_sys::fuzz_target!(|data: &[u8]| target::run(data));
