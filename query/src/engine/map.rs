//! Functions of each cell: float functions, functions of time, unary minus.

use super::arguments::Arguments;
use super::batch::{ABSENT, Batch, is_absent};
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
    /// The time of the step, s: `timestamp()` of anything but a selector.
    StepTime,
    /// Nothing: functions of native histograms do not see floats, and only selectors have start timestamps.
    Nothing,
}

/// Functions that give nothing for a float.
const OF_HISTOGRAMS: &[&str] =
    &["histogram_avg", "histogram_count", "histogram_stddev", "histogram_stdvar", "histogram_sum", "start_timestamp"];

impl Map {
    /// Applies the function of `node` to the rows of `input`. Fails for a function that no table has.
    pub(super) fn new(node: &Node, input: Source, args: Vec<Source>, timeline: Timeline) -> Result<Self, QueryError> {
        let name = node.function;
        let kernel = if name == Node::NEGATE {
            Kernel::Time(|value| -value)
        } else if name == "timestamp" {
            Kernel::StepTime
        } else if OF_HISTOGRAMS.contains(&name) {
            Kernel::Nothing
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
                Kernel::StepTime => cells.for_each(|(step, cell)| *cell = self.timeline.at(step) as f64 / 1000.0),
                Kernel::Nothing => cells.for_each(|(_, cell)| *cell = ABSENT),
            }
        }
        super::rename(&mut batch, self.names);
        Ok(Some(batch))
    }
}
