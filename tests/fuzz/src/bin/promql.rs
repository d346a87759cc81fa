#![no_main]
//! The target `promql` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| masthead_fuzz::promql::run(data));
