//! Kernels of `anchored` and `smoothed` selectors: no extrapolation, but a value at each end of the window.
//!
//! The windows hold what was fetched: one lookback more to the left and, if smoothed, to the right. Left end and right end
//! are those of the range. (promql/functions.go, extendedRate and pickFirstSampleIndices.)

use masthead_store::{Millis, Samples};

use crate::engine::batch::ABSENT;
use crate::engine::scan::window::{Step, Window};
use crate::error::QueryError;
use crate::promql::ast::RangeExtension;

/// Where the values at the ends of a window come from, and which samples lie between.
struct Ends {
    left: f64,
    right: f64,
    /// Indices of the samples strictly inside.
    inside: std::ops::Range<usize>,
    /// Index of the sample from which on resets count, and of that which gives the right end.
    from: usize,
    last: usize,
}

/// Value on the line from one sample to the next. A counter that is `reset` between them is taken to rise from zero.
fn interpolate(from: (Millis, f64), to: (Millis, f64), time: Millis, reset: bool) -> f64 {
    let base = if reset { 0.0 } else { from.1 };
    base + (to.1 - base) * time.wrapping_sub(from.0) as f64 / to.0.wrapping_sub(from.0) as f64
}

/// Indices of the samples that give the left and the right end of a window, of at least one sample. None where it ends before
/// the first one that counts, or begins behind the last one.
pub(super) fn ends_of<T>(
    samples: &[T],
    time: impl Fn(&T) -> Millis,
    (start, end): (Millis, Millis),
    smoothed: bool,
) -> Option<(usize, usize)> {
    let mut last = samples.len() - 1;
    let first = samples[..last].partition_point(|sample| time(sample) <= start).saturating_sub(1);
    if smoothed {
        last = samples[..last].partition_point(|sample| time(sample) < end);
    }
    (time(&samples[last]) > start).then_some((first, last))
}

impl Ends {
    /// Finds the ends of the window `(start, end]` of `timestamps` and `values`, which are not empty. `is_reset` tells whether
    /// a counter was reset before a sample. None where the window ends before the first sample that counts, or begins behind
    /// the last one.
    fn find(
        (start, end): (Millis, Millis),
        (timestamps, values): (&[Millis], &[f64]),
        smoothed: bool,
        is_reset: impl Fn(usize) -> bool,
    ) -> Option<Self> {
        let sample = |i: usize| (timestamps[i], values[i]);
        let (mut first, last) = ends_of(timestamps, |time| *time, (start, end), smoothed)?;
        let mut from = first;
        let left = match smoothed && timestamps[first] < start {
            true => {
                from = first + 1;
                interpolate(sample(first), sample(first + 1), start, is_reset(first + 1))
            }
            false => values[first],
        };
        let right = match smoothed && last > 0 && timestamps[last] > end {
            true => interpolate(sample(last - 1), sample(last), end, is_reset(last)),
            false => values[last],
        };
        if timestamps[first] <= start {
            first += 1;
        }
        let behind = if timestamps[last] >= end { last } else { last + 1 };
        Some(Self { left, right, inside: first..behind.max(first), from, last })
    }
}

pub(super) fn rate(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    match change(window, step, true) {
        Some(change) => change / step.range_seconds,
        None => ABSENT,
    }
}

pub(super) fn increase(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    change(window, step, true).unwrap_or(ABSENT)
}

pub(super) fn delta(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    change(window, step, false).unwrap_or(ABSENT)
}

fn change(window: &Window<'_>, step: &Step<'_>, counter: bool) -> Option<f64> {
    let smoothed = step.extension == Some(RangeExtension::Smoothed);
    let Window { start, end, timestamps, values, .. } = *window;
    let is_reset = |i: usize| counter && window.is_marked(i);
    let ends = Ends::find((start, end), (timestamps, values), smoothed, is_reset)?;
    // Nothing where the first sample that counts lies behind the window.
    if smoothed && timestamps[0] > end {
        return None;
    }
    let mut change = ends.right - ends.left;
    if counter {
        change += if window.lifts.is_empty() {
            risen_before_falls(&ends, window)
        } else {
            // Levelled values need not fall where a lane was reset.
            let inside = window.marks.iter().map(|mark| mark - window.base);
            inside.filter(|i| *i > ends.from && *i <= ends.last).map(|i| values[i - 1]).sum()
        };
    }
    Some(change)
}

/// What a counter had risen to before each fall from end to end (promql/functions.go, correctForCounterResets). Falls between
/// samples are marked.
fn risen_before_falls(ends: &Ends, window: &Window<'_>) -> f64 {
    let fall = |before: f64, value: f64| if value < before { before } else { 0.0 };
    let (values, inside) = (window.values, ends.inside.clone());
    if inside.is_empty() {
        return fall(ends.left, ends.right);
    }
    let marks = window.marks.iter().map(|mark| mark - window.base);
    let marked = marks.filter(|i| *i > inside.start && *i < inside.end).map(|i| values[i - 1]);
    let first = fall(ends.left, values[inside.start]);
    let last = fall(values[inside.end - 1], ends.right);
    std::iter::once(first).chain(marked).chain([last]).fold(0.0, |risen, before| risen + before)
}

/// Counts marks from the newest sample at or before the left end on.
pub(super) fn count_marks(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    let behind = window.timestamps.partition_point(|time| *time <= window.start);
    if behind == window.timestamps.len() {
        return ABSENT;
    }
    let anchor = window.base + behind.saturating_sub(1);
    window.marks.iter().filter(|mark| **mark > anchor).count() as f64
}

/// The samples of an extended range selector by itself: those strictly inside the window, and a point at either end
/// (promql/engine.go, extendFloats). Empty where there is none. Refuses histograms.
pub(in crate::engine::scan) fn points(
    samples: &Samples,
    window: (Millis, Millis),
    extension: RangeExtension,
) -> Result<Samples, QueryError> {
    let mut out = Samples::default();
    let smoothed = extension == RangeExtension::Smoothed;
    if !samples.histograms.is_empty() {
        let name = if smoothed { "smoothed" } else { "anchored" };
        return Err(QueryError::Execution(format!("{name} modifier is not supported with histograms")));
    }
    if samples.timestamps.is_empty() {
        return Ok(out);
    }
    let columns = (samples.timestamps.as_slice(), samples.values.as_slice());
    if let Some(ends) = Ends::find(window, columns, smoothed, |_| false) {
        out.push(window.0, ends.left);
        for i in ends.inside {
            out.push(samples.timestamps[i], samples.values[i]);
        }
        out.push(window.1, ends.right);
    }
    Ok(out)
}

/// An instant selector that is smoothed, at the end of the window: the sample there, else the line between its neighbours
/// within the lookback to either side, else the one before (promql/engine.go, smoothSeries).
pub(super) fn smoothed_instant(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    let time = window.end;
    let behind = window.timestamps.partition_point(|at| *at < time);
    let sample = |i: usize| (window.timestamps[i], window.values[i]);
    match (behind, window.timestamps.get(behind)) {
        (_, Some(at)) if *at == time => window.values[behind],
        (0, _) => ABSENT,
        (_, Some(_)) => interpolate(sample(behind - 1), sample(behind), time, false),
        (_, None) => window.values[behind - 1],
    }
}
