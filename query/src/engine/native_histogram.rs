//! Quantiles and fractions of one native histogram.
//!
//! Where a value lies within a bucket is estimated: on the scale of logarithms in exponential buckets, along a line in custom
//! ones and in the zero bucket. The zero bucket ends at 0 where all other buckets are on one side of it.

use masthead_store::histogram::{Bucket, Histogram, Scale};

use crate::go_math::{exp2, log2};

/// What is to be said of a histogram that has observed NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NanNote {
    /// The quantile lies among them.
    QuantileIsNan,
    /// The quantile is too high, for they count as the highest ones.
    QuantileIsSkewed,
    /// They are in no fraction.
    OutsideOfFractions,
}

impl NanNote {
    /// The text of the info, but for the metric's name.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::QuantileIsNan => "PromQL info: input to histogram_quantile has NaN observations, result is NaN",
            Self::QuantileIsSkewed => {
                "PromQL info: input to histogram_quantile has NaN observations, result is skewed higher"
            }
            Self::OutsideOfFractions => {
                "PromQL info: input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        }
    }
}

/// The quantile `q` (promql/quantile.go, HistogramQuantile).
pub(super) fn quantile(q: f64, histogram: &Histogram) -> (f64, Option<NanNote>) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return (f64::NAN, None);
    }
    // NaN observations are in the count alone, so that only ranks from below mean anything.
    if histogram.sum.is_nan() || q < 0.5 {
        rank(q * histogram.count, histogram, histogram.buckets(), |rank, before, _| rank - before)
    } else {
        rank((1.0 - q) * histogram.count, histogram, histogram.buckets_reversed(), |rank, _, count| count - rank)
    }
}

/// The value at which `rank` observations have been passed. `inside` tells how far into its bucket that is, from the rank and
/// the observations before and behind the bucket.
fn rank(
    rank: f64,
    histogram: &Histogram,
    mut buckets: impl Iterator<Item = Bucket>,
    inside: impl Fn(f64, f64, f64) -> f64,
) -> (f64, Option<NanNote>) {
    let mut bucket =
        Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0, index: 0 };
    let mut count = 0.0;
    for next in buckets.by_ref() {
        bucket = next;
        count += bucket.count;
        if bucket.count != 0.0 && count >= rank {
            break;
        }
    }
    if histogram.has_custom_bounds() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, None);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, None);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        one_sided(&mut bucket, histogram);
    }
    // Rounding may have led beyond.
    if count > histogram.count {
        count = histogram.count;
    }
    if count < rank {
        return match histogram.sum.is_nan() {
            true => (f64::NAN, Some(NanNote::QuantileIsNan)),
            false => (bucket.upper, None),
        };
    }
    let rank = inside(rank, count - bucket.count, count);
    let mut note = None;
    if histogram.sum.is_nan() {
        // Upstream goes on with the last bucket from here, whichever the rank was in.
        for next in buckets {
            bucket = next;
            count += bucket.count;
        }
        note = (count < histogram.count).then_some(NanNote::QuantileIsSkewed);
    }
    let fraction = rank / bucket.count;
    if histogram.has_custom_bounds() || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return (bucket.lower + (bucket.upper - bucket.lower) * fraction, note);
    }
    let (lower, upper) = (log2(bucket.lower.abs()), log2(bucket.upper.abs()));
    if bucket.lower > 0.0 {
        return (exp2(lower + (upper - lower) * fraction), note);
    }
    (-exp2(upper + (lower - upper) * (1.0 - fraction)), note)
}

/// Lets the zero bucket end at 0 where all buckets are on one side of it.
fn one_sided(bucket: &mut Bucket, histogram: &Histogram) {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

/// The share of observations between two values (promql/quantile.go, HistogramFraction).
pub(super) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> (f64, Option<NanNote>) {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, None);
    }
    if lower >= upper {
        return (0.0, None);
    }
    let (mut count, mut passed) = (0.0, 0.0);
    let (mut lower_rank, mut upper_rank) = (None, None);
    let mut buckets = histogram.buckets();
    for mut bucket in buckets.by_ref() {
        count += bucket.count;
        let is_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero {
            one_sided(&mut bucket, histogram);
        }
        let scale = if histogram.has_custom_bounds() || is_zero { Scale::Linear } else { Scale::Logarithmic };
        lower_rank = lower_rank.or_else(|| rank_within(lower, &bucket, passed, scale));
        upper_rank = upper_rank.or_else(|| rank_within(upper, &bucket, passed, scale));
        if lower_rank.is_some() && upper_rank.is_some() {
            break;
        }
        passed += bucket.count;
    }
    let mut note = None;
    if histogram.sum.is_nan() {
        buckets.for_each(|bucket| count += bucket.count);
        note = (count < histogram.count).then_some(NanNote::OutsideOfFractions);
    } else {
        count = histogram.count;
    }
    let within = |rank: Option<f64>| match rank {
        Some(rank) if rank > count => count,
        Some(rank) => rank,
        None => count,
    };
    ((within(upper_rank) - within(lower_rank)) / histogram.count, note)
}

/// Observations up to `value`, where it lies at the start of the bucket, before it, or within.
fn rank_within(value: f64, bucket: &Bucket, passed: f64, scale: Scale) -> Option<f64> {
    if bucket.lower >= value {
        return Some(passed);
    }
    if bucket.upper <= value {
        return None;
    }
    // Nothing can be interpolated towards -Inf: the whole bucket counts.
    if scale == Scale::Linear && bucket.lower == f64::NEG_INFINITY {
        return Some(bucket.count);
    }
    Some(passed + bucket.count * bucket.fraction_below(value, scale))
}

#[cfg(test)]
mod tests;
