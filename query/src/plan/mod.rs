//! The typed plan of a query: selectors collected, functions resolved, durations computed. Parser types end in `build`.
//!
//! `build` turns the tree of the text into nodes, then the passes run in this order: `turns` orders the places of
//! annotations, `pass_step_invariant` wraps what does not depend on the step, `pass_propagate_matchers` narrows sides of set
//! operators, `pass_histogram_stats` marks selectors whose buckets nobody wants, and `place` gives each node its times and
//! collects the selects.

mod build;
mod calls;
mod explain;
pub mod node;
mod pass_histogram_stats;
mod pass_propagate_matchers;
mod pass_step_invariant;
mod place;
#[cfg(test)]
mod tests;
mod times;
mod turns;

use masthead_store::{Millis, Select};

pub(crate) use build::is_arithmetic;
pub use explain::Explained;
pub use node::{METADATA_LABELS, Names, Plan, ScanFunction, ScanSpec};

use crate::error::QueryError;
use crate::promql;
use crate::promql::ast::Expr;
use crate::promql::functions::ValueType;

/// The times at which an expression is evaluated: `start + i * step` for `i` in `0..count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeline {
    /// First time, ms.
    pub start: Millis,
    /// Distance, ms; at least 1. An instant query has 1 step.
    pub step: Millis,
    /// Number of times, at least 1.
    pub count: usize,
}

impl Timeline {
    /// One time.
    pub fn instant(time: Millis) -> Self {
        Self { start: time, step: 1, count: 1 }
    }

    /// Time of step `i`, ms; wraps like Prometheus' int64.
    pub fn at(&self, i: usize) -> Millis {
        self.start.wrapping_add(self.step.wrapping_mul(i as Millis))
    }

    /// The last time, ms.
    pub fn end(&self) -> Millis {
        self.at(self.count - 1)
    }
}

/// What [`Planned`] depends on besides the expression and the times.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// How far an instant selector looks back, ms.
    pub lookback: Millis,
    /// Step of a subquery that names none, ms.
    pub default_step: Millis,
    /// Labels that tell replicas apart; part of every select.
    pub replica_labels: Vec<Box<str>>,
    /// What the parser accepts.
    pub parse: promql::ParseOptions,
    /// Metric names are removed at the end of the query and not by each function.
    pub delayed_name_removal: bool,
    /// Start timestamps of samples count in rate and its kin.
    pub use_start_timestamps: bool,
    /// Metric types are judged by the label `__type__`.
    pub type_and_unit_labels: bool,
    /// The query is asked for one time: strings and ranges are allowed, and the order of the result counts.
    pub instant: bool,
    /// The end that was asked for, ms, where it is not the last step: `end()` and `range()` tell of it.
    pub end: Option<Millis>,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            lookback: 300_000,
            default_step: 60_000,
            replica_labels: Vec::new(),
            parse: promql::ParseOptions::default(),
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            instant: false,
            end: None,
        }
    }
}

/// A plan, and what it reads.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The tree.
    pub root: Plan,
    /// Type of the answer.
    pub value_type: ValueType,
    /// What is read; equal ones once.
    pub selects: Vec<Select>,
    /// The times of the answer.
    pub timeline: Timeline,
    /// See [`PlanOptions::delayed_name_removal`].
    pub delayed_name_removal: bool,
    /// See [`PlanOptions::instant`].
    pub instant: bool,
}

impl Planned {
    /// The tree and the selects as text, one line a node.
    pub fn explain(&self) -> String {
        explain::explain(self)
    }

    /// The tree as texts.
    pub fn tree(&self) -> Explained {
        explain::tree(self)
    }
}

/// Parses and plans `expression`.
///
/// # Errors
///
/// [`QueryError::Invalid`] for a wrong text, type or duration, position included; [`QueryError::Execution`] for what
/// Prometheus finds out only when it evaluates, such as the regular expression of `label_replace()`.
pub fn plan(expression: &str, timeline: Timeline, options: &PlanOptions) -> Result<Planned, QueryError> {
    let expr = promql::parse(expression, &options.parse)?;
    plan_expr(&expr, timeline, options)
}

/// Plans a tree. Errors are those of [`plan`], but for those of the text.
pub fn plan_expr(expr: &Expr, timeline: Timeline, options: &PlanOptions) -> Result<Planned, QueryError> {
    let value_type = expr.value_type();
    if !options.instant && !matches!(value_type, ValueType::Scalar | ValueType::Vector) {
        return Err(QueryError::Invalid(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            value_type.documented()
        )));
    }
    let times = times::QueryTimes::new(timeline, options);
    let mut root = build::build(expr, times, options)?;
    turns::number(&mut root);
    pass_step_invariant::run(&mut root);
    pass_propagate_matchers::run(&mut root, &options.replica_labels);
    pass_histogram_stats::run(&mut root);
    let selects = place::place(&mut root, timeline, times.start == times.end, options);
    let (delayed_name_removal, instant) = (options.delayed_name_removal, options.instant);
    Ok(Planned { root, value_type, selects, timeline, delayed_name_removal, instant })
}
