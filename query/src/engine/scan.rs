//! The leaf: series in, rows out. Decodes the lanes of each series into one column, and computes all steps of it.
//!
//! Below it, from the ground up: what a window shows (`window`, `times`, `starts`, `notes`), kernels that compute one
//! (`range_functions`), what is prepared of a column (`lanes`, `marks`, `column`), windows that slide over it (`slide`,
//! `lookup`), the table of functions, and `columns`, which computes rows. Nothing imports upwards;
//! `tests/tests/architecture.rs` holds this.

mod column;
pub(super) mod columns;
pub(super) mod hints;
mod kernel;
mod lanes;
mod lookup;
mod marks;
mod notes;
mod range_functions;
mod slide;
mod starts;
#[cfg(test)]
mod tests;
mod times;
mod window;

use masthead_store::dedup::{self, TimeRange};
use masthead_store::{Budget, Labels, Samples, Series, StoreError};

use super::batch::{Batch, histogram_bytes};
use super::loaded::size_in_samples;
use super::{Context, Input, Operator};
use crate::error::QueryError;
use crate::plan::ScanSpec;
use columns::{Columns, Scratch};
use hints::keep_stats;
use lanes::Levels;
use range_functions::extended;
use times::WindowTimes;

/// Rows of a selector: those that have a point at any step.
pub(super) struct Scan {
    input: Box<dyn Input>,
    columns: Columns,
}

impl Scan {
    /// Evaluates the function of `columns` over each series of `input`.
    pub(super) fn new(input: Box<dyn Input>, columns: Columns) -> Self {
        Self { input, columns }
    }
}

impl Operator for Scan {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        // Errors of the arguments come before those of the input.
        self.columns.arguments(cx)?;
        let reading = Reading::of(&self.columns);
        loop {
            cx.check()?;
            let Some(batch) = self.input.next()? else { return Ok(None) };
            let series = batch.series.as_slice();
            // A byte of a chunk is about one sample.
            let chunks = series.iter().flat_map(|series| &series.lanes).flat_map(|lane| &lane.chunks);
            let work = chunks.map(|chunk| chunk.data.len()).sum();
            let fill = |i: usize, scratch: &mut Scratch| read(&series[i], reading, &cx.budget, scratch);
            let computed = self.columns.compute(series.len(), work, fill, cx)?;
            let rows = computed.keep(batch.series.into_iter().map(|series| (series.labels, false)), cx)?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}

/// How series are read.
#[derive(Clone, Copy)]
struct Reading {
    times: WindowTimes,
    /// None: stale markers stay.
    levels: Option<Levels>,
    with_start_timestamps: bool,
    histogram_stats: bool,
}

impl Reading {
    fn of(columns: &Columns) -> Self {
        let Columns { kernel, spec, .. } = columns;
        Self {
            times: kernel.times,
            levels: kernel.levels(),
            with_start_timestamps: kernel.with_start_timestamps,
            histogram_stats: spec.histogram_stats,
        }
    }
}

/// Decodes a series into the samples that `reading` needs.
fn read(series: &Series, reading: Reading, budget: &Budget, scratch: &mut Scratch) -> Result<(), QueryError> {
    let (min_time, max_time) = reading.times.needed();
    let range = TimeRange { min_time, max_time };
    let Scratch { decode, samples, prepared } = scratch;
    dedup::samples_of(series, range, budget, decode, samples).map_err(|error| failed(series, &error))?;
    if reading.histogram_stats {
        keep_stats(samples);
    }
    if let Some(levels) = reading.levels {
        prepared.settle(samples, levels, reading.with_start_timestamps);
    }
    Ok(())
}

/// The error of a series that cannot be decoded.
fn failed(series: &Series, error: &StoreError) -> QueryError {
    match error.limit() {
        Some(limit) => limit.clone().into(),
        None => QueryError::Execution(format!("read samples of {}: {error}", series.labels)),
    }
}

/// The samples of the one window of `spec`, for each series that has any.
pub(super) fn raw(
    mut input: Box<dyn Input>,
    spec: &ScanSpec,
    cx: &Context<'_>,
) -> Result<Vec<(Labels, Samples)>, QueryError> {
    let times = WindowTimes::of(spec, spec.range);
    let window = (times.start(times.end(0)), times.end(0));
    let reading = Reading { times, levels: Some(Levels::None), with_start_timestamps: false, histogram_stats: false };
    let mut scratch = Scratch::default();
    let mut held = cx.budget.reserve("samples of the result", 0)?;
    let (mut out, mut loaded) = (Vec::new(), cx.samples.begin());
    while let Some(batch) = input.next()? {
        cx.check()?;
        for series in &batch.series {
            read(series, reading, &cx.budget, &mut scratch)?;
            let mut samples = match spec.extension {
                Some(extension) => extended::points(&scratch.samples, window, extension)?,
                None => scratch.samples.clone(),
            };
            samples.runs.clear();
            let size = size_in_samples(&samples);
            loaded.grow(size)?;
            if let Some(statistics) = cx.samples.statistics() {
                statistics.add_result(size);
            }
            if !samples.is_empty() {
                let histograms: usize =
                    samples.histograms.iter().map(|sample| histogram_bytes(&sample.histogram)).sum();
                held.grow(samples.timestamps.len() * 24 + histograms + series.labels.size_bytes())?;
                out.push((series.labels.clone(), samples));
            }
        }
    }
    Ok(out)
}
