//! `rate`, `increase` and `delta` with extrapolation to the ends of the window (promql/functions.go, extrapolatedRate).

use masthead_store::Millis;

use crate::engine::batch::ABSENT;
use crate::engine::window::{Step, Window};

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

fn seconds(from: Millis, to: Millis) -> f64 {
    to.wrapping_sub(from) as f64 / 1000.0
}

/// `scale` turns the factor of extrapolation into the one the change is multiplied with: one multiplication, at the end.
#[inline(always)]
fn extrapolated(window: &Window<'_>, step: &mut Step<'_>, counter: bool, scale: impl Fn(f64) -> f64) -> f64 {
    let ((first_time, first), (last_time, last)) = (window.first(), window.last());
    let mut change = last - first;
    if counter {
        // The value before a reset is what the counter had risen by then.
        for mark in window.marks {
            change += window.values[mark - window.base - 1];
        }
        if !window.start_timestamps.is_empty() {
            step.notes.overlaps += u64::from(starts_overlap(window));
        }
    }
    let mut to_start = seconds(window.start, first_time);
    let mut to_end = seconds(last_time, window.end);
    let mut sampled = seconds(first_time, last_time);
    let intervals = window.values.len() - 1;
    let average = average_interval(window, sampled, intervals);
    let threshold = average * 1.1;
    let started = window.start_timestamps.first().copied().unwrap_or(0);
    if counter && started != 0 && started > window.start && started < first_time {
        // The counter is known to have been zero when it started.
        to_start = 0.0;
        sampled = seconds(started, last_time);
        change += first;
    } else if intervals == 0 {
        return ABSENT;
    } else {
        if to_start >= threshold {
            to_start = average / 2.0;
        }
        if counter && change > 0.0 && first >= 0.0 {
            // Counters do not go below zero.
            let to_zero = sampled * (first / change);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
    }
    if to_end >= threshold {
        to_end = average / 2.0;
    }
    let factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
    change * scale(factor)
}

/// Average distance of samples, s. Pairs of two lanes are left out: their distance is none of a lane's.
#[inline(always)]
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

/// Whether a start timestamp lies before the sample before and is not that sample's own
/// (promql/functions.go, checkStartTimeOverlap).
fn starts_overlap(window: &Window<'_>) -> bool {
    let starts = window.start_timestamps.windows(2);
    starts.zip(window.timestamps).any(|(pair, time)| pair[1] != 0 && pair[1] < *time && pair[1] != pair[0])
}
