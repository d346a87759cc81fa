//! Plan to operators: the one match over plans.

use std::sync::Arc;

use super::aggregate::fold;
use super::duplicates::{Duplicates, Merge};
use super::inputs::Inputs;
use super::rank::{LimitRatio, Quantile, TopK};
use super::scalar::{Kind, Scalar, VectorScalar};
use super::scan::columns::Columns;
use super::statistics::Level;
use super::{Context, Operator, Source, batch};
use super::{absent, classic_histogram, count_values, info, join, map, relabel, scan, set_operators, sort};
use super::{step_invariant, subquery};
use crate::error::QueryError;
use crate::plan::Plan;
use crate::plan::node::{Aggregate, HistogramFunction};
use crate::promql::ast::AggregateOp;

/// The operator of `plan` for the steps of `level`.
pub(super) fn build(plan: &Plan, level: &Arc<Level>, inputs: &mut Inputs) -> Result<Source, QueryError> {
    let timeline = level.timeline;
    let steps = timeline.count;
    let mut child = |plan: &Plan| build(plan, level, inputs);
    let scalar = |kind| -> Result<Source, QueryError> { Ok(Box::new(Scalar::new(timeline, kind))) };
    Ok(match plan {
        Plan::Number(value) => scalar(Kind::Number(*value))?,
        Plan::Time => scalar(Kind::Time)?,
        Plan::ScalarOf(input) => scalar(Kind::Of(child(input)?))?,
        Plan::ScalarBinary { op, left, right } => scalar(Kind::Binary(*op, child(left)?, child(right)?))?,
        Plan::ScalarCall { function, args } => scalar(Kind::Call(function, all(args, &mut child)?))?,
        Plan::Empty => Box::new(Nothing),
        Plan::Text(_) | Plan::Raw(_) => return Err(QueryError::Internal("no rows come of this node".into())),
        // A scalar is a row without labels already.
        Plan::VectorOf(input) => child(input)?,
        Plan::Scan(node) => {
            let args = all(&node.args, &mut child)?;
            let columns = Columns::new(node.spec.clone(), args, level)?.over_store();
            Box::new(scan::Scan::new(inputs.take(node.select)?, columns))
        }
        Plan::Subquery(node) => {
            let args = all(&node.args, &mut child)?;
            let input = build(&node.input, &Level::subquery(level, node.grid, &node.spec), inputs)?;
            Box::new(subquery::Subquery::new(node.grid, input, Columns::new(node.spec.clone(), args, level)?))
        }
        Plan::Map(node) => Box::new(map::Map::new(node, child(&node.input)?, all(&node.args, &mut child)?, timeline)?),
        Plan::VectorScalar(node) => Box::new(VectorScalar::new(node, child(&node.vector)?, child(&node.scalar)?)),
        Plan::Join(node) if node.op.is_set() => {
            Box::new(set_operators::SetOperator::new(node, child(&node.left)?, child(&node.right)?, steps))
        }
        Plan::Join(node) => Box::new(join::Join::new(node, child(&node.left)?, child(&node.right)?, steps)),
        Plan::Aggregate(node) => {
            let parameter = node.parameter.as_deref().map(&mut child).transpose()?;
            aggregate(node, child(&node.input)?, parameter, steps)?
        }
        Plan::Absent { input, labels, drop_name } => {
            Box::new(absent::Absent::new(child(input)?, labels.clone(), *drop_name, steps))
        }
        Plan::Sort { input, order, effective, place } => {
            Box::new(sort::Sort::new(child(input)?, order.clone(), *effective, *place))
        }
        Plan::Relabel { input, rule } => Box::new(relabel::Relabel::new(child(input)?, rule.clone())),
        Plan::ClassicHistogram(node) => {
            let args = all(&node.args, &mut child)?;
            let rows = Box::new(classic_histogram::ClassicHistogram::new(node, child(&node.input)?, args, timeline));
            // With delayed names the plan refuses no equal labels, and they pass at a single step, but not at several
            // (promql/engine.go, rangeEval).
            let labelled = matches!(node.function, HistogramFunction::Quantiles { .. });
            if labelled && node.delayed_names && steps > 1 { Box::new(Duplicates::new(rows, true)) } else { rows }
        }
        Plan::Info(node) => Box::new(info::Info::new(node, child(&node.input)?, child(&node.info)?, steps)),
        Plan::StepInvariant(input) => {
            let input = build(input, &Level::once(level), inputs)?;
            Box::new(step_invariant::Broadcast::new(input, steps))
        }
        Plan::Duplicates { input, pieces } => Box::new(Duplicates::new(child(input)?, *pieces)),
        Plan::Merge(input) => Box::new(Merge::new(child(input)?, steps)),
    })
}

fn all(plans: &[Plan], child: &mut impl FnMut(&Plan) -> Result<Source, QueryError>) -> Result<Vec<Source>, QueryError> {
    plans.iter().map(child).collect()
}

fn aggregate(node: &Aggregate, input: Source, parameter: Option<Source>, steps: usize) -> Result<Source, QueryError> {
    let mut input = Some(input);
    if let Some(fold) = fold(node, &mut input, steps) {
        return Ok(fold);
    }
    let missing = || QueryError::Internal(format!("{} lacks its parameter", node.op.as_str()));
    let input = input.ok_or_else(missing)?;
    if node.op == AggregateOp::CountValues {
        return Ok(Box::new(count_values::CountValues::new(node, input, steps)));
    }
    let parameter = parameter.ok_or_else(missing)?;
    Ok(match node.op {
        AggregateOp::Quantile => Box::new(Quantile::new(node, input, parameter, steps)),
        AggregateOp::LimitRatio => Box::new(LimitRatio::new(node, input, parameter)),
        _ => Box::new(TopK::new(node, input, parameter, steps)),
    })
}

/// No rows at all.
struct Nothing;

impl Operator for Nothing {
    fn next(&mut self, _: &Context<'_>) -> Result<Option<batch::Batch>, QueryError> {
        Ok(None)
    }
}
