//! Places where a PromQL engine goes wrong, one test each. The scripts were run by Prometheus 3.14's own engine too.

use std::path::Path;

use masthead_tests::outcomes::all_pass;
use masthead_tests::promqltest::{self, Blocks, Evaluator, Memory, Stores};

fn run(script: &str, evaluator: &mut dyn Evaluator) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traps").join(script);
    let outcomes = promqltest::outcomes(&file, evaluator);
    assert!(outcomes.len() >= 3, "{script} asks {} questions", outcomes.len());
    all_pass(&outcomes);
}

macro_rules! traps {
    ($($name:ident: $script:literal,)*) => {
        $(
            #[test]
            fn $name() {
                run(concat!($script, ".test"), &mut Memory::default());
                run(concat!($script, ".test"), &mut Stores::start().expect("servers on loopback"));
                run(concat!($script, ".test"), &mut Blocks::new().expect("a runtime"));
            }
        )*

        const SCRIPTS: &[&str] = &[$(concat!($script, ".test")),*];
    };
}

traps! {
    trap_01_windows_are_open_at_the_left: "01_windows_are_open_at_the_left",
    trap_02_a_stale_marker_ends_a_series: "02_a_stale_marker_ends_a_series",
    trap_03_rate_extrapolates_to_its_window: "03_rate_extrapolates_to_its_window",
    trap_04_start_timestamps_begin_a_counter: "04_start_timestamps_begin_a_counter",
    trap_05_resets_of_counters: "05_resets_of_counters",
    trap_06_sums_are_compensated: "06_sums_are_compensated",
    trap_07_quantiles_interpolate: "07_quantiles_interpolate",
    trap_08_quantiles_of_histograms: "08_quantiles_of_histograms",
    trap_09_names_are_dropped_late: "09_names_are_dropped_late",
    trap_10_two_series_of_the_same_labels: "10_two_series_of_the_same_labels",
    trap_11_the_order_of_results: "11_the_order_of_results",
    trap_12_the_k_of_something_counts_per_step: "12_the_k_of_something_counts_per_step",
    trap_13_vectors_match_by_labels: "13_vectors_match_by_labels",
    trap_14_set_operators_know_labels_only: "14_set_operators_know_labels_only",
    trap_15_comparisons_filter: "15_comparisons_filter",
    trap_16_arithmetic_to_the_bit: "16_arithmetic_to_the_bit",
    trap_17_at_comes_before_offset: "17_at_comes_before_offset",
    trap_18_what_does_not_change_is_computed_once: "18_what_does_not_change_is_computed_once",
    trap_19_regular_expressions_are_those_of_go: "19_regular_expressions_are_those_of_go",
    trap_20_labels_are_replaced_by_go_templates: "20_labels_are_replaced_by_go_templates",
    trap_21_absent_takes_labels_of_equality: "21_absent_takes_labels_of_equality",
    trap_22_count_values_prints_without_exponents: "22_count_values_prints_without_exponents",
    trap_23_times_of_samples: "23_times_of_samples",
    trap_24_neighbours: "24_neighbours",
    trap_25_what_is_said_beside_the_answer: "25_what_is_said_beside_the_answer",
}

#[test]
fn every_script_has_its_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traps");
    let mut found: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, SCRIPTS);
}
