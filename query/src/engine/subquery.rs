//! Functions of a range over what an inner expression gives on its own grid: a row becomes the samples of a series.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::samples::HistogramSample;
use masthead_store::{Reservation, Samples};

use super::batch::{Batch, histogram_bytes, is_absent, row_bytes};
use super::scan::columns::{Columns, Scratch};
use super::scan::hints::without_reset_hints;
use super::{Context, Operator, Source, pull};
use crate::error::QueryError;
use crate::plan::Timeline;

/// A function of a subquery.
pub(super) struct Subquery {
    grid: Timeline,
    input: Source,
    columns: Columns,
    /// Of the samples of the rows that are computed at the same time.
    held: Option<Reservation>,
}

impl Subquery {
    /// Evaluates the function of `columns` over the rows of `input`, which are of the steps of `grid`.
    pub(super) fn new(grid: Timeline, input: Source, columns: Columns) -> Self {
        Self { grid, input, columns, held: None }
    }

    /// Takes the memory for the samples of `rows`, of as many of them as there are threads at a time: a time and a value each.
    /// Histograms may have to be copied.
    fn reserve(&mut self, rows: &Batch, cx: &Context<'_>) -> Result<(), QueryError> {
        let threads = cx.pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        let floats = rows.len().min(threads).saturating_mul(2).saturating_mul(row_bytes(self.grid.count));
        let bytes = rows
            .histograms
            .iter()
            .map(|(.., histogram)| histogram_bytes(histogram))
            .fold(floats, usize::saturating_add);
        if self.held.as_ref().is_none_or(|held| held.bytes() < bytes) {
            self.held = None;
            self.held = Some(cx.budget.reserve("samples of a subquery", bytes)?);
        }
        Ok(())
    }
}

impl Operator for Subquery {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        // Errors of the arguments come before those of the input.
        self.columns.arguments(cx)?;
        loop {
            let Some(rows) = pull(&mut *self.input, cx)? else { return Ok(None) };
            self.reserve(&rows, cx)?;
            let grid = &self.grid;
            let fill = |i: usize, scratch: &mut Scratch| {
                let histograms = without_reset_hints(rows.histograms_of(i));
                samples_of(rows.row(i), histograms, grid, &mut scratch.samples);
                Ok(())
            };
            let computed = self.columns.compute(rows.len(), rows.values.len(), fill, cx)?;
            let batch = computed.keep(rows.labels.into_iter().zip(rows.drop_name), cx)?;
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
    }
}

/// The cells that are there, as samples of a series.
pub(super) fn samples_of(
    row: &[f64],
    histograms: impl Iterator<Item = (u32, Arc<Histogram>)>,
    grid: &Timeline,
    samples: &mut Samples,
) {
    samples.clear();
    for (step, value) in row.iter().enumerate().filter(|(_, value)| !is_absent(**value)) {
        samples.timestamps.push(grid.at(step));
        samples.values.push(*value);
    }
    let sample =
        |(step, histogram)| HistogramSample { timestamp: grid.at(step as usize), start_timestamp: 0, histogram };
    samples.histograms.extend(histograms.map(sample));
}
