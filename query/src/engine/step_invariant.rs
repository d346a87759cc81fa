//! Rows that were computed for one step and hold for all.

use super::batch::Batch;
use super::loaded::Loaded;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;

/// Repeats the one value of each row.
pub(super) struct Broadcast {
    input: Source,
    steps: usize,
    loaded: Option<Loaded>,
}

impl Broadcast {
    /// `input` is of one step.
    pub(super) fn new(input: Source, steps: usize) -> Self {
        Self { input, steps, loaded: None }
    }
}

impl Operator for Broadcast {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        let Some(one) = pull(&mut *self.input, cx)? else { return Ok(None) };
        if self.steps == 1 {
            return Ok(Some(one));
        }
        self.loaded.get_or_insert_with(|| cx.samples.begin()).grow(one.len() * self.steps)?;
        let mut batch = Batch::with_rows(one.len(), self.steps, cx)?;
        let mut values = vec![0.0; self.steps];
        for (i, (labels, drop_name)) in one.labels.into_iter().zip(one.drop_name).enumerate() {
            values.fill(one.values[i]);
            batch.push(labels, drop_name, &values);
        }
        Ok(Some(batch))
    }
}
