//! Aggregations that fold: one accumulator a group and step, whatever the number of series.
//!
//! Rows are folded in the order in which they come, which is that of the labels of the selected series, so that sums are
//! the same bits for any number of threads and any size of batches.

#[cfg(test)]
mod tests;
mod totals;

use std::sync::Arc;

use masthead_store::Reservation;

use super::batch::{ABSENT, Batch, Drain, Row, is_absent, row_bytes};
use super::groups::{GROUP_BYTES, Groups};
use super::texts::histogram_ignored;
use super::{Context, Operator, Source, kahan, pull};
use crate::annotations::{Place, Severity};
use crate::error::QueryError;
use crate::plan::node::Aggregate;
use crate::promql::ast::AggregateOp;
use totals::Totals;

/// The fold of `node`, if it is one.
pub(super) fn fold(node: &Aggregate, input: &mut Option<Source>, steps: usize) -> Option<Source> {
    let mut make = |op: AggregateOp| -> Option<Source> {
        Some(match op {
            AggregateOp::Sum => Fold::<Sum>::source(node, input.take()?, steps),
            AggregateOp::Avg => Fold::<Mean>::source(node, input.take()?, steps),
            AggregateOp::Min => Fold::<Extreme<false>>::source(node, input.take()?, steps),
            AggregateOp::Max => Fold::<Extreme<true>>::source(node, input.take()?, steps),
            AggregateOp::Count => Fold::<Count>::source(node, input.take()?, steps),
            AggregateOp::Group => Fold::<One>::source(node, input.take()?, steps),
            AggregateOp::Stddev => Fold::<Spread<true>>::source(node, input.take()?, steps),
            AggregateOp::Stdvar => Fold::<Spread<false>>::source(node, input.take()?, steps),
            _ => return None,
        })
    };
    make(node.op)
}

/// What an aggregation does with native histograms.
#[derive(Clone, Copy, PartialEq)]
enum Histograms {
    /// Adds them up.
    Sum,
    /// Adds them up and divides by their number.
    Mean,
    /// Counts them as it does floats.
    Count,
    /// Leaves them out, and says so.
    Ignore,
}

/// An accumulator of one group at one step.
trait Accumulator: Copy + Send + 'static {
    /// Before the first value.
    const EMPTY: Self;
    /// What becomes of native histograms.
    const HISTOGRAMS: Histograms;

    /// Takes a value.
    fn add(&mut self, value: f64);

    /// The result; [`ABSENT`] if there was no value.
    fn result(&self) -> f64;
}

struct Fold<C> {
    op: AggregateOp,
    place: Place,
    input: Option<Source>,
    steps: usize,
    groups: Groups,
    /// One row of cells a group.
    cells: Vec<Vec<C>>,
    /// Histograms that were added up.
    totals: Totals,
    /// Per group: whether the name of any member is to be dropped.
    drop_name: Vec<bool>,
    results: Option<Drain>,
}

impl<C: Accumulator> Fold<C> {
    fn source(node: &Aggregate, input: Source, steps: usize) -> Source {
        Box::new(Self {
            op: node.op,
            place: node.place,
            input: Some(input),
            steps,
            groups: Groups::new(node.grouping.clone()),
            cells: Vec::new(),
            totals: Totals::new(C::HISTOGRAMS == Histograms::Mean, node.place),
            drop_name: Vec::new(),
            results: None,
        })
    }

    fn consume(&mut self, batch: &Batch, held: &mut Reservation, cx: &Context<'_>) -> Result<(), QueryError> {
        if C::HISTOGRAMS == Histograms::Ignore && !batch.histograms.is_empty() {
            cx.annotations.add(Severity::Info, histogram_ignored(self.op), self.place);
        }
        for i in 0..batch.len() {
            let (group, new) = self.groups.insert(&batch.labels[i]);
            if new {
                held.grow(GROUP_BYTES + batch.labels[i].size_bytes() + self.steps * size_of::<C>())?;
                self.cells.push(vec![C::EMPTY; self.steps]);
                self.drop_name.push(false);
            }
            self.drop_name[group] |= batch.drop_name[i];
            if !batch.histograms.is_empty() {
                self.add_histograms(group, batch, i, cx)?;
            }
            let cells = self.cells[group].iter_mut().zip(batch.row(i));
            match self.totals.of(group) {
                None => cells.filter(|(_, value)| !is_absent(**value)).for_each(|(cell, value)| cell.add(*value)),
                Some(totals) => {
                    for ((cell, value), total) in cells.zip(totals).filter(|((_, value), _)| !is_absent(**value)) {
                        match total {
                            Some(total) => total.add_float(),
                            None => cell.add(*value),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn add_histograms(&mut self, group: usize, batch: &Batch, i: usize, cx: &Context<'_>) -> Result<(), QueryError> {
        let histograms = batch.histograms_of(i);
        let cells = &mut self.cells[group];
        match C::HISTOGRAMS {
            Histograms::Ignore => Ok(()),
            Histograms::Count => {
                histograms.iter().for_each(|(_, step, _)| cells[*step as usize].add(0.0));
                Ok(())
            }
            Histograms::Sum | Histograms::Mean => {
                let has_float = |step: usize| !is_absent(cells[step].result());
                let row = (batch.labels[i].metric_name(), self.steps);
                self.totals.add(group, histograms, row, has_float, cx)
            }
        }
    }

    fn finish(&mut self, cx: &Context<'_>) -> Result<Drain, QueryError> {
        let mut held = cx.budget.reserve("results of an aggregation", self.cells.len() * row_bytes(self.steps))?;
        let cells = std::mem::take(&mut self.cells);
        let mut rows = Vec::with_capacity(cells.len());
        for (group, cells) in cells.into_iter().enumerate() {
            cx.check()?;
            let mut values: Vec<f64> = cells.iter().map(Accumulator::result).collect();
            let mut histograms = Vec::new();
            for (step, histogram) in self.totals.results(group, cx) {
                values[step as usize] = ABSENT;
                histograms.extend(histogram.map(|histogram| (step, Arc::new(histogram))));
            }
            let drop_name = self.drop_name[group];
            rows.push(Row { labels: self.groups.labels(group), drop_name, values, histograms });
        }
        if let Some(histograms) = self.totals.take_held() {
            held.merge(histograms);
        }
        Ok(Drain::new(rows, self.steps, held))
    }
}

impl<C: Accumulator> Operator for Fold<C> {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if let Some(mut input) = self.input.take() {
            let mut held = cx.budget.reserve("groups of an aggregation", 0)?;
            while let Some(batch) = pull(&mut *input, cx)? {
                self.consume(&batch, &mut held, cx)?;
            }
            self.results = Some(self.finish(cx)?);
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

#[derive(Clone, Copy)]
struct Sum {
    sum: f64,
    compensation: f64,
}

impl Accumulator for Sum {
    const EMPTY: Self = Self { sum: ABSENT, compensation: 0.0 };
    const HISTOGRAMS: Histograms = Histograms::Sum;

    #[inline]
    fn add(&mut self, value: f64) {
        if is_absent(self.sum) {
            self.sum = value;
        } else {
            kahan::add(value, &mut self.sum, &mut self.compensation);
        }
    }

    fn result(&self) -> f64 {
        if is_absent(self.sum) { ABSENT } else { self.sum + self.compensation }
    }
}

/// The sum divided by the count, until the sum would overflow; from there on the mean is kept up to date with each value
/// (promql/engine.go, aggregation, case AVG).
#[derive(Clone, Copy)]
struct Mean {
    /// The sum; the mean itself once `incremental`.
    sum: f64,
    compensation: f64,
    count: f64,
    incremental: bool,
}

impl Accumulator for Mean {
    const EMPTY: Self = Self { sum: 0.0, compensation: 0.0, count: 0.0, incremental: false };
    const HISTOGRAMS: Histograms = Histograms::Mean;

    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.sum = value;
            return;
        }
        let before = self.count - 1.0;
        if !self.incremental {
            let (mut sum, mut compensation) = (self.sum, self.compensation);
            kahan::add(value, &mut sum, &mut compensation);
            if !sum.is_infinite() {
                (self.sum, self.compensation) = (sum, compensation);
                return;
            }
            self.incremental = true;
            self.sum /= before;
            self.compensation /= before;
        }
        let part = before / self.count;
        self.sum *= part;
        self.compensation *= part;
        kahan::add(value / self.count, &mut self.sum, &mut self.compensation);
    }

    fn result(&self) -> f64 {
        if self.count == 0.0 {
            ABSENT
        } else if self.incremental {
            self.sum + self.compensation
        } else {
            self.sum / self.count + self.compensation / self.count
        }
    }
}

/// The least or, with `MAX`, the greatest value; NaN only if there is nothing else.
#[derive(Clone, Copy)]
struct Extreme<const MAX: bool>(f64);

impl<const MAX: bool> Accumulator for Extreme<MAX> {
    const EMPTY: Self = Self(ABSENT);
    const HISTOGRAMS: Histograms = Histograms::Ignore;

    #[inline]
    fn add(&mut self, value: f64) {
        let beats = if MAX { value > self.0 } else { value < self.0 };
        // NaN gives way to what comes next, and so does ABSENT, which is one.
        if beats || self.0.is_nan() {
            self.0 = value;
        }
    }

    fn result(&self) -> f64 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct Count(f64);

impl Accumulator for Count {
    const EMPTY: Self = Self(0.0);
    const HISTOGRAMS: Histograms = Histograms::Count;

    #[inline]
    fn add(&mut self, _: f64) {
        self.0 += 1.0;
    }

    fn result(&self) -> f64 {
        if self.0 == 0.0 { ABSENT } else { self.0 }
    }
}

#[derive(Clone, Copy)]
struct One(f64);

impl Accumulator for One {
    const EMPTY: Self = Self(ABSENT);
    const HISTOGRAMS: Histograms = Histograms::Count;

    #[inline]
    fn add(&mut self, _: f64) {
        self.0 = 1.0;
    }

    fn result(&self) -> f64 {
        self.0
    }
}

/// Variance of the population by Welford, or with `ROOT` its square root. A first value that is not finite spoils it.
#[derive(Clone, Copy)]
struct Spread<const ROOT: bool> {
    count: f64,
    mean: f64,
    squares: f64,
}

impl<const ROOT: bool> Accumulator for Spread<ROOT> {
    const EMPTY: Self = Self { count: 0.0, mean: 0.0, squares: 0.0 };
    const HISTOGRAMS: Histograms = Histograms::Ignore;

    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.mean = value;
            self.squares = if value.is_finite() { 0.0 } else { f64::NAN };
            return;
        }
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    fn result(&self) -> f64 {
        if self.count == 0.0 {
            return ABSENT;
        }
        let variance = self.squares / self.count;
        if ROOT { variance.sqrt() } else { variance }
    }
}
