#![no_main]
//! The target `index` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| masthead_fuzz::index::run(data));
