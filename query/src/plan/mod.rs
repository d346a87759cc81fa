//! The typed plan of a query: selectors collected, functions resolved, durations computed. Parser types end in `build`.

pub mod node;

use masthead_store::{Millis, Select};

pub use node::{Names, Plan, ScanFunction, ScanSpec};

/// What [`Planned`] depends on besides the expression.
#[derive(Debug, Clone)]
pub struct PlanOptions {
    /// How far an instant selector looks back, ms.
    pub lookback: Millis,
    /// Step of a subquery that names none, ms.
    pub default_step: Millis,
    /// Labels that tell replicas apart; part of every select.
    pub replica_labels: Vec<Box<str>>,
    /// Metric names are removed at the end of the query and not by each function.
    pub delayed_name_removal: bool,
    /// Start timestamps of samples count in rate and its kin.
    pub use_start_timestamps: bool,
    /// Metric types are judged by the label `__type__`.
    pub type_and_unit_labels: bool,
    /// The query is asked for one time: strings and ranges are allowed, and the order of the result counts.
    pub instant: bool,
}

/// A plan, and what it reads.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The tree.
    pub root: Plan,
    /// What is read; equal ones once.
    pub selects: Vec<Select>,
    /// The times of the answer.
    pub timeline: Timeline,
    /// See [`PlanOptions::delayed_name_removal`].
    pub delayed_name_removal: bool,
    /// See [`PlanOptions::instant`].
    pub instant: bool,
}

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
