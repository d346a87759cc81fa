//! Functions of each cell: float functions, functions of time, of native histograms, unary minus.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::labels::METRIC_NAME;

use super::arguments::Arguments;
use super::batch::{ABSENT, Batch, HistogramCell, is_absent};
use super::{Context, Operator, Source, instant_functions, pull, time_functions};
use crate::error::QueryError;
use crate::plan::node::Map as Node;
use crate::plan::{Names, Timeline};

/// Applies a function to each cell.
pub(super) struct Map {
    kernel: Kernel,
    input: Source,
    args: Vec<Source>,
    values: Option<Arguments>,
    names: Names,
    timeline: Timeline,
}

enum Kernel {
    /// Of the cell and scalars.
    Float(fn(f64, &[f64]) -> f64),
    /// Of the cell alone.
    Time(fn(f64) -> f64),
    /// Unary minus, of histograms too.
    Negate,
    /// The time of the step, s: `timestamp()` of anything but a selector.
    StepTime,
    /// Of a histogram; floats give nothing.
    Histogram(fn(&Histogram) -> f64),
    /// Nothing: only selectors have start timestamps.
    Nothing,
}

impl Map {
    /// Applies the function of `node` to the rows of `input`. Fails for a function that no table has.
    pub(super) fn new(node: &Node, input: Source, args: Vec<Source>, timeline: Timeline) -> Result<Self, QueryError> {
        let name = node.function;
        let kernel = if name == Node::NEGATE {
            Kernel::Negate
        } else if name == "timestamp" {
            Kernel::StepTime
        } else if name == "start_timestamp" {
            Kernel::Nothing
        } else if let Some(kernel) = instant_functions::find_of_histogram(name) {
            Kernel::Histogram(kernel)
        } else if let Some(kernel) = instant_functions::find(name) {
            Kernel::Float(kernel)
        } else if let Some(kernel) = time_functions::find(name) {
            Kernel::Time(kernel)
        } else {
            return Err(QueryError::Execution(format!("not supported yet: function {name}()")));
        };
        Ok(Self { kernel, input, args, values: None, names: node.names, timeline })
    }
}

impl Map {
    /// Replaces the histograms of `batch`, mostly by nothing: functions of floats leave them out.
    fn map_histograms(&self, batch: &mut Batch) {
        if batch.histograms.is_empty() {
            return;
        }
        let steps = batch.steps;
        let value: &dyn Fn(u32, &Histogram) -> f64 = match &self.kernel {
            Kernel::Negate => {
                negate(&mut batch.histograms);
                return;
            }
            Kernel::Histogram(kernel) => &|_, histogram| kernel(histogram),
            Kernel::StepTime => &|step, _| self.timeline.at(step as usize) as f64 / 1000.0,
            Kernel::Float(_) | Kernel::Time(_) | Kernel::Nothing => &|_, _| ABSENT,
        };
        for (row, step, histogram) in std::mem::take(&mut batch.histograms) {
            batch.values[row as usize * steps + step as usize] = value(step, &histogram);
        }
    }
}

/// Negates all. Neighbours that are one histogram stay one.
fn negate(histograms: &mut [HistogramCell]) {
    for run in histograms.chunk_by_mut(|a, b| Arc::ptr_eq(&a.2, &b.2)) {
        let Some(((_, _, first), others)) = run.split_first_mut() else { continue };
        Arc::make_mut(first).mul(-1.0);
        others.iter_mut().for_each(|(_, _, histogram)| *histogram = Arc::clone(first));
    }
}

impl Operator for Map {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let args = match &self.values {
            Some(values) => values,
            None => self.values.insert(Arguments::read(&mut self.args, self.timeline.count, cx)?),
        };
        let Some(mut batch) = pull(&mut *self.input, cx)? else { return Ok(None) };
        for i in 0..batch.len() {
            let cells = batch.row_mut(i).iter_mut().enumerate().filter(|(_, cell)| !is_absent(**cell));
            match self.kernel {
                Kernel::Float(kernel) => cells.for_each(|(step, cell)| *cell = kernel(*cell, args.at(step))),
                Kernel::Time(kernel) => cells.for_each(|(_, cell)| *cell = kernel(*cell)),
                Kernel::Negate => cells.for_each(|(_, cell)| *cell = -*cell),
                Kernel::StepTime => cells.for_each(|(step, cell)| *cell = self.timeline.at(step) as f64 / 1000.0),
                Kernel::Nothing | Kernel::Histogram(_) => cells.for_each(|(_, cell)| *cell = ABSENT),
            }
        }
        self.map_histograms(&mut batch);
        match (&self.kernel, self.names) {
            // These drop the name alone (promql/functions.go, simpleHistogramFunc).
            (Kernel::Histogram(_), Names::Drop) => {
                batch.labels.iter_mut().for_each(|labels| *labels = labels.without(&[METRIC_NAME]));
            }
            _ => super::rename(&mut batch, self.names),
        }
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_histogram_of_many_steps_is_negated_once() {
        let [a, b] = [1.0, 2.0].map(|count| Arc::new(Histogram { count, ..Histogram::default() }));
        let cells = [(0, 0, &a), (0, 1, &a), (0, 2, &b), (1, 0, &b), (1, 1, &a)];
        let mut cells = cells.map(|(row, step, histogram)| (row, step, Arc::clone(histogram)));
        negate(&mut cells);
        assert_eq!(cells.each_ref().map(|cell| cell.2.count), [-1.0, -1.0, -2.0, -2.0, -1.0]);
        assert!(Arc::ptr_eq(&cells[0].2, &cells[1].2) && Arc::ptr_eq(&cells[2].2, &cells[3].2));
        assert_eq!((a.count, b.count), (1.0, 2.0), "others hold them too");
    }
}
