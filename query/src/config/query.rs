//! How queries are answered.

use std::time::Duration;

use masthead_store::Millis;

use super::{Reader, parse_count};
use crate::duration;
use crate::flags::AnswerArgs;

/// How queries are answered.
#[derive(Debug, Clone)]
pub struct QueryConfig {
    /// Labels that tell replicas apart.
    pub replica_labels: Vec<Box<str>>,
    /// The label that names the cluster.
    pub cluster_label: Box<str>,
    /// Longest time for a query.
    pub timeout: Duration,
    /// Queries evaluated at once.
    pub max_concurrent: usize,
    /// Queries that may wait for a slot.
    pub max_waiting: usize,
    /// Threads that compute rows.
    pub threads: usize,
    /// How far back an instant selector looks, ms.
    pub lookback_delta: Millis,
    /// Step of subqueries that name none, ms.
    pub default_evaluation_interval: Millis,
    /// Answer where stores are missing.
    pub partial_response: bool,
    /// Experimental features that are on.
    pub features: Vec<Feature>,
}

/// An experimental feature that changes something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feature {
    /// Experimental functions and aggregations.
    ExperimentalFunctions,
    /// `anchored` and `smoothed`.
    ExtendedRangeSelectors,
    /// `fill`, `fill_left`, `fill_right`.
    FillModifiers,
    /// The metric name is dropped at the end of the evaluation.
    DelayedNameRemoval,
    /// Counters use the start timestamps of their samples.
    StartTimestamps,
    /// `__type__` and `__unit__` are part of the metric's identity.
    TypeAndUnitLabels,
    /// `stats=all` tells the samples of each step.
    PerStepStats,
}

/// Prometheus' names for features; None where the name is accepted and changes nothing here.
pub const FEATURES: &[(&str, Option<Feature>)] = &[
    ("promql-experimental-functions", Some(Feature::ExperimentalFunctions)),
    ("promql-extended-range-selectors", Some(Feature::ExtendedRangeSelectors)),
    ("promql-binop-fill-modifiers", Some(Feature::FillModifiers)),
    ("promql-delayed-name-removal", Some(Feature::DelayedNameRemoval)),
    ("use-start-timestamps", Some(Feature::StartTimestamps)),
    ("type-and-unit-labels", Some(Feature::TypeAndUnitLabels)),
    ("promql-per-step-stats", Some(Feature::PerStepStats)),
    // Always on, or about what is written and not about what is asked.
    ("promql-duration-expr", None),
    ("promql-at-modifier", None),
    ("promql-negative-offset", None),
    ("native-histograms", None),
    ("ooo-native-histograms", None),
    ("exemplar-storage", None),
    ("xor2-encoding", None),
    ("histograms-st-encoding", None),
    ("st-storage", None),
    ("st-synthesis", None),
    ("created-timestamp-zero-ingestion", None),
];

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            replica_labels: vec![],
            cluster_label: "cluster".into(),
            timeout: Duration::from_secs(120),
            max_concurrent: 20,
            max_waiting: 200,
            threads: row_threads(),
            lookback_delta: 300_000,
            default_evaluation_interval: 60_000,
            partial_response: true,
            features: vec![],
        }
    }
}

impl Reader<'_> {
    pub(super) fn query(&mut self, args: &AnswerArgs, to: &mut QueryConfig) {
        for name in args.replica_labels.iter().flat_map(|list| list.split(',')).map(str::trim) {
            if name.is_empty() {
                self.faults.push("query.replica-label: empty".to_owned());
            } else if !to.replica_labels.iter().any(|have| **have == *name) {
                to.replica_labels.push(name.into());
            }
        }
        to.cluster_label = args.cluster_label.as_str().into();
        self.set("query.timeout", &mut to.timeout, duration::parse(&args.timeout));
        self.set("query.max-concurrent", &mut to.max_concurrent, parse_count(&args.max_concurrent));
        self.set("query.max-waiting", &mut to.max_waiting, parse_count(&args.max_waiting));
        if let Some(text) = &args.threads {
            self.set("query.threads", &mut to.threads, parse_count(text));
        }
        self.set("query.lookback-delta", &mut to.lookback_delta, parse_millis(&args.lookback_delta));
        self.set(
            "query.default-evaluation-interval",
            &mut to.default_evaluation_interval,
            parse_millis(&args.default_evaluation_interval),
        );
        self.set("query.partial-response", &mut to.partial_response, parse_bool(&args.partial_response));
        to.partial_response &= !args.no_partial_response;
        for name in args.features.iter().flat_map(|list| list.split(',')).map(str::trim).filter(|name| !name.is_empty())
        {
            match FEATURES.iter().find(|(have, _)| *have == name) {
                Some((_, feature)) => to.features.extend(feature),
                None => self.faults.push(format!("enable-feature: unknown feature {name:?}")),
            }
        }
    }
}

fn parse_millis(text: &str) -> Result<Millis, String> {
    duration::parse_ms(text).map(|ms| ms as Millis)
}

fn parse_bool(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("neither true nor false: {text:?}"))
}

/// Threads for rows: one processor is left to those that wait for input and output.
fn row_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get()).saturating_sub(1).max(1)
}
