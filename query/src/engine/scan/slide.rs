//! The window slides over a column, and a kernel computes each step.
//!
//! Columns with histograms take another way than floats alone, since finding the windows costs nothing beside their
//! arithmetic: every step looks its window up.

use std::ops::Range;
use std::sync::atomic::Ordering;

use masthead_store::Millis;

use super::column::{Column, Prepared};
use super::notes::{Finding, Notes};
use super::window::{Cell, HistogramCells, Histograms, Memo, Step, Window};
use crate::engine::batch::ABSENT;

/// Computes a step whose window has histograms. The floats of the window may be none here.
pub(super) type MixedKernel = fn(&Window<'_>, &Histograms<'_>, &mut Step<'_>) -> Cell;

/// Computes all steps of a column.
pub(super) type Run = fn(&mut Column<'_>, &mut Notes, &mut [f64]);

/// A function, as it is computed for what a column holds.
pub(super) struct Kernels {
    /// Slides over a column of floats alone.
    pub(super) run: Run,
    /// Computes a window of floats, in a column that has histograms too.
    pub(super) floats: fn(&Window<'_>, &mut Step<'_>) -> f64,
    /// Computes a window that has histograms. None: its floats count alone, and an info tells so.
    pub(super) mixed: Option<MixedKernel>,
}

/// Computes all steps of a settled and marked column; `out` has one cell a step.
#[inline]
pub(super) fn slide(
    column: &mut Column<'_>,
    notes: &mut Notes,
    out: &mut [f64],
    kernel: impl Fn(&Window<'_>, &mut Step<'_>) -> f64,
) {
    let Prepared { marks, lanes, .. } = &column.prepared;
    let starts = column.with_start_timestamps && !column.samples.start_timestamps.is_empty();
    // Most columns have nothing but samples; the loop for those knows it when it is compiled.
    if marks.is_empty() && lanes.switches.is_empty() && !starts {
        slide_over::<false>(column, notes, out, kernel);
    } else {
        slide_over::<true>(column, notes, out, kernel);
    }
}

/// `MARKED`: there may be marks, switches or start timestamps.
#[inline(always)]
fn slide_over<const MARKED: bool>(
    column: &mut Column<'_>,
    notes: &mut Notes,
    out: &mut [f64],
    kernel: impl Fn(&Window<'_>, &mut Step<'_>) -> f64,
) {
    let Column { times, samples, prepared, args, .. } = column;
    let Prepared { marks, lanes, buffer, .. } = &mut **prepared;
    let (timestamps, values) = (samples.timestamps.as_slice(), samples.values.as_slice());
    let start_timestamps: &[Millis] =
        if MARKED && column.with_start_timestamps { &samples.start_timestamps } else { &[] };
    let mut memo = Memo::default();
    let (mut first, mut last) = (0, 0);
    let (mut marked, mut switched) = (Places::default(), Places::default());
    let pace = steps_between_looks(timestamps.len());
    for (chunk, cells) in out.chunks_mut(pace).enumerate() {
        if column.cancelled.load(Ordering::Relaxed) {
            return;
        }
        for (step, cell) in (chunk * pace..).zip(cells) {
            let end = times.end(step);
            let start = times.start(end);
            if times.wraps {
                // Times that wrapped around do not ascend: begin again.
                (first, last, marked, switched) = Default::default();
            }
            while last < timestamps.len() && timestamps[last] <= end.wrapping_add(times.after) {
                last += 1;
            }
            while first < last && timestamps[first] <= start.wrapping_sub(times.before) {
                first += 1;
            }
            if first == last {
                *cell = ABSENT;
                continue;
            }
            let mut window = Window {
                start,
                end,
                timestamps: &timestamps[first..last],
                values: &values[first..last],
                start_timestamps: &[],
                base: first,
                marks: &[],
                switches: &[],
                lifts: &[],
            };
            if MARKED {
                window.start_timestamps = start_timestamps.get(first..last).unwrap_or_default();
                window.marks = marked.inside(marks, first, last);
                window.switches = switched.inside(&lanes.switches, first, last);
                window.lifts = &lanes.lifts;
            }
            *cell = kernel(
                &window,
                &mut Step {
                    time: times.timeline.at(step),
                    range_seconds: column.range_seconds,
                    extension: times.extension,
                    args: args.at(step),
                    notes,
                    memo: &mut memo,
                    buffer,
                },
            );
        }
    }
}

/// Steps from one look at the cancel flag to the next: as many as visit a few million samples of a column of `samples`.
fn steps_between_looks(samples: usize) -> usize {
    (4 << 20) / samples.clamp(1, 4 << 20)
}

/// The part of ascending places that lies within a window.
#[derive(Default)]
struct Places {
    first: usize,
    last: usize,
}

impl Places {
    /// The places behind `first` and before `last`; both only grow from call to call.
    #[inline]
    fn inside<'a>(&mut self, places: &'a [usize], first: usize, last: usize) -> &'a [usize] {
        while self.last < places.len() && places[self.last] < last {
            self.last += 1;
        }
        while self.first < self.last && places[self.first] <= first {
            self.first += 1;
        }
        &places[self.first..self.last]
    }
}

/// Computes all steps of a settled and marked column with histograms. `out` has one cell a step; those of histograms go to
/// `cells`.
pub(super) fn slide_mixed(
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
        *cell = compute(kernels, &window, &histograms, &mut step).write(i, cells);
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
