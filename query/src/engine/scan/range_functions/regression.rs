//! `deriv`, `predict_linear`, `double_exponential_smoothing`: lines through the samples of a window.

use masthead_store::Millis;

use crate::engine::batch::ABSENT;
use crate::engine::kahan;
use crate::engine::scan::notes::Finding;
use crate::engine::scan::window::{Cell, Histograms, Step, Window};
use crate::go_float::fixed;

/// Slope per second.
pub(super) fn deriv(window: &Window<'_>, _: &mut Step<'_>) -> f64 {
    if window.values.len() < 2 {
        return ABSENT;
    }
    // Times near those of the samples keep the sums exact.
    line(window, window.timestamps[0]).0
}

/// Value so many seconds from the step on as the scalar argument says.
pub(super) fn predict_linear(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    if window.values.len() < 2 {
        return ABSENT;
    }
    let (slope, intercept) = line(window, step.time);
    let value = slope * step.arg(0) + intercept;
    // What the last lane would show.
    let lift = window.lift(window.values.len() - 1);
    if lift == 0.0 { value } else { value - lift }
}

/// Slope and value at `time` of the line of least squares (promql/functions.go, linearRegression).
fn line(window: &Window<'_>, time: Millis) -> (f64, f64) {
    let initial = window.values[0];
    let (mut n, mut constant) = (0.0, true);
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [(0.0, 0.0); 4];
    for (at, y) in window.timestamps.iter().zip(window.values) {
        constant &= n == 0.0 || *y == initial;
        n += 1.0;
        let x = at.wrapping_sub(time) as f64 / 1e3;
        kahan::add(x, &mut x_sum.0, &mut x_sum.1);
        kahan::add(*y, &mut y_sum.0, &mut y_sum.1);
        kahan::add(x * y, &mut xy_sum.0, &mut xy_sum.1);
        kahan::add(x * x, &mut xx_sum.0, &mut xx_sum.1);
    }
    if constant {
        return if initial.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, initial) };
    }
    let [x_sum, y_sum, xy_sum, xx_sum] = [x_sum, y_sum, xy_sum, xx_sum].map(|(sum, rest)| sum + rest);
    let covariance = xy_sum - x_sum * y_sum / n;
    let variance = xx_sum - x_sum * x_sum / n;
    let slope = covariance / variance;
    (slope, y_sum / n - slope * x_sum / n)
}

/// Holt's linear method; the scalar arguments are the smoothing factor and the trend factor
/// (promql/functions.go, funcDoubleExponentialSmoothing).
pub(super) fn double_exponential_smoothing(window: &Window<'_>, step: &mut Step<'_>) -> f64 {
    let Some((smoothing, trend)) = factors(step) else { return ABSENT };
    let [first, second, ..] = *window.values else { return ABSENT };
    let (mut before, mut level, mut slope) = (0.0, first, second - first);
    for (i, value) in window.values.iter().enumerate().skip(1) {
        let scaled = smoothing * value;
        if i > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let rest = (1.0 - smoothing) * (level + slope);
        (before, level) = (level, scaled + rest);
    }
    level
}

/// The same where histograms come along, which do not count. Wrong factors are an error even if there is nothing else.
pub(super) fn mixed_smoothing(window: &Window<'_>, _: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    if factors(step).is_none() || window.values.is_empty() {
        return Cell::Absent;
    }
    step.notes.find(Finding::HistogramsIgnored);
    Cell::Float(double_exponential_smoothing(window, step))
}

/// The scalar arguments. None, and the query fails, where one is out of range.
fn factors(step: &mut Step<'_>) -> Option<(f64, f64)> {
    let (smoothing, trend) = (step.arg(0), step.arg(1));
    for (name, factor, symbol) in [("smoothing", smoothing, "sf"), ("trend", trend, "tf")] {
        if factor <= 0.0 || factor >= 1.0 {
            let got = fixed(factor);
            step.notes.fail(|| format!("invalid {name} factor. Expected: 0 < {symbol} < 1, got: {got}"));
            return None;
        }
    }
    Some((smoothing, trend))
}
