//! Every target over its seeds, over bytes that broke a promise before (`found/`), and over spoilt copies of both.

use std::fs;
use std::path::Path;

use masthead_fuzz::TARGETS;
use masthead_store::testing::Random;

/// Spoilt copies a seed.
const COPIES: usize = 4;

fn found(name: &str) -> Vec<Vec<u8>> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    assert!(all.is_dir(), "{} is not there", all.display());
    let folder = all.join(name);
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a file"))
        .collect()
}

#[test]
fn promises_hold_over_seeds_and_what_was_found() {
    for target in TARGETS {
        let mut random = Random::new(5);
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "no seeds for {}", target.name);
        for seed in seeds.into_iter().chain(found(target.name)) {
            (target.run)(&seed);
            for _ in 0..COPIES {
                let mut copy = seed.clone();
                if copy.is_empty() {
                    continue;
                }
                match random.below(3) {
                    0 => copy.truncate(random.below(copy.len())),
                    1 => copy.insert(random.below(copy.len()), random.next() as u8),
                    _ => {
                        let at = random.below(copy.len());
                        copy[at] ^= 1 << random.below(8);
                    }
                }
                (target.run)(&copy);
            }
        }
    }
}
