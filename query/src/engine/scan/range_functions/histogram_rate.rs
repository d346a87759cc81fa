//! `rate`, `increase`, `delta`, `irate` and `idelta` of native histograms (promql/functions.go, histogramRate and
//! instantValue).

use masthead_store::histogram::{CounterResetHint, Histogram};

use super::combine::{add, is_gauge, subtract};
use super::neighbours;
use super::rate::{Reach, seconds};
use crate::engine::scan::notes::{Finding, Findings};
use crate::engine::scan::window::{Cell, Histograms, Step, Window};

/// Per-second rise of a counter.
pub(super) fn rate(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    let per = step.range_seconds;
    extrapolated(window, histograms, step, true, |factor| factor / per)
}

/// Rise of a counter.
pub(super) fn increase(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    extrapolated(window, histograms, step, true, |factor| factor)
}

/// Change of a gauge.
pub(super) fn delta(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    extrapolated(window, histograms, step, false, |factor| factor)
}

fn extrapolated(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    step: &mut Step<'_>,
    counter: bool,
    scale: impl Fn(f64) -> f64,
) -> Cell {
    if !window.values.is_empty() {
        step.notes.find(Finding::MixedWithFloats);
        return Cell::Absent;
    }
    let mut findings = Findings::default();
    let change = change_of(window, histograms, counter, scale, &mut findings);
    step.notes.find_all(findings);
    change.map_or(Cell::Absent, Cell::from)
}

/// The change of a window, by the factor for what lies outside of its samples.
fn change_of(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    counter: bool,
    scale: impl Fn(f64) -> f64,
    findings: &mut Findings,
) -> Option<Histogram> {
    let (first, last) = (histograms.first(), histograms.last());
    let sampled = seconds(first.timestamp, last.timestamp);
    let intervals = histograms.samples.len() - 1;
    let reach = Reach {
        window: (window.start, window.end),
        samples: (first.timestamp, last.timestamp),
        average: if intervals == 0 { 0.0 } else { sampled / intervals as f64 },
    };
    let started = Some(histograms.start_timestamp(0)).filter(|started| counter && reach.is_start(*started));
    let mut change = None;
    if intervals > 0 {
        change = Some(difference(histograms, counter, findings)?);
    }
    let (mut change, zero) = match (started, change) {
        (None, None) => return None,
        (Some(_), None) => ((*first.histogram).clone(), None),
        (Some(_), Some(mut change)) => {
            // The counter is known to have been zero when it started.
            add(&mut change, &first.histogram, findings)?;
            (change, None)
        }
        (None, Some(change)) => {
            let zero = counter.then_some((change.count, first.histogram.count));
            (change, zero)
        }
    };
    change.mul(scale(reach.factor(started, zero)));
    Some(change)
}

/// Last minus first histogram of at least two, for a counter plus what it had risen to before each reset. None with a finding
/// where they do not fit together.
fn difference(histograms: &Histograms<'_>, counter: bool, findings: &mut Findings) -> Option<Histogram> {
    let samples = histograms.samples;
    let (first, last) = (&*histograms.first().histogram, &*histograms.last().histogram);
    findings.add_if(counter && (is_gauge(first) || is_gauge(last)), Finding::NotACounter);
    // What lies before a reset need not fit to what follows.
    let begun = (counter && histograms.is_marked(1)).then(|| empty_like(&samples[1].histogram));
    let first = begun.as_ref().unwrap_or(first);
    let custom = first.has_custom_bounds();
    if last.has_custom_bounds() != custom {
        findings.add(Finding::MixedBuckets);
        return None;
    }
    let mut schema = last.schema.min(first.schema);
    if counter {
        for sample in &samples[1..samples.len() - 1] {
            findings.add_if(is_gauge(&sample.histogram), Finding::NotACounter);
            schema = schema.min(sample.histogram.schema);
            if sample.histogram.has_custom_bounds() != custom {
                return mixed_buckets(findings);
            }
        }
    }
    let mut change = last.clone();
    if schema != change.schema {
        change.reduce_to(schema);
    }
    match change.sub(first) {
        Ok(combined) => findings.add_if(combined.bounds_reconciled, Finding::BoundsInSubtraction),
        Err(_) => return mixed_buckets(findings),
    }
    if counter {
        findings.add_if(starts_overlap(histograms), Finding::StartsOverlap);
        for i in histograms.marked() {
            let before = match &begun {
                // An empty histogram is no rise, but its bounds may differ.
                Some(begun) if i == 1 => {
                    if !histograms.started_anew(1) && !samples[1].histogram.detect_reset(begun) {
                        continue;
                    }
                    begun
                }
                _ => &*samples[i - 1].histogram,
            };
            match change.add(before) {
                Ok(combined) => findings.add_if(combined.bounds_reconciled, Finding::BoundsInAddition),
                Err(_) => return mixed_buckets(findings),
            }
        }
    } else {
        findings.add_if(!is_gauge(first) || !is_gauge(last), Finding::NotAGauge);
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    Some(change)
}

/// Forgets the other findings, as upstream does.
fn mixed_buckets(findings: &mut Findings) -> Option<Histogram> {
    *findings = Findings::of(Finding::MixedBuckets);
    None
}

/// A histogram without observations, with buckets like those of another.
fn empty_like(histogram: &Histogram) -> Histogram {
    let Histogram { schema, custom_bounds, .. } = histogram;
    Histogram { schema: *schema, custom_bounds: custom_bounds.clone(), ..Histogram::default() }
}

/// Whether a start timestamp lies before the sample before and is not that sample's own
/// (promql/functions.go, checkStartTimeOverlap).
fn starts_overlap(histograms: &Histograms<'_>) -> bool {
    let starts = |i: usize| histograms.start_timestamp(i);
    (1..histograms.samples.len()).any(|i| {
        let start = starts(i);
        start != 0 && start < histograms.samples[i - 1].timestamp && start != starts(i - 1)
    })
}

/// Per-second rise of a counter between its last two samples; after a reset, since zero.
pub(super) fn irate(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    match last_two(window, histograms) {
        LastTwo::Fewer => Cell::Absent,
        LastTwo::Floats => Cell::Float(neighbours::irate(window, step)),
        LastTwo::Mixed => mixed_with_floats(step),
        LastTwo::Histograms => {
            let is_reset = histograms.is_marked(histograms.samples.len() - 1);
            let change = last_change(histograms, is_reset, step, |before, last| {
                (is_gauge(before) || is_gauge(last)).then_some(Finding::NotACounter)
            });
            change.map_or(Cell::Absent, |(mut change, seconds)| {
                change.div(seconds);
                change.into()
            })
        }
    }
}

/// Change of a gauge between its last two samples.
pub(super) fn idelta(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    match last_two(window, histograms) {
        LastTwo::Fewer => Cell::Absent,
        LastTwo::Floats => Cell::Float(neighbours::idelta(window, step)),
        LastTwo::Mixed => mixed_with_floats(step),
        LastTwo::Histograms => {
            let change = last_change(histograms, false, step, |before, last| {
                (!is_gauge(before) || !is_gauge(last)).then_some(Finding::NotAGauge)
            });
            change.map_or(Cell::Absent, |(change, _)| change.into())
        }
    }
}

fn mixed_with_floats(step: &mut Step<'_>) -> Cell {
    step.notes.find(Finding::MixedWithFloats);
    Cell::Absent
}

/// What the last two samples of a window are.
enum LastTwo {
    Fewer,
    Floats,
    Histograms,
    Mixed,
}

fn last_two(window: &Window<'_>, histograms: &Histograms<'_>) -> LastTwo {
    let newest = histograms.last().timestamp;
    let behind = window.timestamps.len() - window.timestamps.partition_point(|time| *time <= newest);
    if behind >= 2 {
        return LastTwo::Floats;
    }
    match (window.timestamps, histograms.samples) {
        ([], [_]) => LastTwo::Fewer,
        ([], _) => LastTwo::Histograms,
        // At the same time: there is nothing to divide by.
        ([.., float], _) if *float == newest => LastTwo::Fewer,
        (_, [.., before, _]) if window.last().0 < before.timestamp => LastTwo::Histograms,
        _ => LastTwo::Mixed,
    }
}

/// Change between the last two histograms, and the time between them, s.
fn last_change(
    histograms: &Histograms<'_>,
    is_reset: bool,
    step: &mut Step<'_>,
    judge: impl Fn(&Histogram, &Histogram) -> Option<Finding>,
) -> Option<(Histogram, f64)> {
    let [.., before, last] = histograms.samples else { return None };
    let mut findings = judge(&before.histogram, &last.histogram).map(Findings::of).unwrap_or_default();
    let mut change = (*last.histogram).clone();
    let fits = is_reset || subtract(&mut change, &before.histogram, &mut findings).is_some();
    step.notes.find_all(findings);
    if !fits {
        return None;
    }
    change.counter_reset_hint = CounterResetHint::Gauge;
    change.compact(0);
    Some((change, seconds(before.timestamp, last.timestamp)))
}
