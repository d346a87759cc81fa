//! Random questions about random data, asked of Masthead and of a real Prometheus 3 (`masthead_tests::differential`).
//!
//! The Prometheus is what `scripts/prometheus3` finds or fetches. Where there is none, this is skipped loudly, and fails with
//! CI=true. The binary `differential` asks other seeds, more questions, and other servers.

use std::sync::Arc;

use masthead_bench::process::prometheus_binary;
use masthead_tests::differential::sides::{Setting, Sides};
use masthead_tests::differential::{Report, Run, run};

/// Whether there is a reference.
fn has_reference() -> bool {
    match prometheus_binary() {
        Ok(_) => true,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "no reference: {error}");
            eprintln!("SKIPPED: no reference: {error}");
            false
        }
    }
}

async fn compared(data_seed: u64, features: &[&str], questions: Run) -> Report {
    let features_list = features.iter().map(|name| (*name).to_owned()).collect();
    let setting = Setting { features: features_list, ..Setting::default() };
    let sides = Sides::start(data_seed, &setting).await.expect("servers over written blocks");
    let report = run(&Arc::new(sides), questions).await;
    println!("{report}");
    let failures: Vec<String> = report.failures.iter().take(12).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "data of seed {data_seed}, features {features:?}\n{report}{}", failures.join("\n"));
    report
}

/// Valid questions, most of which find something, and broken ones, most of which both sides refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_real_prometheus() {
    if !has_reference() {
        return;
    }
    let valid = Run { seed: 6_000_000, count: 12_000, broken_percent: 0, deadline: None };
    let report = compared(31, &[], valid).await;
    let found = report.count("equal") + report.count("equal but for the last digits of sums");
    assert!(report.asked == 12_000 && found > 6_000, "only {found} answers hold anything");

    let broken = Run { seed: 2_000_000, count: 3_000, broken_percent: 100, deadline: None };
    let report = compared(2, &[], broken).await;
    let refused = report.count("both refuse");
    assert!(report.asked == 3_000 && refused > 1_500, "only {refused} questions are refused");
}

/// The same with names that are removed in the end, which changes every operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_real_prometheus_with_delayed_name_removal() {
    if !has_reference() {
        return;
    }
    let questions = Run { seed: 3_000_000, count: 3_000, broken_percent: 0, deadline: None };
    let report = compared(3, &["promql-delayed-name-removal"], questions).await;
    assert_eq!(report.asked, 3_000);
}
