//! Functions of a float and scalars, by name: what `abs(v)` and its kin do with each cell.

use std::f64::consts::PI;

use masthead_store::histogram::Histogram;
use masthead_store::kahan;

use super::batch::ABSENT;
use crate::go_math::{self, go_max, go_min};

/// A function of a cell; scalars of the step come beside it. Absent cells are not asked for, and it may answer [`ABSENT`].
pub(super) type Kernel = fn(f64, &[f64]) -> f64;

/// A row of the table.
pub(super) struct InstantFunction {
    /// Name in PromQL.
    pub(super) name: &'static str,
    /// What it does.
    pub(super) kernel: Kernel,
}

/// All functions, by name.
pub(super) static INSTANT_FUNCTIONS: &[InstantFunction] = &[
    InstantFunction { name: "abs", kernel: |v, _| v.abs() },
    InstantFunction { name: "acos", kernel: |v, _| go_math::acos(v) },
    InstantFunction { name: "acosh", kernel: |v, _| go_math::acosh(v) },
    InstantFunction { name: "asin", kernel: |v, _| go_math::asin(v) },
    InstantFunction { name: "asinh", kernel: |v, _| go_math::asinh(v) },
    InstantFunction { name: "atan", kernel: |v, _| go_math::atan(v) },
    InstantFunction { name: "atanh", kernel: |v, _| go_math::atanh(v) },
    InstantFunction { name: "ceil", kernel: |v, _| v.ceil() },
    InstantFunction { name: "clamp", kernel: |v, args| clamp(v, scalar(args, 0), scalar(args, 1)) },
    InstantFunction { name: "clamp_max", kernel: |v, args| clamp(v, f64::NEG_INFINITY, scalar(args, 0)) },
    InstantFunction { name: "clamp_min", kernel: |v, args| clamp(v, scalar(args, 0), f64::INFINITY) },
    InstantFunction { name: "cos", kernel: |v, _| go_math::cos(v) },
    InstantFunction { name: "cosh", kernel: |v, _| go_math::cosh(v) },
    InstantFunction { name: "deg", kernel: |v, _| v * 180.0 / PI },
    InstantFunction { name: "exp", kernel: |v, _| go_math::exp(v) },
    InstantFunction { name: "floor", kernel: |v, _| v.floor() },
    InstantFunction { name: "ln", kernel: |v, _| go_math::ln(v) },
    InstantFunction { name: "log10", kernel: |v, _| go_math::log10(v) },
    InstantFunction { name: "log2", kernel: |v, _| go_math::log2(v) },
    InstantFunction { name: "rad", kernel: |v, _| v * PI / 180.0 },
    InstantFunction { name: "round", kernel: |v, args| round(v, args.first().copied().unwrap_or(1.0)) },
    InstantFunction { name: "sgn", kernel: |v, _| sgn(v) },
    InstantFunction { name: "sin", kernel: |v, _| go_math::sin(v) },
    InstantFunction { name: "sinh", kernel: |v, _| go_math::sinh(v) },
    InstantFunction { name: "sqrt", kernel: |v, _| v.sqrt() },
    InstantFunction { name: "tan", kernel: |v, _| go_math::tan(v) },
    InstantFunction { name: "tanh", kernel: |v, _| go_math::tanh(v) },
];

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Kernel> {
    INSTANT_FUNCTIONS.iter().find(|function| function.name == name).map(|function| function.kernel)
}

/// A function of a native histogram.
pub(super) type HistogramKernel = fn(&Histogram) -> f64;

/// The function of native histograms of this name.
pub(super) fn find_of_histogram(name: &str) -> Option<HistogramKernel> {
    Some(match name {
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_count" => |histogram| histogram.count,
        "histogram_stddev" => |histogram| variance(histogram).sqrt(),
        "histogram_stdvar" => variance,
        "histogram_sum" => |histogram| histogram.sum,
        _ => return None,
    })
}

/// The variance, each observation taken to lie in the middle of its bucket: the arithmetic one of custom buckets, the geometric
/// one of exponential buckets (promql/functions.go, histogramVariance).
fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut compensation) = (0.0, 0.0);
    for bucket in histogram.buckets().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.has_custom_bounds() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let delta = middle - mean;
        kahan::add(bucket.count * delta * delta, &mut sum, &mut compensation);
    }
    (sum + compensation) / histogram.count
}

/// Arity is checked by the parser; a scalar that lacks all the same is NaN.
fn scalar(args: &[f64], index: usize) -> f64 {
    args.get(index).copied().unwrap_or(f64::NAN)
}

/// Nothing where the bounds contradict; NaN where one of them is NaN (promql/functions.go, clamp).
fn clamp(value: f64, low: f64, high: f64) -> f64 {
    if high < low { ABSENT } else { go_max(low, go_min(high, value)) }
}

/// To the nearest multiple of `to`, halves up. The inverse is used since it errs less (promql/functions.go, funcRound).
fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// Zeros keep their sign, and NaN stays.
fn sgn(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::batch::is_absent;

    /// Rows: function, value, scalars, expected. Bits count, but for those of NaN.
    #[test]
    fn special_values_follow_prometheus() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        let rows: &[(&str, f64, &[f64], f64)] = &[
            ("round", -0.5, &[], -0.0 / 1.0 + 0.0),
            ("round", -2.5, &[], -2.0),
            ("round", 2.5, &[], 3.0),
            ("round", 0.123, &[0.1], 0.1),
            ("round", nan, &[], nan),
            ("sgn", -0.0, &[], -0.0),
            ("sgn", nan, &[], nan),
            ("sgn", -inf, &[], -1.0),
            ("clamp", 5.0, &[0.0, 3.0], 3.0),
            ("clamp", -5.0, &[0.0, 3.0], 0.0),
            ("clamp", nan, &[0.0, 3.0], nan),
            ("clamp", 1.0, &[nan, 3.0], nan),
            ("clamp_min", 1.0, &[2.0], 2.0),
            ("clamp_min", nan, &[2.0], nan),
            ("clamp_max", 1.0, &[-2.0], -2.0),
            ("clamp_max", nan, &[inf], nan),
            ("ceil", -0.5, &[], -0.0),
            ("floor", -0.5, &[], -1.0),
            ("abs", -0.0, &[], 0.0),
            ("sqrt", -1.0, &[], nan),
            ("ln", 0.0, &[], -inf),
            ("deg", PI, &[], 180.0),
            ("rad", 180.0, &[], PI),
        ];
        for (name, value, args, expected) in rows {
            let got = find(name).expect("a function of the table")(*value, args);
            let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
            assert!(same && !is_absent(got), "{name}({value}, {args:?}): {got}, expected {expected}");
        }
        assert!(is_absent(find("clamp").expect("clamp")(1.0, &[3.0, 2.0])), "bounds that contradict");
    }

    #[test]
    fn the_table_is_sorted_and_in_the_language() {
        assert!(INSTANT_FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for function in INSTANT_FUNCTIONS {
            assert!(crate::promql::functions::find(function.name).is_some(), "{}", function.name);
        }
    }
}
