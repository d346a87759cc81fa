//! Operators that give a scalar: one row without labels and a value at every step. And the way back, `vector()`.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::{Labels, Reservation};

use super::arithmetic::{Operand, Operation, Outcome, Remark, Remarks, of_histograms, operation};
use super::batch::{ABSENT, Batch, histogram_bytes, is_absent, row_bytes};
use super::{Context, Operator, Source, pull, scalar_values};
use crate::error::QueryError;
use crate::go_math::{go_max, go_min};
use crate::plan::Timeline;
use crate::plan::node::Map;
use crate::promql::ast::BinaryOp;

/// A scalar that is computed when it is asked for.
pub(super) struct Scalar {
    timeline: Timeline,
    kind: Option<Kind>,
}

/// What a scalar is.
pub(super) enum Kind {
    /// A constant.
    Number(f64),
    /// The evaluation time, s.
    Time,
    /// The one value of a vector, else NaN.
    Of(Source),
    /// An operator between scalars.
    Binary(BinaryOp, Source, Source),
    /// `min_of`, `max_of`, unary minus.
    Call(&'static str, Vec<Source>),
}

impl Scalar {
    /// A scalar of `timeline`.
    pub(super) fn new(timeline: Timeline, kind: Kind) -> Self {
        Self { timeline, kind: Some(kind) }
    }
}

impl Operator for Scalar {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let Some(kind) = self.kind.take() else { return Ok(None) };
        let steps = self.timeline.count;
        let held = cx.budget.reserve("a scalar", row_bytes(steps))?;
        let values = match kind {
            Kind::Number(value) => vec![value; steps],
            // Go divides the integer's float, so no whole seconds.
            Kind::Time => (0..steps).map(|step| self.timeline.at(step) as f64 / 1000.0).collect(),
            Kind::Of(mut input) => only_value(&mut *input, steps, cx)?,
            Kind::Binary(op, mut left, mut right) => {
                let (left, _left_held) = scalar_values(&mut *left, cx)?;
                let (right, _right_held) = scalar_values(&mut *right, cx)?;
                binary(op, &left, &right)?
            }
            Kind::Call(function, args) => call(function, args, cx)?,
        };
        Ok(Some(Batch::of_row(Labels::empty(), values, held)))
    }
}

/// Per step: the float where exactly one row has one, else NaN. Histograms do not count.
fn only_value(input: &mut dyn Operator, steps: usize, cx: &Context<'_>) -> Result<Vec<f64>, QueryError> {
    let mut values = vec![ABSENT; steps];
    while let Some(batch) = pull(input, cx)? {
        for i in 0..batch.len() {
            let cells = values.iter_mut().zip(batch.row(i));
            for (value, cell) in cells.filter(|(_, cell)| !is_absent(**cell)) {
                *value = if is_absent(*value) { *cell } else { f64::NAN };
            }
        }
    }
    values.iter_mut().filter(|value| is_absent(**value)).for_each(|value| *value = f64::NAN);
    Ok(values)
}

fn binary(op: BinaryOp, left: &[f64], right: &[f64]) -> Result<Vec<f64>, QueryError> {
    let pairs = left.iter().zip(right);
    match operation(op) {
        Operation::Arithmetic(compute) => Ok(pairs.map(|(a, b)| compute(*a, *b)).collect()),
        Operation::Comparison(holds) => Ok(pairs.map(|(a, b)| f64::from(u8::from(holds(a, b)))).collect()),
        Operation::Trim(sign) => {
            Err(QueryError::Execution(format!("operator \"{sign}\" not allowed for Scalar operations")))
        }
        Operation::Set => Err(QueryError::Internal("a set operator between scalars".into())),
    }
}

fn call(function: &str, args: Vec<Source>, cx: &Context<'_>) -> Result<Vec<f64>, QueryError> {
    let mut columns = Vec::with_capacity(args.len());
    for mut arg in args {
        columns.push(scalar_values(&mut *arg, cx)?);
    }
    match (function, columns.as_slice()) {
        (Map::NEGATE, [(values, _)]) => Ok(values.iter().map(|value| -value).collect()),
        ("max_of", [(a, _), (b, _)]) => Ok(a.iter().zip(b).map(|(a, b)| go_max(*a, *b)).collect()),
        ("min_of", [(a, _), (b, _)]) => Ok(a.iter().zip(b).map(|(a, b)| go_min(*a, *b)).collect()),
        _ => Err(QueryError::Internal(format!("no scalar function {function} of {} arguments", columns.len()))),
    }
}

/// An operator between a vector and a scalar.
pub(super) struct VectorScalar {
    node: crate::plan::node::VectorScalar,
    vector: Source,
    scalar: Source,
    values: Option<(Vec<f64>, Reservation)>,
    remarks: Remarks,
}

impl VectorScalar {
    /// Applies `node` to the rows of `vector`.
    pub(super) fn new(node: &crate::plan::node::VectorScalar, vector: Source, scalar: Source) -> Self {
        Self { node: node.clone(), vector, scalar, values: None, remarks: Remarks::default() }
    }
}

impl Operator for VectorScalar {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let (scalar, _) = match &self.values {
            Some(values) => values,
            None => self.values.insert(scalar_values(&mut *self.scalar, cx)?),
        };
        let Some(mut batch) = pull(&mut *self.vector, cx)? else {
            self.remarks.report(self.node.op, self.node.place, cx);
            return Ok(None);
        };
        let operation = operation(self.node.op);
        let mut histograms = batch.take_histograms();
        for i in 0..batch.len() {
            apply(operation, &self.node, batch.row_mut(i), scalar, &mut self.remarks);
            apply_to_histograms(&self.node, (i, histograms.of(i)), scalar, &mut batch, &mut self.remarks)?;
        }
        super::rename(&mut batch, self.node.names);
        Ok(Some(batch))
    }
}

/// Applies the operator to floats in place.
fn apply(
    operation: Operation,
    node: &crate::plan::node::VectorScalar,
    row: &mut [f64],
    scalar: &[f64],
    remarks: &mut Remarks,
) {
    let cells = row.iter_mut().zip(scalar).filter(|(cell, _)| !is_absent(**cell));
    match operation {
        Operation::Arithmetic(compute) if node.scalar_left => cells.for_each(|(cell, s)| *cell = compute(*s, *cell)),
        Operation::Arithmetic(compute) => cells.for_each(|(cell, s)| *cell = compute(*cell, *s)),
        Operation::Comparison(holds) => {
            for (cell, s) in cells {
                let keep = if node.scalar_left { holds(s, cell) } else { holds(cell, s) };
                if node.return_bool {
                    *cell = f64::from(u8::from(keep));
                } else if !keep {
                    *cell = ABSENT;
                }
            }
        }
        Operation::Trim(_) => {
            for (step, cell) in row.iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell)) {
                *cell = ABSENT;
                remarks.note(step, Remark::FLOATS);
            }
        }
        Operation::Set => {}
    }
}

/// Applies the operator to the histograms of a row of `batch`, in the order of rows.
fn apply_to_histograms(
    node: &crate::plan::node::VectorScalar,
    (row, histograms): (usize, impl Iterator<Item = (u32, Arc<Histogram>)>),
    scalar: &[f64],
    batch: &mut Batch,
    remarks: &mut Remarks,
) -> Result<(), QueryError> {
    let mut before: Option<Arc<Histogram>> = None;
    for (step, histogram) in histograms {
        let (vector, scalar) = (Operand::Histogram(&histogram), Operand::Float(scalar[step as usize]));
        let (left, right) = if node.scalar_left { (scalar, vector) } else { (vector, scalar) };
        match of_histograms(node.op, left, right) {
            Ok(Outcome { histogram: Some(result), .. }) => {
                // One that stood at several steps, and was paid once, has become several.
                if before.is_some_and(|before| Arc::ptr_eq(&before, &histogram)) {
                    batch.held.grow(histogram_bytes(&result))?;
                }
                batch.histograms.push((row as u32, step, result));
            }
            Ok(_) => {}
            Err(remark) => remarks.note(step as usize, remark),
        }
        before = Some(histogram);
    }
    Ok(())
}
