//! Texts of annotations that several parts of the engine give (util/annotations/annotations.go).

use masthead_store::labels::quote;

use crate::go_float;
use crate::promql::ast::AggregateOp;

/// The warning about a quantile outside of 0..=1.
pub(super) fn invalid_quantile(value: f64) -> String {
    format!("PromQL warning: quantile value should be between 0 and 1, got {}", go_float::shortest(value))
}

/// The info about an aggregation that leaves histograms out.
pub(super) fn histogram_ignored(op: AggregateOp) -> String {
    format!("PromQL info: ignored histogram in {} aggregation", op.as_str())
}

/// The warning about exponential and custom buckets under the metric name `name`.
pub(super) fn mixed_schemas(name: &str) -> String {
    let text = "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
    format!("PromQL warning: {text} {}", quote(name))
}

/// The warning about histograms of which one was said to be reset and another one not to be; `what` was done with them.
pub(super) fn resets_collide(what: &str) -> String {
    format!("PromQL warning: conflicting counter resets during histogram {what}")
}

/// The info about custom bounds that differed; `what` was done with the histograms.
pub(super) fn bounds_reconciled(what: &str) -> String {
    format!("PromQL info: mismatched custom buckets were reconciled during {what}")
}
