#![no_main]
//! The target `regex` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| masthead_fuzz::regex::run(data));
