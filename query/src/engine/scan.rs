//! The leaf: series in, rows out. Decodes the lanes of each series into one column, and computes all steps of it.
//!
//! Rows are computed in parallel, here and nowhere else; what comes out does not depend on the number of threads.

use std::sync::{Mutex, PoisonError};

use masthead_store::dedup::{self, TimeRange};
use masthead_store::{Encoding, Labels, Samples, Series, StoreError};
use rayon::prelude::*;

use super::batch::{ABSENT, Batch, is_absent};
use super::column::{Column, Marks, Prepared, WindowTimes, slide};
use super::lanes::Levels;
use super::notes::Notes;
use super::range_functions::{self, RangeFunction, Run};
use super::{Context, Input, Operator, Source, extended, histograms_unsupported, lookup, scalar_values};
use crate::error::QueryError;
use crate::plan::{ScanFunction, ScanSpec};
use crate::promql::ast::RangeExtension;

/// Rows of a selector: those that have a point at any step.
pub(super) struct Scan {
    input: Box<dyn Input>,
    spec: ScanSpec,
    kernel: Kernel,
    args: Vec<Source>,
    /// Values of `args`, those of a step side by side; None until they are asked for.
    values: Option<Vec<f64>>,
    scratch: ScratchPool,
}

impl Scan {
    /// Evaluates the function of `spec` over each series of `input`; `args` are its scalars.
    pub(super) fn new(input: Box<dyn Input>, spec: ScanSpec, args: Vec<Source>) -> Result<Self, QueryError> {
        let kernel = Kernel::of(&spec)?;
        Ok(Self { input, spec, kernel, args, values: None, scratch: ScratchPool::default() })
    }
}

impl Operator for Scan {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if self.values.is_none() {
            let columns: Vec<Vec<f64>> =
                self.args.iter_mut().map(|arg| scalar_values(&mut **arg, cx)).collect::<Result<_, _>>()?;
            self.values = Some(by_step(&columns, self.spec.timeline.count));
        }
        let args = self.values.as_deref().unwrap_or_default();
        loop {
            cx.check()?;
            let Some(series) = self.input.next()? else { return Ok(None) };
            let mut batch = compute(series.series, &self.kernel, args, &self.scratch, &self.spec, cx)?;
            if !batch.is_empty() {
                super::rename(&mut batch, self.spec.names);
                return Ok(Some(batch));
            }
        }
    }
}

/// Scalars as kernels want them: those of a step side by side.
fn by_step(columns: &[Vec<f64>], steps: usize) -> Vec<f64> {
    (0..steps).flat_map(|step| columns.iter().map(move |column| column[step])).collect()
}

/// What is computed of each column.
struct Kernel {
    times: WindowTimes,
    range_seconds: f64,
    with_start_timestamps: bool,
    kind: Kind,
}

enum Kind {
    /// A function of a range.
    Range(&'static RangeFunction, Run),
    /// The newest sample of the lookback.
    Latest,
    /// Something about the newest sample of the lookback.
    OfLatest(lookup::Pick),
    /// An instant selector that is smoothed.
    Smoothed,
    /// Nothing at all.
    Nothing,
}

impl Kernel {
    fn of(spec: &ScanSpec) -> Result<Self, QueryError> {
        let smoothed = spec.extension == Some(RangeExtension::Smoothed);
        let kind = match spec.function {
            ScanFunction::Range(name) => {
                let missing = || QueryError::Execution(format!("not supported yet: function {name}()"));
                let function = range_functions::find(name).ok_or_else(missing)?;
                let run =
                    if spec.extension.is_some() { function.run_extended.ok_or_else(missing)? } else { function.run };
                Kind::Range(function, run)
            }
            ScanFunction::Latest if smoothed => Kind::Smoothed,
            ScanFunction::Latest => Kind::Latest,
            ScanFunction::Timestamp => Kind::OfLatest(lookup::timestamp),
            ScanFunction::SampleTime => Kind::OfLatest(lookup::sample_time),
            ScanFunction::StartTimestamp if !spec.use_start_timestamps => Kind::Nothing,
            ScanFunction::StartTimestamp => Kind::OfLatest(lookup::start_timestamp),
            ScanFunction::Raw => return Err(QueryError::Internal("raw samples are no rows".into())),
        };
        let (instant, wanted) = match &kind {
            Kind::Range(function, _) => (false, function.with_start_timestamps && spec.extension.is_none()),
            _ => (true, true),
        };
        // The window of a lookup is its lookback; one that is smoothed reaches as far to the other side.
        let times = if instant {
            let times = WindowTimes::of(spec, spec.lookback);
            if smoothed { times.reaching(0, spec.lookback) } else { times.reaching(0, 0) }
        } else {
            WindowTimes::of(spec, spec.range)
        };
        let range_seconds = go_seconds(spec.range);
        Ok(Self { times, range_seconds, with_start_timestamps: wanted && spec.use_start_timestamps, kind })
    }

    /// How lanes are levelled. None: stale markers must stay, since they end a series.
    fn levels(&self) -> Option<Levels> {
        match &self.kind {
            Kind::Range(function, _) => Some(function.levels),
            Kind::Smoothed => Some(Levels::None),
            Kind::Latest | Kind::OfLatest(_) | Kind::Nothing => None,
        }
    }

    /// Computes all steps of a settled column.
    fn compute(&self, samples: &Samples, prepared: &mut Prepared, args: &[f64], notes: &mut Notes, out: &mut [f64]) {
        let marks = if let Kind::Range(function, _) = &self.kind { function.marks } else { Marks::None };
        prepared.mark(marks, samples, self.with_start_timestamps);
        let mut column = Column {
            times: self.times,
            samples,
            with_start_timestamps: self.with_start_timestamps,
            prepared,
            args,
            range_seconds: self.range_seconds,
        };
        match self.kind {
            Kind::Range(_, run) => run(&mut column, notes, out),
            Kind::Latest => lookup::latest(samples, &self.times, out, |samples, i| samples.values[i]),
            Kind::OfLatest(pick) => lookup::latest(samples, &self.times, out, pick),
            Kind::Smoothed => {
                slide(&mut column, notes, out, |window, _| extended::smoothed_instant(window, window.end));
            }
            Kind::Nothing => out.fill(ABSENT),
        }
    }
}

/// Go's `Duration.Seconds`: whole seconds and the rest are turned into floats apart.
fn go_seconds(millis: masthead_store::Millis) -> f64 {
    (millis / 1000) as f64 + ((millis % 1000) * 1_000_000) as f64 / 1e9
}

/// Memory of one thread, reused from row to row.
#[derive(Default)]
struct Scratch {
    decode: dedup::Scratch,
    samples: Samples,
    prepared: Prepared,
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

/// A row that was computed.
struct Computed {
    has_cells: bool,
    /// Raw samples that were read.
    samples: usize,
    notes: Notes,
}

/// Computes the rows of some series; those without any point are left out.
fn compute(
    series: Vec<Series>,
    kernel: &Kernel,
    args: &[f64],
    pool: &ScratchPool,
    spec: &ScanSpec,
    cx: &Context<'_>,
) -> Result<Batch, QueryError> {
    let steps = spec.timeline.count;
    let mut batch = Batch::with_rows(series.len(), steps, cx)?;
    batch.values.resize(series.len() * steps, ABSENT);
    let row = |scratch: &mut Scratch, series: &Series, out: &mut [f64]| {
        read(series, kernel.times, kernel.levels(), scratch)?;
        let mut notes = Notes::default();
        kernel.compute(&scratch.samples, &mut scratch.prepared, args, &mut notes, out);
        let has_cells = out.iter().any(|cell| !is_absent(*cell));
        Ok(Computed { has_cells, samples: scratch.samples.len(), notes })
    };
    let computed: Vec<Result<Computed, QueryError>> = match &cx.pool {
        Some(threads) if is_worth_threads(&series, steps) => {
            let rows = rows_a_task(series.len(), threads.current_num_threads());
            let tasks = batch.values.par_chunks_mut(rows * steps).zip(series.par_chunks(rows));
            let task = |(out, series): (&mut [f64], &[Series])| -> Vec<_> {
                pool.with(|scratch| {
                    series.iter().zip(out.chunks_mut(steps)).map(|(series, out)| row(scratch, series, out)).collect()
                })
            };
            threads.install(|| tasks.flat_map_iter(task).collect())
        }
        _ => pool.with(|scratch| {
            series.iter().zip(batch.values.chunks_mut(steps)).map(|(series, out)| row(scratch, series, out)).collect()
        }),
    };
    keep_rows(series, computed, spec, &mut batch, cx)?;
    Ok(batch)
}

/// Whether a batch is so much work that handing parts of it to other threads, some ten µs, costs less than it saves.
fn is_worth_threads(series: &[Series], steps: usize) -> bool {
    /// A byte of a chunk is about one sample, which takes as long as one step. Unit tests are small and want threads.
    const WORK_MIN: usize = if cfg!(test) { 1 } else { 50_000 };
    let chunks = series.iter().flat_map(|series| &series.lanes).flat_map(|lane| &lane.chunks);
    let work = series.len() * steps + chunks.map(|chunk| chunk.data.len()).sum::<usize>();
    series.len() > 1 && work >= WORK_MIN
}

/// Rows a task: few enough that no thread waits long for another, many enough to pay for the hand-over.
fn rows_a_task(rows: usize, threads: usize) -> usize {
    rows.div_ceil(threads * 4).clamp(1, 16)
}

/// Moves the rows that have points together, prints their notes, and counts.
fn keep_rows(
    series: Vec<Series>,
    computed: Vec<Result<Computed, QueryError>>,
    spec: &ScanSpec,
    batch: &mut Batch,
    cx: &Context<'_>,
) -> Result<(), QueryError> {
    let steps = batch.steps;
    let mut held = 0;
    for (i, (series, computed)) in series.into_iter().zip(computed).enumerate() {
        let Computed { has_cells, samples, notes } = computed?;
        notes.report(&series.labels, has_cells, spec, cx)?;
        held += samples;
        if has_cells {
            let kept = batch.labels.len();
            if kept < i {
                batch.values.copy_within(i * steps..(i + 1) * steps, kept * steps);
            }
            batch.labels.push(series.labels);
            batch.drop_name.push(false);
            held += steps;
        }
    }
    batch.values.truncate(batch.labels.len() * steps);
    if held > cx.max_samples { Err(super::too_many_samples()) } else { Ok(()) }
}

/// Decodes a series into the samples that `times` need.
fn read(series: &Series, times: WindowTimes, levels: Option<Levels>, scratch: &mut Scratch) -> Result<(), QueryError> {
    let (min_time, max_time) = times.needed();
    let range = TimeRange { min_time, max_time };
    let Scratch { decode, samples, prepared } = scratch;
    dedup::samples_of(series, range, 0, decode, samples).map_err(|error| failed(series, &error))?;
    if !samples.histograms.is_empty() {
        return Err(histograms_unsupported());
    }
    if let Some(levels) = levels {
        prepared.settle(samples, levels);
    }
    Ok(())
}

/// The error of a series that cannot be decoded.
fn failed(series: &Series, error: &StoreError) -> QueryError {
    use Encoding::{FloatHistogram, FloatHistogramSt, Histogram, HistogramSt};
    let mut chunks = series.lanes.iter().flat_map(|lane| &lane.chunks);
    let native = chunks.any(|c| matches!(c.encoding, Histogram | FloatHistogram | HistogramSt | FloatHistogramSt));
    if native && error.kind == masthead_store::StoreErrorKind::Unsupported {
        return histograms_unsupported();
    }
    QueryError::Execution(format!("read samples of {}: {error}", series.labels))
}

/// Evaluates the function of `spec` over the samples of one series, `labels` for annotations; `args[i]` are the values of
/// scalar i, one a step. `out` has one cell a step. The samples hold no stale markers and are of one lane.
pub(super) fn evaluate_column(
    spec: &ScanSpec,
    args: &[Vec<f64>],
    labels: &Labels,
    samples: &Samples,
    out: &mut [f64],
    cx: &Context<'_>,
) -> Result<(), QueryError> {
    let args = by_step(args, spec.timeline.count);
    let mut notes = Notes::default();
    Kernel::of(spec)?.compute(samples, &mut Prepared::default(), &args, &mut notes, out);
    notes.report(labels, out.iter().any(|cell| !is_absent(*cell)), spec, cx)
}

/// The samples of the one window of `spec`, for each series that has any.
pub(super) fn raw(
    mut input: Box<dyn Input>,
    spec: &ScanSpec,
    cx: &Context<'_>,
) -> Result<Vec<(Labels, Samples)>, QueryError> {
    let times = WindowTimes::of(spec, spec.range);
    let window = (times.start(times.end(0)), times.end(0));
    let mut scratch = Scratch::default();
    let mut held = cx.budget.reserve("samples of the result", 0)?;
    let (mut out, mut count) = (Vec::new(), 0);
    while let Some(batch) = input.next()? {
        cx.check()?;
        for series in &batch.series {
            read(series, times, Some(Levels::None), &mut scratch)?;
            let mut samples = match spec.extension {
                Some(extension) => extended::points(&scratch.samples, window, extension),
                None => scratch.samples.clone(),
            };
            samples.runs.clear();
            count += samples.len();
            if count > cx.max_samples {
                return Err(super::too_many_samples());
            }
            if !samples.is_empty() {
                held.grow(samples.len() * 24 + series.labels.size_bytes())?;
                out.push((series.labels.clone(), samples));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
