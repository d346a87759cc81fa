//! The root of an evaluation: from rows to the value of a query.

use masthead_store::{Labels, Samples};

use super::batch::{Row, collect};
use super::duplicates::merge;
use super::inputs::Inputs;
use super::statistics::Level;
use super::{Context, Input, Value, build, scalar_values, scan, subquery};
use crate::error::QueryError;
use crate::plan::node::Plan;
use crate::plan::{METADATA_LABELS, Planned, ScanFunction};
use crate::promql::ast::{AggregateOp, BinaryOp, Cardinality};
use crate::promql::functions::ValueType;

/// Evaluates a plan. `inputs[i]` feeds select i of the plan.
///
/// The same plan and the same series give the same bytes, whatever the number of threads and however the inputs are cut.
///
/// # Errors
///
/// Those of the inputs; [`QueryError::Execution`] with Prometheus' text where the evaluation has no answer; a budget that is
/// used up; cancellation.
pub fn evaluate(planned: &Planned, inputs: Vec<Box<dyn Input>>, cx: &Context<'_>) -> Result<Value, QueryError> {
    check_grids(&planned.root, cx)?;
    let mut inputs = Inputs::new(&planned.root, inputs, cx.budget.clone());
    match &planned.root {
        Plan::Text(text) => return Ok(Value::String(text.clone())),
        Plan::Raw(range) => return Ok(Value::Matrix(raw(range, planned, &mut inputs, cx)?)),
        _ => {}
    }
    let mut root = build::build(&planned.root, &Level::of_query(planned.timeline), &mut inputs)?;
    if planned.value_type == ValueType::Scalar {
        return Ok(Value::Scalar(scalar_values(&mut *root, cx)?.0));
    }
    let (mut rows, _held) = collect(&mut *root, cx, "rows of the result")?;
    if planned.delayed_name_removal {
        rows.iter_mut().filter(|row| row.drop_name).for_each(|row| row.labels = row.labels.without(&METADATA_LABELS));
    }
    if !(planned.instant && is_ordered(&planned.root)) {
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    Ok(Value::Series(merge(rows)?))
}

/// Refuses subqueries of more steps than samples may be loaded. Nobody can hold a row of such a grid, and Prometheus would
/// run out of samples or of time.
fn check_grids(plan: &Plan, cx: &Context<'_>) -> Result<(), QueryError> {
    if let Plan::Subquery(node) = plan {
        cx.samples.check(node.grid.count)?;
    }
    plan.children().into_iter().try_for_each(|child| check_grids(child, cx))
}

/// Whether the rows come in an order that the query asked for: that of `sort()` or topk below, which nodes above keep that
/// pass rows on one by one, or groups as they appear.
fn is_ordered(plan: &Plan) -> bool {
    match plan {
        Plan::Sort { .. } => true,
        Plan::Aggregate(node) => match node.op {
            AggregateOp::Topk | AggregateOp::Bottomk => true,
            // Upstream's come off a heap, or out of a map.
            AggregateOp::Limitk | AggregateOp::LimitRatio | AggregateOp::CountValues => false,
            _ => is_ordered(&node.input),
        },
        Plan::Map(node) => is_ordered(&node.input),
        Plan::Subquery(node) => is_ordered(&node.input),
        Plan::VectorScalar(node) => is_ordered(&node.vector),
        Plan::Join(node) => match (node.op, node.matching.cardinality) {
            (BinaryOp::Or, _) => is_ordered(&node.left) || is_ordered(&node.right),
            (_, Cardinality::OneToMany) => is_ordered(&node.right),
            _ => is_ordered(&node.left),
        },
        Plan::Duplicates { input, .. }
        | Plan::Merge(input)
        | Plan::Relabel { input, .. }
        | Plan::StepInvariant(input) => is_ordered(input),
        _ => false,
    }
}

/// All samples of a range, ascending by labels.
fn raw(
    range: &Plan,
    planned: &Planned,
    inputs: &mut Inputs,
    cx: &Context<'_>,
) -> Result<Vec<(Labels, Samples)>, QueryError> {
    let mut series = match range {
        Plan::Scan(node) => scan::raw(inputs.take(node.select)?, &node.spec, cx)?,
        Plan::Subquery(node) => {
            debug_assert_eq!(node.spec.function, ScanFunction::Raw);
            let level = Level::subquery(&Level::of_query(planned.timeline), node.grid, &node.spec);
            let mut input = build::build(&node.input, &level, inputs)?;
            let (mut rows, _held) = collect(&mut *input, cx, "rows of the result")?;
            if planned.delayed_name_removal {
                let marked = rows.iter_mut().filter(|row| row.drop_name);
                marked.for_each(|row| row.labels = row.labels.without(&METADATA_LABELS));
            }
            let samples = |row: Row| {
                let mut samples = Samples::default();
                subquery::samples_of(&row.values, row.histograms.into_iter(), &node.grid, &mut samples);
                (row.labels, samples)
            };
            merge(rows)?.into_iter().map(samples).collect()
        }
        // A subquery without a step.
        _ => Vec::new(),
    };
    series.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(series)
}
