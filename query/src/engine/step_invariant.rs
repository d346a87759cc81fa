//! Rows that were computed for one step and hold for all.

use std::sync::Arc;

use super::batch::{Batch, is_absent};
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
        let Some(mut one) = pull(&mut *self.input, cx)? else { return Ok(None) };
        if self.steps == 1 {
            return Ok(Some(one));
        }
        let histograms: usize = one.histograms.iter().map(|(_, _, histogram)| histogram.size_in_samples()).sum();
        let floats = one.values.iter().filter(|value| !is_absent(**value)).count();
        let samples = (floats + histograms).saturating_mul(self.steps);
        self.loaded.get_or_insert_with(|| cx.samples.begin()).grow(samples)?;
        let mut batch = Batch::with_rows(one.len(), self.steps, cx)?;
        let mut values = vec![0.0; self.steps];
        let mut histograms = one.take_histograms();
        for (i, (labels, drop_name)) in one.labels.into_iter().zip(one.drop_name).enumerate() {
            values.fill(one.values[i]);
            batch.push(labels, drop_name, &values);
            for (_, histogram) in histograms.of(i) {
                for step in 0..self.steps {
                    batch.push_histogram(step as u32, Arc::clone(&histogram))?;
                }
            }
        }
        Ok(Some(batch))
    }
}
