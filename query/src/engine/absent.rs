//! absent() and absent_over_time(): 1 where no row has anything.

use masthead_store::Labels;

use super::batch::{ABSENT, Batch, is_absent, row_bytes};
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;

/// One row, at the steps at which the input has none.
pub(super) struct Absent {
    input: Option<Source>,
    labels: Labels,
    drop_name: bool,
    steps: usize,
}

impl Absent {
    /// `labels` are those of the row; with `drop_name` those that go with a name go at the end.
    pub(super) fn new(input: Source, labels: Labels, drop_name: bool, steps: usize) -> Self {
        Self { input: Some(input), labels, drop_name, steps }
    }
}

impl Operator for Absent {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let Some(mut input) = self.input.take() else { return Ok(None) };
        let held = cx.budget.reserve("row of absent()", row_bytes(self.steps))?;
        let mut values = vec![1.0; self.steps];
        while let Some(batch) = pull(&mut *input, cx)? {
            for i in 0..batch.len() {
                let cells = values.iter_mut().zip(batch.row(i));
                cells.filter(|(_, cell)| !is_absent(**cell)).for_each(|(value, _)| *value = ABSENT);
            }
            batch.histograms.iter().for_each(|(_, step, _)| values[*step as usize] = ABSENT);
        }
        Ok(Some(Batch { drop_name: vec![self.drop_name], ..Batch::of_row(self.labels.clone(), values, held) }))
    }
}
