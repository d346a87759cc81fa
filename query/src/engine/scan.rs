//! The leaf: series in, rows out. Decodes the lanes of each series into one column, and computes all steps of it.
//!
//! Rows are computed in parallel, here and nowhere else; what comes out does not depend on the number of threads.

mod kernel;
#[cfg(test)]
mod tests;

use std::sync::{Mutex, PoisonError};

use masthead_store::dedup::{self, TimeRange};
use masthead_store::{Labels, Reservation, Samples, Series, StoreError};
use rayon::prelude::*;

use super::arguments::Arguments;
use super::batch::{ABSENT, Batch, histogram_bytes, histograms_bytes, is_absent};
use super::column::{Prepared, WindowTimes, keep_stats};
use super::lanes::Levels;
use super::loaded::{Loaded, size_in_samples};
use super::{Context, Input, Operator, Source, extended};
use crate::error::QueryError;
use crate::plan::ScanSpec;
use kernel::{Beside, Kernel};

/// Rows of a selector: those that have a point at any step.
pub(super) struct Scan {
    input: Box<dyn Input>,
    columns: Columns,
}

impl Scan {
    /// Evaluates the function of `spec` over each series of `input`; `args` are its scalars.
    pub(super) fn new(input: Box<dyn Input>, spec: ScanSpec, args: Vec<Source>) -> Result<Self, QueryError> {
        Ok(Self { input, columns: Columns { from_store: true, ..Columns::new(spec, args)? } })
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
            let fill = |i: usize, scratch: &mut Scratch| read(&series[i], reading, scratch);
            let computed = self.columns.compute(series.len(), work, fill, cx)?;
            let rows = computed.keep(batch.series.into_iter().map(|series| (series.labels, false)), cx)?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }
}

/// A function of columns with its scalars and its memory, for any number of rows.
pub(super) struct Columns {
    spec: ScanSpec,
    kernel: Kernel,
    sources: Vec<Source>,
    /// The samples come from a store and not from rows.
    from_store: bool,
    /// The values of `sources`; None until they are asked for.
    args: Option<Arguments>,
    scratch: ScratchPool,
    /// The points so far.
    loaded: Option<Loaded>,
}

impl Columns {
    /// The function of `spec`; `sources` are its scalars.
    pub(super) fn new(spec: ScanSpec, sources: Vec<Source>) -> Result<Self, QueryError> {
        let kernel = Kernel::of(&spec)?;
        Ok(Self { spec, kernel, sources, from_store: false, args: None, scratch: ScratchPool::default(), loaded: None })
    }

    /// Reads the scalars, unless it has been done.
    pub(super) fn arguments(&mut self, cx: &Context<'_>) -> Result<(), QueryError> {
        if self.args.is_none() {
            self.args = Some(Arguments::read(&mut self.sources, self.spec.timeline.count, cx)?);
        }
        Ok(())
    }

    /// Computes `count` rows. `work` is about how many samples they have, `fill` puts the settled samples of a row into the
    /// scratch.
    pub(super) fn compute(
        &mut self,
        count: usize,
        work: usize,
        fill: impl Fn(usize, &mut Scratch) -> Result<(), QueryError> + Sync,
        cx: &Context<'_>,
    ) -> Result<Computed<'_>, QueryError> {
        self.arguments(cx)?;
        let Self { spec, kernel, args: Some(args), scratch: pool, loaded, from_store, .. } = self else {
            return Err(QueryError::Internal("scalars were not read".into()));
        };
        let (steps, from_rows) = (spec.timeline.count, !*from_store);
        let mut batch = Batch::with_rows(count, steps, cx)?;
        batch.values.resize(count * steps, ABSENT);
        let (kernel, args, pool, cancelled) = (&*kernel, &*args, &*pool, &*cx.cancelled);
        let compute = |scratch: &mut Scratch, i: usize, out: &mut [f64]| {
            fill(i, scratch)?;
            if let Some(statistics) = cx.samples.statistics() {
                statistics.add_row(spec, &scratch.samples, from_rows);
            }
            let mut beside = Beside::default();
            kernel.compute(scratch, args, cancelled, out, &mut beside);
            cx.check()?;
            let held = match beside.histograms.as_slice() {
                [] => None,
                histograms => Some(cx.budget.reserve("rows of a batch", histograms_bytes(histograms))?),
            };
            let floats = out.iter().filter(|cell| !is_absent(**cell)).count();
            Ok(Found { floats, samples: size_in_samples(&scratch.samples), beside, held })
        };
        let several = |(from, out): (usize, &mut [f64])| -> Vec<Result<Found, QueryError>> {
            let mut rows = out.chunks_mut(steps).enumerate();
            // Nobody asks for the rows behind one that failed.
            let mut has_failed = false;
            let mut next = |scratch: &mut Scratch| {
                let (i, out) = rows.next().filter(|_| !has_failed)?;
                let found = compute(scratch, from + i, out);
                has_failed = found.is_err();
                Some(found)
            };
            pool.with(|scratch| std::iter::from_fn(|| next(scratch)).collect())
        };
        let found = match &cx.pool {
            Some(threads) if is_worth_threads(count, work.saturating_add(count * steps)) => {
                let rows = rows_a_task(count, threads.current_num_threads());
                let tasks = batch.values.par_chunks_mut(rows * steps).enumerate();
                threads.install(|| tasks.flat_map_iter(|(task, out)| several((task * rows, out))).collect())
            }
            _ => several((0, &mut batch.values)),
        };
        Ok(Computed { spec, found, batch, loaded: loaded.get_or_insert_with(|| cx.samples.begin()) })
    }
}

#[cfg(test)]
impl Columns {
    /// A function of scalars that are known.
    pub(super) fn with_arguments(spec: &ScanSpec, args: Arguments) -> Result<Self, QueryError> {
        Ok(Self { args: Some(args), ..Self::new(spec.clone(), Vec::new())? })
    }
}

/// Memory of one thread, reused from row to row.
#[derive(Default)]
pub(super) struct Scratch {
    decode: dedup::Scratch,
    /// The samples of the row.
    pub(super) samples: Samples,
    /// What is known of them.
    pub(super) prepared: Prepared,
}

/// Scratch that no thread uses right now.
#[derive(Default)]
struct ScratchPool(Mutex<Vec<Scratch>>);

impl ScratchPool {
    fn with<R>(&self, work: impl FnOnce(&mut Scratch) -> R) -> R {
        let free = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scratch = free().pop().unwrap_or_default();
        let result = work(&mut scratch);
        free().push(scratch);
        result
    }
}

/// Rows that were computed, without their labels.
pub(super) struct Computed<'a> {
    spec: &'a ScanSpec,
    /// By row; those behind a failed one may be missing.
    found: Vec<Result<Found, QueryError>>,
    batch: Batch,
    loaded: &'a mut Loaded,
}

/// What came out of a row besides its cells.
struct Found {
    /// Cells that are floats.
    floats: usize,
    /// Samples that were read, a histogram counting as its size in samples.
    samples: usize,
    beside: Beside,
    /// The memory of the histograms, if there are any.
    held: Option<Reservation>,
}

/// Whether rows are so much work that handing parts of them to other threads, some ten µs, costs less than it saves. `work`
/// counts samples and steps; one takes as long as the other.
fn is_worth_threads(rows: usize, work: usize) -> bool {
    // Unit tests are small and want threads.
    const WORK_MIN: usize = if cfg!(test) { 1 } else { 50_000 };
    rows > 1 && work >= WORK_MIN
}

/// Rows a task: few enough that no thread waits long for another, many enough to pay for the hand-over.
fn rows_a_task(rows: usize, threads: usize) -> usize {
    rows.div_ceil(threads * 4).clamp(1, 16)
}

impl Computed<'_> {
    /// The rows that have points, moved together; prints what was told of them, and counts. `labels` gives the labels of each
    /// row and whether its name is to be dropped at the end.
    pub(super) fn keep(
        self,
        labels: impl Iterator<Item = (Labels, bool)>,
        cx: &Context<'_>,
    ) -> Result<Batch, QueryError> {
        let Self { spec, found, mut batch, loaded } = self;
        let steps = batch.steps;
        for (i, ((labels, drop_name), found)) in labels.zip(found).enumerate() {
            let Found { floats, samples, beside: Beside { notes, histograms }, held } = found?;
            notes.report(&labels, floats > 0, spec, cx)?;
            let points: usize = histograms.iter().map(|(_, histogram)| histogram.size_in_samples()).sum();
            loaded.grow(floats + points)?;
            cx.samples.check(samples)?;
            if floats + histograms.len() > 0 {
                let kept = batch.labels.len();
                if kept < i {
                    batch.values.copy_within(i * steps..(i + 1) * steps, kept * steps);
                }
                batch.labels.push(labels);
                batch.drop_name.push(drop_name);
                held.into_iter().for_each(|held| batch.held.merge(held));
                batch.histograms.extend(histograms.into_iter().map(|(step, histogram)| (kept as u32, step, histogram)));
            }
        }
        batch.values.truncate(batch.labels.len() * steps);
        super::rename(&mut batch, spec.names);
        Ok(batch)
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
fn read(series: &Series, reading: Reading, scratch: &mut Scratch) -> Result<(), QueryError> {
    let (min_time, max_time) = reading.times.needed();
    let range = TimeRange { min_time, max_time };
    let Scratch { decode, samples, prepared } = scratch;
    dedup::samples_of(series, range, 0, decode, samples).map_err(|error| failed(series, &error))?;
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
    QueryError::Execution(format!("read samples of {}: {error}", series.labels))
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
            read(series, reading, &mut scratch)?;
            if let Some(statistics) = cx.samples.statistics() {
                statistics.add_row(spec, &scratch.samples, false);
            }
            let mut samples = match spec.extension {
                Some(extension) => extended::points(&scratch.samples, window, extension)?,
                None => scratch.samples.clone(),
            };
            samples.runs.clear();
            loaded.grow(size_in_samples(&samples))?;
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
