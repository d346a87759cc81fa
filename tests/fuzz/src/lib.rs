//! What bytes from outside reach, one module a target. A target panics where the program breaks a promise; libFuzzer
//! (`tests/scripts/fuzz`) looks for bytes that make it, and a test runs every target over its seeds and over bytes that broke a
//! promise before.

pub mod chunks;
pub mod index;
pub mod promql;
pub mod regex;
pub mod seeds;

/// A target, as the seeds and the test know it.
pub struct Target {
    /// Name of its program, without `fuzz-`, and of its folders of bytes.
    pub name: &'static str,
    /// Runs it over some bytes.
    pub run: fn(&[u8]),
    /// Bytes to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "promql", run: promql::run, seeds: seeds::expressions },
    Target { name: "regex", run: regex::run, seeds: seeds::patterns },
    Target { name: "chunks", run: chunks::run, seeds: seeds::chunks },
    Target { name: "index", run: index::run, seeds: seeds::indexes },
];
