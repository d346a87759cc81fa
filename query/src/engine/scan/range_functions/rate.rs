//! `rate`, `increase` and `delta` with extrapolation to the ends of the window (promql/functions.go, extrapolatedRate).

use masthead_store::Millis;

use crate::engine::batch::ABSENT;
use crate::engine::scan::window::{Memo, Shape, Step, Window};

/// Per-second rise of a counter.
#[inline]
pub(super) fn rate(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    let per = step.range_seconds;
    extrapolated(window, step, true, |factor| factor / per)
}

/// Rise of a counter.
#[inline]
pub(super) fn increase(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    extrapolated(window, step, true, |factor| factor)
}

/// Change of a gauge.
#[inline]
pub(super) fn delta(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    extrapolated(window, step, false, |factor| factor)
}

/// The change of a window, by a factor for what lies outside of its samples. `scale` turns the factor of extrapolation into
/// the one the change is multiplied with: one multiplication, at the end.
#[inline(always)]
fn extrapolated(window: &Window<'_>, step: &mut Step<'_>, counter: bool, scale: impl Fn(f64) -> f64) -> f64 {
    if !window.start_timestamps.is_empty() || !window.switches.is_empty() {
        return extrapolated_slowly(window, step, counter, scale);
    }
    let ((first_time, first), (last_time, last)) = (window.first(), window.last());
    let change = rise(window, last - first, counter);
    let shape = Shape {
        to_start: first_time.wrapping_sub(window.start),
        to_end: window.end.wrapping_sub(last_time),
        sampled: last_time.wrapping_sub(first_time),
        intervals: window.values.len() - 1,
    };
    if shape.intervals == 0 {
        return ABSENT;
    }
    if step.memo.shape != shape {
        *step.memo = memo(shape, &scale);
    }
    let memo = &step.memo;
    if counter && change > 0.0 {
        // Counters do not go below zero; that is the zero of what the lane shows. The products tell nearly always that this is
        // not at stake, so that there is nothing to divide; where they are close, or too small to be exact, the quotient
        // decides.
        let first = if window.lifts.is_empty() { first } else { first - window.lift(0) };
        let far = first * memo.sampled > memo.to_start * change * 1.000_001 && change > 1e-280;
        if first >= 0.0 && !far {
            let to_zero = memo.sampled * (first / change);
            if to_zero < memo.to_start {
                return change * scale((memo.sampled + to_zero + memo.to_end) / memo.sampled);
            }
        }
    }
    change * memo.factor
}

/// What follows from `shape`. `scale` turns the factor of extrapolation into the one the change is multiplied with.
fn memo(shape: Shape, scale: impl Fn(f64) -> f64) -> Memo {
    let [to_start, to_end, sampled] = [shape.to_start, shape.to_end, shape.sampled].map(|ms| ms as f64 / 1000.0);
    let average = sampled / shape.intervals as f64;
    let limited = |distance: f64| if distance >= average * 1.1 { average / 2.0 } else { distance };
    let (to_start, to_end) = (limited(to_start), limited(to_end));
    Memo { shape, to_start, to_end, sampled, factor: scale((sampled + to_start + to_end) / sampled) }
}

/// Adds to the difference of a counter's ends what it had risen by before each reset.
#[inline(always)]
fn rise(window: &Window<'_>, mut change: f64, counter: bool) -> f64 {
    if counter {
        for mark in window.marks {
            change += window.values[mark - window.base - 1];
        }
    }
    change
}

pub(super) fn seconds(from: Millis, to: Millis) -> f64 {
    to.wrapping_sub(from) as f64 / 1000.0
}

/// Where the samples of a window lie.
pub(super) struct Reach {
    /// Ends of the window, ms.
    pub(super) window: (Millis, Millis),
    /// Times of the first and the last sample, ms.
    pub(super) samples: (Millis, Millis),
    /// Average distance of samples, s; 0 for a single one.
    pub(super) average: f64,
}

impl Reach {
    /// Whether a counter that started then is known to have been zero within the window.
    pub(super) fn is_start(&self, started: Millis) -> bool {
        started != 0 && started > self.window.0 && started < self.samples.0
    }

    /// By what the change between the samples is multiplied. `started`: when the counter is known to have been zero. `zero`:
    /// change and first value of a counter of which that is not known.
    pub(super) fn factor(&self, started: Option<Millis>, zero: Option<(f64, f64)>) -> f64 {
        let threshold = self.average * 1.1;
        let limited = |distance: f64| if distance >= threshold { self.average / 2.0 } else { distance };
        let sampled = seconds(started.unwrap_or(self.samples.0), self.samples.1);
        let mut to_start = match started {
            Some(_) => 0.0,
            None => limited(seconds(self.window.0, self.samples.0)),
        };
        if let Some((change, first)) = zero
            && change > 0.0
            && first >= 0.0
        {
            // Counters do not go below zero.
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        let to_end = limited(seconds(self.samples.1, self.window.1));
        if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled }
    }
}

/// [`extrapolated`] where start timestamps are known or the lane changes.
#[cold]
fn extrapolated_slowly(window: &Window<'_>, step: &mut Step<'_>, counter: bool, scale: impl Fn(f64) -> f64) -> f64 {
    let ((first_time, first), (last_time, last)) = (window.first(), window.last());
    let mut change = rise(window, last - first, counter);
    // The zero point is that of what the lane shows.
    let first = first - window.lift(0);
    if counter && !window.start_timestamps.is_empty() {
        step.notes.overlaps += u64::from(starts_overlap(window));
    }
    let intervals = window.values.len() - 1;
    let reach = Reach {
        window: (window.start, window.end),
        samples: (first_time, last_time),
        average: average_interval(window, seconds(first_time, last_time), intervals),
    };
    let started = window.start_timestamps.first().copied().filter(|started| counter && reach.is_start(*started));
    let zero = (counter && started.is_none()).then_some((change, first));
    match started {
        // The counter is known to have been zero when it started.
        Some(_) => change += first,
        None if intervals == 0 => return ABSENT,
        None => {}
    }
    change * scale(reach.factor(started, zero))
}

/// Average distance of samples, s. Pairs of two lanes are left out: their distance is none of a lane's.
fn average_interval(window: &Window<'_>, sampled: f64, intervals: usize) -> f64 {
    if intervals == 0 {
        return 0.0;
    }
    let within = intervals - window.switches.len();
    if window.switches.is_empty() || within == 0 {
        return sampled / intervals as f64;
    }
    let gap = |switch: &usize| {
        let i = switch - window.base;
        seconds(window.timestamps[i - 1], window.timestamps[i])
    };
    (sampled - window.switches.iter().map(gap).sum::<f64>()) / within as f64
}

/// Whether a start timestamp lies before the sample before, of the same lane, and is not that sample's own
/// (promql/functions.go, checkStartTimeOverlap).
fn starts_overlap(window: &Window<'_>) -> bool {
    let starts = window.start_timestamps.windows(2).zip(window.timestamps).enumerate();
    let mut overlaps = starts.filter(|(_, (pair, time))| pair[1] != 0 && pair[1] < **time && pair[1] != pair[0]);
    overlaps.any(|(i, _)| window.switches.binary_search(&(window.base + i + 1)).is_err())
}
