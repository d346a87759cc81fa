//! Evaluation: a pure function of a plan and its input batches. No I/O, no async, no clock, no log.
//!
//! Columns are series-major: a batch holds up to [`batch::BATCH_ROWS`] series with all steps of each, so that a series is
//! decoded once, in cache, and every function of a range works on one slice. Operators are pulled; memory is one batch a
//! level plus accumulators. Rows are computed in parallel inside the leaf, everything that adds up is folded in label order,
//! so that results are the same bytes for any number of threads.

mod absent;
mod aggregate;
mod arguments;
mod arithmetic;
pub mod batch;
mod buckets;
mod build;
mod classic_histogram;
mod count_values;
mod duplicates;
mod go_sort;
mod groups;
mod histogram_sum;
mod info;
mod inputs;
mod instant_functions;
mod join;
mod loaded;
mod map;
mod native_histogram;
mod quantile;
mod rank;
mod relabel;
mod result;
mod scalar;
mod scan;
mod set_operators;
mod sort;
mod statistics;
mod step_invariant;
mod steps;
mod subquery;
#[cfg(test)]
mod tests;
mod texts;
mod time_functions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use masthead_store::{Budget, Labels, Reservation, Samples, SeriesBatch, kahan};

use crate::annotations::Annotations;
use crate::error::QueryError;
use crate::plan::{METADATA_LABELS, Names};
pub use loaded::SampleLimit;
pub use result::evaluate;
pub use statistics::SampleCounts;

/// Where a selection's series come from: the engine's side of a feed. `next` may wait; it is called by the driver thread only.
pub trait Input: Send {
    /// The next batch, ascending by labels over the whole input; None at the end.
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError>;
}

/// A step of an evaluation that gives rows.
pub trait Operator: Send {
    /// The next rows: at least one, about [`batch::BATCH_ROWS`] at most; None at the end, and only there. Rows without any sample
    /// may be among them. The order is the same for any number of threads.
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<batch::Batch>, QueryError>;
}

/// An operator as its consumer holds it.
pub type Source = Box<dyn Operator>;

/// Pulls a batch, after a look at the cancel flag. Every operator pulls through here.
pub fn pull(input: &mut dyn Operator, cx: &Context<'_>) -> Result<Option<batch::Batch>, QueryError> {
    cx.check()?;
    input.next(cx)
}

/// Drops or marks the names of all rows.
pub(crate) fn rename(batch: &mut batch::Batch, names: Names) {
    match names {
        Names::Keep => {}
        Names::Mark => batch.drop_name.fill(true),
        Names::Drop => {
            for labels in &mut batch.labels {
                *labels = labels.without(&METADATA_LABELS);
            }
        }
    }
}

/// The values of a scalar, one a step, and their memory: pulls the single row of a scalar operator.
pub fn scalar_values(operator: &mut dyn Operator, cx: &Context<'_>) -> Result<(Vec<f64>, Reservation), QueryError> {
    match operator.next(cx)? {
        Some(batch) if batch.len() == 1 => Ok((batch.values, batch.held)),
        _ => Err(QueryError::Internal("a scalar gave no single row".into())),
    }
}

/// What the operators of one evaluation share.
pub struct Context<'a> {
    /// The query's memory.
    pub budget: Budget,
    /// Set when the caller has gone or the time is up; read once a batch.
    pub cancelled: Arc<AtomicBool>,
    /// Warnings and infos.
    pub annotations: &'a Annotations,
    /// The samples that may be loaded.
    pub samples: SampleLimit,
    /// Threads for rows; None: the caller's own.
    pub pool: Option<Arc<rayon::ThreadPool>>,
}

impl Context<'_> {
    /// Fails if the query was cancelled.
    pub fn check(&self) -> Result<(), QueryError> {
        if self.cancelled.load(Ordering::Relaxed) { Err(QueryError::Cancelled) } else { Ok(()) }
    }
}

/// The value of a query.
#[derive(Debug)]
pub enum Value {
    /// One float a step.
    Scalar(Vec<f64>),
    /// A string; instant queries only.
    String(String),
    /// Series with at most one sample a step. A range query's rows ascend by labels; an instant query's are in the order
    /// that the language gives, else ascending by labels. Rows without any sample are left out.
    Series(Vec<batch::Row>),
    /// Raw samples of a range selector or subquery; instant queries only. Ascending by labels.
    Matrix(Vec<(Labels, Samples)>),
}
