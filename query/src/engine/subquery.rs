//! Functions of a range over what an inner expression gives on its own grid: a row becomes the samples of a series.

use masthead_store::Samples;

use super::batch::{Batch, is_absent, row_bytes};
use super::{Context, Operator, Source, pull, scalar_values, scan};
use crate::error::QueryError;
use crate::plan::node;

/// A function of a subquery.
pub(super) struct Subquery {
    node: node::Subquery,
    input: Source,
    args: Vec<Source>,
    values: Option<Vec<Vec<f64>>>,
    samples: Samples,
}

impl Subquery {
    /// Evaluates the function of `node` over the rows of `input`, which are of the grid of `node`.
    pub(super) fn new(node: &node::Subquery, input: Source, args: Vec<Source>) -> Self {
        Self { node: node.clone(), input, args, values: None, samples: Samples::default() }
    }
}

impl Operator for Subquery {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if self.values.is_none() {
            let args = self.args.iter_mut().map(|arg| scalar_values(&mut **arg, cx));
            self.values = Some(args.collect::<Result<_, _>>()?);
        }
        let args = self.values.as_deref().unwrap_or_default();
        let Some(rows) = pull(&mut *self.input, cx)? else { return Ok(None) };
        let steps = self.node.spec.timeline.count;
        let mut batch = Batch::with_rows(rows.len(), steps, cx)?;
        // One row of samples: a time and a value each.
        let _held = cx.budget.reserve("samples of a subquery", 2 * row_bytes(rows.steps))?;
        let mut out = vec![super::batch::ABSENT; steps];
        for i in 0..rows.len() {
            samples_of(rows.row(i), &self.node.grid, &mut self.samples);
            let labels = &rows.labels[i];
            scan::evaluate_column(&self.node.spec, args, labels, &self.samples, &mut out, cx)?;
            batch.push(labels.clone(), rows.drop_name[i], &out);
        }
        super::rename(&mut batch, self.node.spec.names);
        Ok(Some(batch))
    }
}

/// The cells that are there, as samples of a series.
pub(super) fn samples_of(row: &[f64], grid: &crate::plan::Timeline, samples: &mut Samples) {
    samples.clear();
    for (step, value) in row.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
        samples.timestamps.push(grid.at(step));
        samples.values.push(*value);
    }
}
