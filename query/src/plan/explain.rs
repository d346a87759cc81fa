//! A plan as text.

use std::fmt::Write as _;

use super::node::{Plan, ScanFunction, ScanSpec};
use super::{Planned, Timeline};

/// One line a node, children indented, then one line a select.
pub(super) fn explain(planned: &Planned) -> String {
    let mut out = String::new();
    node(&mut out, &planned.root, 0);
    for (index, select) in planned.selects.iter().enumerate() {
        let matchers: Vec<String> = select.matchers.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "select {index}: {{{}}} {}..={}", matchers.join(", "), select.min_time, select.max_time);
    }
    out
}

/// A node of a plan as text, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What it does.
    pub name: String,
    /// Its inputs.
    pub children: Vec<Explained>,
}

/// The nodes as texts; selectors with their matchers.
pub(super) fn tree(planned: &Planned) -> Explained {
    fn of(plan: &Plan) -> Explained {
        let name = match plan {
            Plan::Scan(scan) => {
                let matchers: Vec<String> = scan.matchers.iter().map(ToString::to_string).collect();
                format!("scan {} of {{{}}}", spec(&scan.spec), matchers.join(", "))
            }
            other => line(other),
        };
        Explained { name, children: plan.children().into_iter().map(of).collect() }
    }
    of(&planned.root)
}

fn node(out: &mut String, plan: &Plan, depth: usize) {
    let _ = writeln!(out, "{:indent$}{}", "", line(plan), indent = depth * 2);
    for child in plan.children() {
        node(out, child, depth + 1);
    }
}

fn line(plan: &Plan) -> String {
    match plan {
        Plan::Number(value) => format!("number {value}"),
        Plan::Text(text) => format!("text {text:?}"),
        Plan::Empty => "empty".into(),
        Plan::Time => "time".into(),
        Plan::Scan(scan) => format!("scan {} of select {}", spec(&scan.spec), scan.select),
        Plan::Subquery(subquery) => format!("subquery {} on {}", spec(&subquery.spec), times(&subquery.grid)),
        Plan::Raw(_) => "raw".into(),
        Plan::Map(map) => format!("map {} names {:?}", map.function, map.names),
        Plan::ScalarOf(_) => "scalar of".into(),
        Plan::VectorOf(_) => "vector of".into(),
        Plan::ScalarBinary { op, .. } => format!("scalar {op:?}"),
        Plan::ScalarCall { function, .. } => format!("scalar {function}"),
        Plan::VectorScalar(node) => {
            format!("vector {:?} scalar{}", node.op, if node.scalar_left { ", scalar first" } else { "" })
        }
        Plan::Join(join) => format!(
            "join {:?} {:?} on={} {:?}",
            join.op, join.matching.cardinality, join.matching.on, join.matching.labels
        ),
        Plan::Aggregate(node) => format!("aggregate {:?} {:?}", node.op, node.grouping),
        Plan::Absent { labels, .. } => format!("absent {labels}"),
        Plan::Sort { order, effective, .. } => {
            format!("sort {order:?}{}", if *effective { "" } else { ", without effect" })
        }
        Plan::Relabel { rule, .. } => format!("relabel {rule:?}"),
        Plan::ClassicHistogram(node) => format!("classic histogram {:?}", node.function),
        Plan::Info(_) => "info".into(),
        Plan::StepInvariant(_) => "once for all steps".into(),
        Plan::Duplicates { pieces, .. } => format!("refuse duplicates{}", if *pieces { " of one step" } else { "" }),
        Plan::Merge(_) => "merge pieces".into(),
    }
}

fn spec(spec: &ScanSpec) -> String {
    let mut out = match spec.function {
        ScanFunction::Range(name) => format!("{name}[{}ms]", spec.range),
        ScanFunction::Raw => format!("raw[{}ms]", spec.range),
        function => format!("{function:?}"),
    };
    if let Some(extension) = spec.extension {
        let _ = write!(out, " {extension:?}");
    }
    if spec.histogram_stats {
        out.push_str(" without buckets");
    }
    if spec.offset != 0 {
        let _ = write!(out, " offset {}ms", spec.offset);
    }
    if let Some(at) = spec.at {
        let _ = write!(out, " @ {at}ms");
    }
    let _ = write!(out, " at {} names {:?}", times(&spec.timeline), spec.names);
    out
}

fn times(timeline: &Timeline) -> String {
    format!("{}ms + {} x {}ms", timeline.start, timeline.count, timeline.step)
}
