#![no_main]
//! The target `chunks` under libFuzzer.

libfuzzer_sys::fuzz_target!(|data: &[u8]| masthead_fuzz::chunks::run(data));
