//! Narrows one side of a set operator by what the other side fixes: `a{x="1"} and on (x) b` needs of `b` only the series
//! with `x="1"`.
//!
//! Done only where neither answers nor errors nor annotations can change:
//! - Set operators only. They raise no error; arithmetic and comparisons refuse duplicates of the other side even among
//!   series that match nothing, so their sides stay as they are.
//! - The narrowed side is a bare instant selector. A function in between can annotate a series that would go.
//! - The fixed label is part of the match, and not the metric name, which a function may drop, nor a replica label, which
//!   deduplicated rows do not carry any more.
//! - `and` narrows both sides, `unless` its right side only, `or` none.

use masthead_store::labels::METRIC_NAME;
use masthead_store::{MatchOp, Matcher};

use super::node::{Join, Map, Plan, Scan, ScanFunction};
use crate::promql::ast::{BinaryOp, Matching};

/// Runs the pass on a whole plan.
pub(super) fn run(plan: &mut Plan, replica_labels: &[Box<str>]) {
    if let Plan::Join(join) = plan {
        narrow_sides(join, replica_labels);
    }
    for child in plan.children_mut() {
        run(child, replica_labels);
    }
}

fn narrow_sides(join: &mut Join, replica_labels: &[Box<str>]) {
    let Join { left, right, matching, .. } = join;
    let fixed = |plan: &Plan| {
        let mut conditions = fixed(plan, matching);
        conditions.retain(|m| !replica_labels.iter().any(|label| **label == *m.name()));
        conditions
    };
    match join.op {
        BinaryOp::And => {
            let (by_left, by_right) = (fixed(left), fixed(right));
            narrow(left, by_right);
            narrow(right, by_left);
        }
        BinaryOp::Unless => {
            let by_left = fixed(left);
            narrow(right, by_left);
        }
        _ => {}
    }
}

/// Conditions that all rows of `plan` fulfil, on labels that the match compares.
fn fixed(plan: &Plan, matching: &Matching) -> Vec<Matcher> {
    match plan {
        Plan::Scan(scan) => {
            let compared =
                |name: &str| name != METRIC_NAME && matching.labels.iter().any(|l| &**l == name) == matching.on;
            let kept = scan.matchers.iter().filter(|m| {
                m.op() == MatchOp::Equal && !m.value().is_empty() && !m.name().starts_with("__") && compared(m.name())
            });
            kept.cloned().collect()
        }
        Plan::Map(Map { input, .. }) | Plan::Duplicates { input, .. } | Plan::StepInvariant(input) => {
            fixed(input, matching)
        }
        Plan::VectorScalar(node) => fixed(&node.vector, matching),
        _ => Vec::new(),
    }
}

fn narrow(plan: &mut Plan, conditions: Vec<Matcher>) {
    match plan {
        Plan::Scan(Scan { matchers, spec, .. }) if spec.function == ScanFunction::Latest => {
            for condition in conditions {
                if !matchers.contains(&condition) {
                    matchers.push(condition);
                }
            }
        }
        Plan::StepInvariant(input) => narrow(input, conditions),
        _ => {}
    }
}
