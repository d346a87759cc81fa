//! Columns that hold native histograms, alone or among floats.
//!
//! They take another way than floats alone, since finding the windows costs nothing beside their arithmetic: every step looks
//! its window up. Where two histograms that are neighbours differ, or tell of a reset, is found once a column.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use masthead_store::histogram::{CounterResetHint, Histogram};
use masthead_store::samples::HistogramSample;
use masthead_store::{Millis, Samples};

use super::{Column, Marks, Prepared, is_start_reset};
use crate::engine::batch::{ABSENT, HistogramCell};
use crate::engine::notes::{Finding, Notes};
use crate::engine::range_functions::{Kernels, Memo};
use crate::engine::window::{Step, Window};

/// What a kernel gives at one step.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) enum Cell {
    /// Nothing.
    Absent,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<Histogram>),
}

impl From<Histogram> for Cell {
    fn from(histogram: Histogram) -> Self {
        Cell::Histogram(Arc::new(histogram))
    }
}

/// The histogram cells of a row by step, ascending.
pub(in crate::engine) type HistogramCells = Vec<(u32, Arc<Histogram>)>;

/// Computes a step whose window has histograms. The floats of the window may be none here.
pub(in crate::engine) type MixedKernel = fn(&Window<'_>, &Histograms<'_>, &mut Step<'_>) -> Cell;

/// The histograms of a window.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Histograms<'a> {
    /// At least one.
    pub(in crate::engine) samples: &'a [HistogramSample],
    /// Index of the first one in its column.
    base: usize,
    /// Where in the column two neighbours differ or tell of a reset, as the function wants it, both in the window. Ascending.
    marks: &'a [usize],
    /// Start timestamps count.
    with_start_timestamps: bool,
}

impl<'a> Histograms<'a> {
    /// Whether something happens between histogram `i` of the window and the one before it in the window.
    pub(in crate::engine) fn is_marked(&self, i: usize) -> bool {
        self.marks.binary_search(&(self.base + i)).is_ok()
    }

    /// The histograms of the window before which something happens.
    pub(in crate::engine) fn marked(&self) -> impl Iterator<Item = usize> + use<'a> {
        let base = self.base;
        self.marks.iter().map(move |mark| mark - base)
    }

    /// Start timestamp of histogram `i` of the window, ms; 0 where unknown or of no account.
    pub(in crate::engine) fn start_timestamp(&self, i: usize) -> Millis {
        if self.with_start_timestamps { self.samples[i].start_timestamp } else { 0 }
    }

    /// Whether the start timestamps say that a counter began anew before histogram `i` of the window, which is not the first.
    pub(in crate::engine) fn started_anew(&self, i: usize) -> bool {
        self.with_start_timestamps && started_anew(&self.samples[i - 1], &self.samples[i])
    }

    /// The oldest one.
    pub(in crate::engine) fn first(&self) -> &'a HistogramSample {
        &self.samples[0]
    }

    /// The newest one.
    pub(in crate::engine) fn last(&self) -> &'a HistogramSample {
        &self.samples[self.samples.len() - 1]
    }
}

/// Whether the start timestamps of two neighbours say that a counter began anew between them.
fn started_anew(before: &HistogramSample, sample: &HistogramSample) -> bool {
    is_start_reset((before.start_timestamp, before.timestamp), (sample.start_timestamp, sample.timestamp))
}

/// Takes the stale markers out.
pub(super) fn drop_stale(samples: &mut Samples) {
    samples.histograms.retain(|sample| !sample.histogram.is_stale());
}

/// Leaves count, sum and schema of each histogram. What is not known of resets is found out before the buckets go
/// (promql/histogram_stats_iterator.go).
pub(in crate::engine) fn keep_stats(samples: &mut Samples) {
    let mut before: Option<Arc<Histogram>> = None;
    for sample in &mut samples.histograms {
        let whole = Arc::clone(&sample.histogram);
        let counter_reset_hint = match (whole.counter_reset_hint, &before) {
            (CounterResetHint::Unknown, Some(before)) if !whole.is_stale() => match whole.detect_reset(before) {
                true => CounterResetHint::Reset,
                false => CounterResetHint::NotReset,
            },
            (hint, _) => hint,
        };
        let Histogram { schema, count, sum, .. } = *whole;
        let stats = Histogram { counter_reset_hint, schema, count, sum, ..Histogram::default() };
        sample.histogram = Arc::new(stats);
        if !whole.is_stale() {
            before = Some(whole);
        }
    }
}

/// The histograms of a row without what stored hints say of resets: what the samples were picked by does not give
/// neighbours, or gives some twice (promql/engine.go, evalSubquery). Neighbours that are one histogram stay one.
pub(in crate::engine) fn without_reset_hints(cells: &[HistogramCell]) -> impl Iterator<Item = (u32, Arc<Histogram>)> {
    let mut last: Option<(&Arc<Histogram>, Arc<Histogram>)> = None;
    cells.iter().map(move |(_, step, histogram)| {
        let without = match &last {
            Some((before, without)) if Arc::ptr_eq(before, histogram) => Arc::clone(without),
            _ => without_reset_hint(histogram),
        };
        last = Some((histogram, Arc::clone(&without)));
        (*step, without)
    })
}

fn without_reset_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    match histogram.counter_reset_hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
        CounterResetHint::Reset | CounterResetHint::NotReset => {
            Arc::new(Histogram { counter_reset_hint: CounterResetHint::Unknown, ..(**histogram).clone() })
        }
    }
}

/// Finds the marks of histograms that are settled.
pub(super) fn mark(marks: Marks, samples: &Samples, with_start_timestamps: bool, found: &mut Vec<usize>) {
    found.clear();
    let pairs = samples.histograms.windows(2).enumerate();
    let marked = pairs.filter(|(_, pair)| {
        let (before, here) = (&pair[0].histogram, &pair[1].histogram);
        match marks {
            Marks::None => false,
            Marks::Changes => !Arc::ptr_eq(before, here) && !here.equals(before),
            Marks::Resets | Marks::CountedResets => {
                (with_start_timestamps && started_anew(&pair[0], &pair[1])) || here.detect_reset(before)
            }
        }
    });
    found.extend(marked.map(|(i, _)| i + 1));
}

/// Computes all steps of a settled and marked column with histograms. `out` has one cell a step; those of histograms go to
/// `cells`.
pub(in crate::engine) fn slide_mixed(
    column: &mut Column<'_>,
    kernels: &Kernels,
    notes: &mut Notes,
    out: &mut [f64],
    cells: &mut HistogramCells,
) {
    let Column { times, samples, prepared, args, with_start_timestamps, .. } = column;
    let Prepared { marks, histogram_marks, lanes, buffer } = &mut **prepared;
    let starts: &[Millis] = if *with_start_timestamps { &samples.start_timestamps } else { &[] };
    let mut memo = Memo::default();
    for (i, cell) in out.iter_mut().enumerate() {
        if column.cancelled.load(Ordering::Relaxed) {
            return;
        }
        let end = times.end(i);
        let start = times.start(end);
        let reach = (start.wrapping_sub(times.before), end.wrapping_add(times.after));
        let floats = between(&samples.timestamps, |time| *time, reach);
        let histograms = between(&samples.histograms, |sample| sample.timestamp, reach);
        let window = Window {
            start,
            end,
            timestamps: &samples.timestamps[floats.clone()],
            values: &samples.values[floats.clone()],
            start_timestamps: starts.get(floats.clone()).unwrap_or_default(),
            base: floats.start,
            marks: inside(marks, &floats),
            switches: inside(&lanes.switches, &floats),
            lifts: &lanes.lifts,
        };
        let histograms = Histograms {
            samples: &samples.histograms[histograms.clone()],
            base: histograms.start,
            marks: inside(histogram_marks, &histograms),
            with_start_timestamps: *with_start_timestamps,
        };
        let mut step = Step {
            time: times.timeline.at(i),
            range_seconds: column.range_seconds,
            extension: times.extension,
            args: args.at(i),
            notes,
            memo: &mut memo,
            buffer,
        };
        *cell = match compute(kernels, &window, &histograms, &mut step) {
            Cell::Absent => ABSENT,
            Cell::Float(value) => value,
            Cell::Histogram(histogram) => {
                cells.push((i as u32, histogram));
                ABSENT
            }
        };
    }
}

/// Computes a step by the kernel for what its window holds.
fn compute(kernels: &Kernels, window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    match kernels.mixed {
        Some(kernel) if !histograms.samples.is_empty() => kernel(window, histograms, step),
        _ if window.values.is_empty() => Cell::Absent,
        _ => {
            if !histograms.samples.is_empty() {
                step.notes.find(Finding::HistogramsIgnored);
            }
            Cell::Float((kernels.floats)(window, step))
        }
    }
}

/// Which of `samples` lie behind the first time and not behind the second.
fn between<T>(samples: &[T], time: impl Fn(&T) -> Millis, (behind, until): (Millis, Millis)) -> Range<usize> {
    let end = samples.partition_point(|sample| time(sample) <= until);
    samples[..end].partition_point(|sample| time(sample) <= behind)..end
}

/// The places behind the first of a range and within it.
fn inside<'a>(places: &'a [usize], range: &Range<usize>) -> &'a [usize] {
    let end = places.partition_point(|place| *place < range.end);
    let start = places[..end].partition_point(|place| *place <= range.start);
    &places[start..end]
}
