//! Random questions about random data, asked of Masthead and of a real Prometheus 3 (`masthead_tests::differential`).
//!
//! The Prometheus is what `scripts/prometheus3` finds or fetches. Where there is none, this is skipped loudly, and fails with
//! CI=true. The binary `differential` asks other seeds, more questions, and other servers.
//!
//! Beside the answers, what came out of the questions has bounds: a generator that asks nothing any more, or only what both
//! sides refuse, and a list of known differences that explains too much, fail.

use std::ops::RangeInclusive;
use std::sync::Arc;

use masthead_tests::differential::compare::Same;
use masthead_tests::differential::sides::{Setting, Sides};
use masthead_tests::differential::{Report, Run, run};
use masthead_tests::needed;

/// A run, and how much of its questions may be what, in thousandths.
struct Case {
    data_seed: u64,
    setting: Setting,
    questions: Run,
    found: RangeInclusive<u64>,
    refused: RangeInclusive<u64>,
    histograms: RangeInclusive<u64>,
    known: RangeInclusive<u64>,
}

/// How many in a thousand the reference may contradict itself about.
const CHANCE: RangeInclusive<u64> = 0..=5;

impl Case {
    async fn holds(self) {
        if needed::prometheus().is_none() {
            return;
        }
        let sides = Sides::start(self.data_seed, &self.setting).await.expect("servers over written blocks");
        let report = run(&Arc::new(sides), self.questions).await;
        println!("{report}");
        let failures: Vec<String> = report.failures.iter().take(12).map(ToString::to_string).collect();
        let what = format!("data of seed {}, {:?}\n{report}", self.data_seed, self.setting);
        assert!(failures.is_empty(), "{what}{}", failures.join("\n"));
        assert_eq!(report.asked, self.questions.count, "{what}");
        self.bounds(&report);
    }

    fn bounds(&self, report: &Report) {
        for (name, count, bounds) in [
            ("hold anything", report.found(), &self.found),
            ("are refused", report.count(Same::Refused.name()), &self.refused),
            ("have native histograms", report.histograms, &self.histograms),
            ("differ for a known reason", report.known(), &self.known),
            ("have several answers", report.count(Same::CHANCE), &CHANCE),
        ] {
            let share = count * 1_000 / report.asked;
            assert!(bounds.contains(&share), "{share} of 1,000 {name}, not {bounds:?}\n{report}");
        }
    }
}

fn of_seed(seed: u64, count: u64, broken_percent: usize) -> Run {
    Run { seed, count, broken_percent, deadline: None }
}

/// Valid questions, most of which find something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_real_prometheus() {
    let case = Case {
        data_seed: 31,
        setting: Setting::default(),
        questions: of_seed(6_000_000, 12_000, 0),
        found: 450..=650,
        refused: 30..=80,
        histograms: 0..=0,
        known: 0..=20,
    };
    case.holds().await;
}

/// Broken questions, most of which both sides refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_refuse_what_is_broken() {
    let case = Case {
        data_seed: 2,
        setting: Setting::default(),
        questions: of_seed(2_000_000, 3_000, 100),
        found: 30..=200,
        refused: 600..=900,
        histograms: 0..=0,
        known: 0..=20,
    };
    case.holds().await;
}

/// Native histograms of integers and of floats: exponential ones, ones with custom buckets and gauges; counters that are
/// reset, series with gaps and stale markers, and ones that change their resolution, their bounds or their kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_are_those_of_a_real_prometheus() {
    let case = Case {
        data_seed: 5,
        setting: Setting { histograms: true, ..Setting::default() },
        questions: of_seed(4_000_000, 4_000, 0),
        found: 400..=650,
        refused: 30..=80,
        histograms: 50..=200,
        known: 0..=30,
    };
    case.holds().await;
}

/// With names that are removed in the end, which changes every operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_real_prometheus_with_delayed_name_removal() {
    let features = vec!["promql-delayed-name-removal".to_owned()];
    let case = Case {
        data_seed: 3,
        setting: Setting { features, ..Setting::default() },
        questions: of_seed(3_000_000, 3_000, 0),
        found: 450..=650,
        refused: 30..=80,
        histograms: 0..=0,
        known: 0..=20,
    };
    case.holds().await;
}
