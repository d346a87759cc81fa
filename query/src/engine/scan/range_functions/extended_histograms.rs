//! Native histograms under `anchored` and `smoothed` (promql/functions.go, extendedHistogramRate; promql/engine.go,
//! smoothSeries).

use std::sync::Arc;

use masthead_store::Millis;
use masthead_store::histogram::{CounterResetHint, Histogram};
use masthead_store::samples::HistogramSample;

use super::combine::{add, is_gauge, subtract};
use super::extended::ends_of;
use super::mixed::count_marks_from;
use crate::engine::scan::notes::{Finding, Findings};
use crate::engine::scan::window::{Cell, Histograms, Step, Window};
use crate::promql::ast::RangeExtension;

pub(super) fn rate(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    let per = step.range_seconds;
    change(window, histograms, step, true, |change| change.div(per))
}

pub(super) fn increase(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    change(window, histograms, step, true, |_| {})
}

pub(super) fn delta(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    change(window, histograms, step, false, |_| {})
}

fn change(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    step: &mut Step<'_>,
    counter: bool,
    scale: impl Fn(&mut Histogram),
) -> Cell {
    if !window.values.is_empty() {
        step.notes.find(Finding::MixedWithFloats);
        return Cell::Absent;
    }
    let smoothed = step.extension == Some(RangeExtension::Smoothed);
    let Some(ends) = Ends::find(histograms.samples, (window.start, window.end), smoothed) else { return Cell::Absent };
    let mut findings = Findings::default();
    let change = ends.change(histograms, counter, &mut findings);
    step.notes.find_all(findings);
    change.map_or(Cell::Absent, |mut change| {
        scale(&mut change);
        change.counter_reset_hint = CounterResetHint::Gauge;
        change.compact(0);
        change.into()
    })
}

/// Which samples give the ends of a window.
struct Ends {
    start: Millis,
    end: Millis,
    /// Index of the sample that gives the left end, with the one behind it where the value is interpolated.
    first: usize,
    is_left_between: bool,
    /// Index of the sample that gives the right end, with the one before it where the value is interpolated.
    last: usize,
    is_right_between: bool,
}

impl Ends {
    /// None where the window ends before the first sample that counts, or begins behind the last one.
    fn find(samples: &[HistogramSample], (start, end): (Millis, Millis), smoothed: bool) -> Option<Self> {
        let time = |i: usize| samples[i].timestamp;
        let (first, last) = ends_of(samples, |sample| sample.timestamp, (start, end), smoothed)?;
        if last < first || (smoothed && time(first) > end) {
            return None;
        }
        let is_left_between = smoothed && time(first) < start;
        let is_right_between = smoothed && last > 0 && time(last) > end;
        Some(Self { start, end, first, is_left_between, last, is_right_between })
    }

    /// Right minus left end, for a counter plus what it had risen to before each reset. None where the histograms do not fit
    /// together.
    fn change(&self, histograms: &Histograms<'_>, counter: bool, findings: &mut Findings) -> Option<Histogram> {
        let Self { first, last, .. } = *self;
        let samples = histograms.samples;
        let custom = samples[first].histogram.has_custom_bounds();
        for sample in &samples[first..=last] {
            if sample.histogram.has_custom_bounds() != custom {
                findings.add(Finding::MixedBuckets);
                return None;
            }
            findings.add_if(counter && is_gauge(&sample.histogram), Finding::NotACounter);
        }
        let is_reset = |i: usize| counter && histograms.is_marked(i);
        let left = match self.is_left_between {
            true => interpolate((&samples[first], &samples[first + 1]), self.start, is_reset(first + 1), findings)?,
            false => (*samples[first].histogram).clone(),
        };
        let right = match self.is_right_between {
            true => interpolate((&samples[last - 1], &samples[last]), self.end, is_reset(last), findings)?,
            false => (*samples[last].histogram).clone(),
        };
        findings.add_if(!counter && (!is_gauge(&left) || !is_gauge(&right)), Finding::NotAGauge);
        let mut change = right.clone();
        subtract(&mut change, &left, findings)?;
        if counter && let Some(risen) = self.risen_before_resets(histograms, &left, &right, findings)? {
            add(&mut change, &risen, findings)?;
        }
        Some(change)
    }

    /// What a counter had risen to before each reset from end to end, if there was any
    /// (promql/functions.go, correctForCounterResetsHistogram).
    fn risen_before_resets(
        &self,
        histograms: &Histograms<'_>,
        left: &Histogram,
        right: &Histogram,
        findings: &mut Findings,
    ) -> Option<Option<Histogram>> {
        let samples = histograms.samples;
        let (mut next, mut before) = (self.first + 1, left);
        if self.is_left_between && histograms.is_marked(next) {
            // The left end has begun anew already.
            before = &samples[next].histogram;
            next += 1;
        }
        if next > self.last {
            return Some(None);
        }
        let mut risen: Option<Histogram> = None;
        // What lies between samples was compared with none of them yet.
        let is_left = self.is_left_between && next == self.first + 1;
        for (i, sample) in samples.iter().enumerate().take(self.last + 1).skip(next) {
            // The last sample gives the right end, and its hint too.
            let histogram = if i == self.last { right } else { &sample.histogram };
            let is_between = (is_left && i == next) || (self.is_right_between && i == self.last);
            let is_reset = if is_between { histogram.detect_reset(before) } else { histograms.is_marked(i) };
            if is_reset {
                match &mut risen {
                    Some(risen) => add(risen, before, findings)?,
                    none => *none = Some(before.clone()),
                }
            }
            before = histogram;
        }
        Some(risen)
    }
}

/// What lies between two samples at `time`, bucket by bucket. A counter that is reset between them is taken to rise from
/// zero.
fn interpolate(
    (before, after): (&HistogramSample, &HistogramSample),
    time: Millis,
    is_reset: bool,
    findings: &mut Findings,
) -> Option<Histogram> {
    if time == before.timestamp {
        return Some((*before.histogram).clone());
    }
    let mut between = (*after.histogram).clone();
    if time == after.timestamp {
        return Some(between);
    }
    let span = |from: Millis, to: Millis| to.wrapping_sub(from) as f64;
    let fraction = span(before.timestamp, time) / span(before.timestamp, after.timestamp);
    if is_reset {
        between.mul(fraction);
        return Some(between);
    }
    subtract(&mut between, &before.histogram, findings)?;
    between.mul(fraction);
    add(&mut between, &before.histogram, findings)?;
    Some(between)
}

/// Counts marks from the newest sample at or before the left end on; of either kind, but only one
/// (promql/functions.go, pickFirstSampleIndices).
pub(super) fn count_marks(window: &Window<'_>, histograms: &Histograms<'_>, _: &mut Step<'_>) -> Cell {
    let (times, samples) = (window.timestamps, histograms.samples);
    let float = times.partition_point(|time| *time <= window.start);
    let histogram = samples.partition_point(|sample| sample.timestamp <= window.start);
    if float == times.len() && histogram == samples.len() {
        return Cell::Absent;
    }
    let from = match (float.checked_sub(1), histogram.checked_sub(1)) {
        (None, None) => (0, 0),
        (Some(anchor), other) if other.is_none_or(|other| times[anchor] >= samples[other].timestamp) => {
            (anchor, histogram)
        }
        (_, Some(anchor)) => (float, anchor),
        (Some(_), None) => (float, histogram),
    };
    Cell::Float(count_marks_from(window, histograms, from))
}

/// An instant selector that is smoothed: the histogram there, else what lies between its neighbours, else the one before.
pub(super) fn smoothed_instant(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    if !window.values.is_empty() {
        step.notes.find(Finding::MixedWithFloats);
        return Cell::Absent;
    }
    let samples = histograms.samples;
    let behind = samples.partition_point(|sample| sample.timestamp < window.end);
    match (behind.checked_sub(1), samples.get(behind)) {
        (_, Some(sample)) if sample.timestamp == window.end => Cell::Histogram(Arc::clone(&sample.histogram)),
        (None, _) => Cell::Absent,
        (Some(before), None) => {
            // A hint is about the sample before, not about the value.
            let histogram = (*samples[before].histogram).clone();
            Histogram { counter_reset_hint: CounterResetHint::Unknown, ..histogram }.into()
        }
        (Some(before), Some(after)) => {
            let before = &samples[before];
            let mut findings = Findings::default();
            let (earlier, later) = (&*before.histogram, &*after.histogram);
            let between = if earlier.has_custom_bounds() == later.has_custom_bounds() {
                let counter = !is_gauge(earlier) || !is_gauge(later);
                let is_reset = counter && later.detect_reset(earlier);
                interpolate((before, after), window.end, is_reset, &mut findings)
            } else {
                findings.add(Finding::MixedBuckets);
                None
            };
            step.notes.find_all(findings);
            between.map_or(Cell::Absent, Cell::from)
        }
    }
}
