//! Marks the selectors of whose native histograms only counts and sums are wanted. Prometheus leaves the buckets of those out
//! (promql/engine.go, detectHistogramStatsDecoding), and that shows: what is known of resets is found while the buckets are
//! there, and bounds that are gone need no reconciliation.

use super::node::{Plan, VectorScalar};
use crate::promql::ast::BinaryOp;

/// Functions that look at counts and sums alone.
const OF_STATS: &[&str] = &["histogram_avg", "histogram_count", "histogram_sum"];

/// What the nodes above a node want of histograms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// All, as nothing says otherwise.
    All,
    /// Counts and sums.
    Stats,
    /// The buckets, whatever is between.
    Buckets,
}

/// Runs the pass on a whole plan.
pub(super) fn run(root: &mut Plan) {
    visit(root, Wanted::All);
}

fn visit(plan: &mut Plan, wanted: Wanted) {
    let is_trim = |op: BinaryOp| matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
    let below = match plan {
        _ if wanted == Wanted::Buckets => Wanted::Buckets,
        Plan::Scan(scan) => {
            scan.spec.histogram_stats = wanted == Wanted::Stats;
            wanted
        }
        Plan::Map(map) if OF_STATS.contains(&map.function) => Wanted::Stats,
        Plan::ClassicHistogram(_) => Wanted::Buckets,
        Plan::VectorScalar(VectorScalar { op, .. }) if is_trim(*op) => Wanted::Buckets,
        Plan::Join(join) if is_trim(join.op) => Wanted::Buckets,
        Plan::Subquery(node) => {
            visit(&mut node.input, Wanted::Buckets);
            return node.args.iter_mut().for_each(|arg| visit(arg, wanted));
        }
        _ => wanted,
    };
    plan.children_mut().into_iter().for_each(|child| visit(child, below));
}
