//! The leaf: series in, rows out. What it decodes and computes with lands with its kernels.

use masthead_store::{Labels, Samples};

use super::batch::Batch;
use super::{Context, Input, Operator, Source};
use crate::error::QueryError;
use crate::plan::ScanSpec;

/// Rows of a selector.
pub(super) struct Scan;

impl Scan {
    /// Evaluates the function of `spec` over each series of `input`; `args` are its scalars.
    pub(super) fn new(_input: Box<dyn Input>, _spec: ScanSpec, _args: Vec<Source>) -> Result<Self, QueryError> {
        Err(unsupported())
    }
}

impl Operator for Scan {
    fn next(&mut self, _: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        Ok(None)
    }
}

/// Evaluates the function of `spec` over the samples of one series, `labels` for annotations; `args[i]` are the values of
/// scalar i, one a step. `out` has one cell a step.
pub(super) fn evaluate_column(
    _spec: &ScanSpec,
    _args: &[Vec<f64>],
    _labels: &Labels,
    _samples: &Samples,
    _out: &mut [f64],
    _cx: &Context<'_>,
) -> Result<(), QueryError> {
    Err(unsupported())
}

/// The samples of the one window of `spec`, for each series that has any.
pub(super) fn raw(
    _input: Box<dyn Input>,
    _spec: &ScanSpec,
    _cx: &Context<'_>,
) -> Result<Vec<(Labels, Samples)>, QueryError> {
    Err(unsupported())
}

fn unsupported() -> QueryError {
    QueryError::Execution("not supported yet: selectors".into())
}
