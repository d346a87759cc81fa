//! `avg_over_time` and its kin: functions of the values of a window, whatever their neighbours.

use crate::engine::scan::window::{Step, Window};
use crate::engine::{kahan, quantile};

/// Mean: directly as long as the sum is finite, then incrementally (promql/functions.go, funcAvgOverTime).
#[inline]
pub(super) fn avg(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    let (mut sum, mut compensation) = (window.values[0], 0.0);
    for (i, value) in window.values.iter().enumerate().skip(1) {
        let (sum_before, compensation_before) = (sum, compensation);
        kahan::add(*value, &mut sum, &mut compensation);
        if sum.is_infinite() {
            return incremental_avg(window.values, i, sum_before, compensation_before);
        }
    }
    let count = window.values.len() as f64;
    sum / count + compensation / count
}

/// Goes on from the value at `from`, when the sum of those before it is `sum + compensation`.
#[cold]
fn incremental_avg(values: &[f64], from: usize, sum: f64, compensation: f64) -> f64 {
    let (mut mean, mut compensation) = (sum / from as f64, compensation / from as f64);
    for (i, value) in values.iter().enumerate().skip(from) {
        let count = (i + 1) as f64;
        let share = (count - 1.0) / count;
        mean *= share;
        compensation *= share;
        kahan::add(value / count, &mut mean, &mut compensation);
    }
    mean + compensation
}

#[inline]
pub(super) fn sum(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    let (mut sum, mut compensation) = (0.0, 0.0);
    for value in window.values {
        kahan::add(*value, &mut sum, &mut compensation);
    }
    if sum.is_infinite() { sum } else { sum + compensation }
}

#[inline]
pub(super) fn count(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.values.len() as f64
}

#[inline]
pub(super) fn present(_: &Window<'_>, _: &mut Step<'_>) -> f64 {
    1.0
}

#[inline]
pub(super) fn first(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.first().1
}

#[inline]
pub(super) fn last(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.last().1
}

/// NaN counts only where there is nothing else.
#[inline]
pub(super) fn max(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.values[1..].iter().fold(window.values[0], |best, v| if *v > best || best.is_nan() { *v } else { best })
}

/// NaN counts only where there is nothing else.
#[inline]
pub(super) fn min(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.values[1..].iter().fold(window.values[0], |best, v| if *v < best || best.is_nan() { *v } else { best })
}

pub(super) fn stddev(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    variance(window.values).sqrt()
}

pub(super) fn stdvar(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    variance(window.values)
}

/// Population variance by Welford, with Kahan sums (promql/functions.go, varianceOverTime).
fn variance(values: &[f64]) -> f64 {
    let (mut count, mut mean, mut mean_rest, mut squares, mut squares_rest) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let delta = value - (mean + mean_rest);
        kahan::add(delta / count, &mut mean, &mut mean_rest);
        kahan::add(delta * (value - (mean + mean_rest)), &mut squares, &mut squares_rest);
    }
    (squares + squares_rest) / count
}

/// φ-quantile, φ being the scalar argument.
pub(super) fn quantile(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    let q = step.arg(0);
    if q.is_nan() || !(0.0..=1.0).contains(&q) {
        step.notes.bad_quantile(q);
    }
    step.buffer.clear();
    step.buffer.extend_from_slice(window.values);
    quantile::quantile(q, step.buffer)
}

/// Median of the distances from the median.
pub(super) fn mad(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    if window.values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    step.buffer.clear();
    step.buffer.extend_from_slice(window.values);
    let median = quantile::quantile(0.5, step.buffer);
    step.buffer.iter_mut().for_each(|value| *value = (*value - median).abs());
    quantile::quantile(0.5, step.buffer)
}

pub(super) fn ts_of_first(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.first().0 as f64 / 1000.0
}

/// Upstream takes the later of the last float and the last histogram, and 0 for the one that is not there; so no time before
/// 1970 comes out (promql/functions.go, funcTsOfLastOverTime).
pub(super) fn ts_of_last(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    window.last().0.max(0) as f64 / 1000.0
}

/// Of equal ones the last counts.
pub(super) fn ts_of_max(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    ts_of(window, |value, best| value >= best)
}

/// Of equal ones the last counts.
pub(super) fn ts_of_min(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    ts_of(window, |value, best| value <= best)
}

fn ts_of(window: &Window<'_>, is_better: impl Fn(f64, f64) -> bool) -> f64 {
    let (mut time, mut best) = window.first();
    for (at, value) in window.timestamps.iter().zip(window.values) {
        if is_better(*value, best) || best.is_nan() {
            (time, best) = (*at, *value);
        }
    }
    time as f64 / 1000.0
}
