//! absent() and absent_over_time(): 1 where no row has anything.

use masthead_store::Labels;

use super::batch::{ABSENT, Batch};
use super::steps::StepSet;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;

/// One row, at the steps at which the input has none.
pub(super) struct Absent {
    input: Option<Source>,
    labels: Labels,
    steps: usize,
}

impl Absent {
    /// `labels` are those of the row.
    pub(super) fn new(input: Source, labels: Labels, steps: usize) -> Self {
        Self { input: Some(input), labels, steps }
    }
}

impl Operator for Absent {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let Some(mut input) = self.input.take() else { return Ok(None) };
        let mut present = StepSet::new(self.steps);
        while let Some(batch) = pull(&mut *input, cx)? {
            (0..batch.len()).for_each(|i| present.add_present(batch.row(i)));
        }
        let mut batch = Batch::with_rows(1, self.steps, cx)?;
        let values: Vec<f64> = (0..self.steps).map(|step| if present.contains(step) { ABSENT } else { 1.0 }).collect();
        batch.push(self.labels.clone(), false, &values);
        Ok(Some(batch))
    }
}
