//! Evaluation: a pure function of a plan and its input batches. No I/O, no async, no clock, no log.
//!
//! Columns are series-major: a batch holds up to [`batch::BATCH_ROWS`] series with all steps of each, so that a series is
//! decoded once, in cache, and every function of a range works on one slice. Operators are pulled; memory is one batch a
//! level plus accumulators. Rows are computed in parallel inside the leaf, everything that adds up is folded in label order,
//! so that results are the same bytes for any number of threads.

pub mod batch;
pub mod groups;
pub mod kahan;
pub mod steps;
pub mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use masthead_store::{Budget, Labels, Samples, SeriesBatch};

use crate::annotations::Annotations;
use crate::error::QueryError;

/// Where a selection's series come from: the engine's side of a feed. `next` may wait; it is called by the driver thread only.
pub trait Input: Send {
    /// The next batch, ascending by labels over the whole input; None at the end.
    fn next(&mut self) -> Result<Option<SeriesBatch>, QueryError>;
}

/// A step of an evaluation that gives rows.
pub trait Operator: Send {
    /// The next rows: at least one, at most [`batch::BATCH_ROWS`]; None at the end, and only there. Rows without any sample
    /// may be among them. The order is the same for any number of threads.
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<batch::Batch>, QueryError>;
}

/// The values of a scalar, one a step: pulls the single row of a scalar operator.
pub fn scalar_values(operator: &mut dyn Operator, cx: &Context<'_>) -> Result<Vec<f64>, QueryError> {
    match operator.next(cx)? {
        Some(batch) if batch.len() == 1 => Ok(batch.values),
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
    /// Most samples that may be held at once, as Prometheus' `--query.max-samples`.
    pub max_samples: usize,
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

/// The end of the info about classic buckets that had to be made monotonic.
pub fn render_forced_monotonicity(_details: crate::annotations::Details) -> String {
    String::new()
}
