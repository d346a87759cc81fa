//! What tests of this and other crates need: stores in memory and faulty ones, the suite that every store runs, random
//! numbers with a seed, the recorded data. Never part of the product.

use std::path::{Path, PathBuf};

mod contract;
mod faulty;
mod memory;

pub use contract::{Fixture, contract};
pub use faulty::{Fault, FaultyStore};
pub use memory::MemoryStore;

/// A small xorshift generator (Marsaglia, xorshift64*): the same seed gives the same numbers everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator for `seed`.
    pub fn new(seed: u64) -> Self {
        // Near seeds must not give near sequences, and 0 would stay 0.
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d);
        random.next();
        random
    }

    /// The next 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, so that an Option would be noise in every test")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// The golden data at `path` (a part of the repository, so that a fresh clone has it), or from the shared folder where
/// a part of it was left out.
pub fn golden(path: &str) -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden").join(path);
    if own.exists() { Some(own) } else { shared(&format!("golden/{path}")) }
}

/// The recorded data at `path` below the folder that MASTHEAD_SHARED names, or `../shared` beside the workspace. None,
/// said loudly, where it is absent; with CI=true that is a failure.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("MASTHEAD_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let full = root.join(path);
    if full.exists() {
        return Some(full);
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "recorded data missing: {}", full.display());
    eprintln!("SKIPPED: no recorded data at {}", full.display());
    None
}
