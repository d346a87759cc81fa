//! Functions that take histograms and floats alike: what counts is that there is a sample, when, and whether it differs from
//! the one before.

use std::sync::Arc;

use crate::engine::scan::window::{Cell, Histograms, Step, Window};

pub(super) fn count(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    Cell::Float((window.values.len() + histograms.samples.len()) as f64)
}

pub(super) fn present(_: &Window<'_>, _: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    Cell::Float(1.0)
}

pub(super) fn first(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    let first = histograms.first();
    match window.timestamps.first() {
        Some(time) if *time < first.timestamp => Cell::Float(window.values[0]),
        _ => Cell::Histogram(Arc::clone(&first.histogram)),
    }
}

pub(super) fn last(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    let last = histograms.last();
    match window.values.last() {
        Some(value) if window.last().0 > last.timestamp => Cell::Float(*value),
        _ => Cell::Histogram(Arc::clone(&last.histogram)),
    }
}

pub(super) fn ts_of_first(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    let first = histograms.first().timestamp;
    Cell::Float(window.timestamps.first().map_or(first, |time| first.min(*time)) as f64 / 1000.0)
}

/// Without floats upstream takes 0 for the last one's time.
pub(super) fn ts_of_last(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    let float = window.timestamps.last().copied().unwrap_or(0);
    Cell::Float(float.max(histograms.last().timestamp) as f64 / 1000.0)
}

/// How many changes or resets there are.
pub(super) fn count_marks(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    Cell::Float(count_marks_from(window, histograms, (0, 0)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Histogram,
}

/// Counts marks between samples that are neighbours in time, from a float and a histogram on; between samples of two kinds
/// there always is one (promql/functions.go, funcChanges and funcResets).
pub(super) fn count_marks_from(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    (mut float, mut histogram): (usize, usize),
) -> f64 {
    let mut count = 0;
    let mut before = None;
    loop {
        let (float_time, sample) = (window.timestamps.get(float), histograms.samples.get(histogram));
        let kind = match (float_time, sample) {
            (None, None) => return f64::from(count),
            (Some(time), sample) if sample.is_none_or(|sample| *time <= sample.timestamp) => Kind::Float,
            _ => Kind::Histogram,
        };
        let is_marked = match before {
            None => false,
            Some(before) if before != kind => true,
            Some(Kind::Float) => window.is_marked(float),
            Some(Kind::Histogram) => histograms.is_marked(histogram),
        };
        count += u32::from(is_marked);
        before = Some(kind);
        match kind {
            Kind::Float => float += 1,
            Kind::Histogram => histogram += 1,
        }
    }
}
