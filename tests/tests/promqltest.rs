//! Prometheus' own test scripts and ours, with the series in memory, behind StoreAPI servers and in blocks.

use std::path::{Path, PathBuf};

use masthead_store::testing::shared;
use masthead_tests::outcomes::{Outcome, all_pass};
use masthead_tests::promqltest::{self, Blocks, Evaluator, Memory, Stores};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The outcome of every evaluation below `folder`, by file and line.
fn run(folder: &Path, evaluator: &mut dyn Evaluator) -> Vec<Outcome> {
    let files = promqltest::scripts(&[folder.to_owned()]).expect("a readable folder");
    assert!(!files.is_empty(), "no scripts in {}", folder.display());
    files.iter().flat_map(|file| promqltest::outcomes(file, evaluator)).collect()
}

fn own_scripts_pass(evaluator: &mut dyn Evaluator) {
    all_pass(&run(&here("tests/promql"), evaluator));
}

fn shared_scripts_pass(evaluator: &mut dyn Evaluator) {
    let Some(folder) = shared("promqltest") else { return };
    let outcomes = run(&folder, evaluator);
    assert_eq!(outcomes.len(), 1861);
    all_pass(&outcomes);
}

#[test]
fn own_scripts_pass_in_memory() {
    own_scripts_pass(&mut Memory::default());
}

#[test]
fn shared_scripts_pass_in_memory() {
    shared_scripts_pass(&mut Memory::default());
}

#[test]
fn own_scripts_pass_over_stores() {
    own_scripts_pass(&mut Stores::start().expect("servers on loopback"));
}

#[test]
fn shared_scripts_pass_over_stores() {
    shared_scripts_pass(&mut Stores::start().expect("servers on loopback"));
}

#[test]
fn own_scripts_pass_over_blocks() {
    own_scripts_pass(&mut Blocks::new().expect("a runtime"));
}

#[test]
fn shared_scripts_pass_over_blocks() {
    shared_scripts_pass(&mut Blocks::new().expect("a runtime"));
}
