//! Quantiles and fractions of the buckets of one classic histogram at one step.

/// A bucket at one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bucket {
    /// Upper bound.
    pub(super) upper: f64,
    /// Observations up to it.
    pub(super) count: f64,
}

/// What was mended to make buckets monotonic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fix {
    /// Lowest and highest bound concerned.
    pub(super) buckets: (f64, f64),
    /// The greatest fall.
    pub(super) max_difference: f64,
}

/// Differences below this share of the counts are rounding (promql/quantile.go, smallDeltaTolerance).
const SMALL_DELTA: f64 = 1e-12;

/// The quantile `q` of buckets that ascend by bound, and what had to be mended (promql/quantile.go, BucketQuantile).
pub(super) fn bucket_quantile(q: f64, buckets: &mut Vec<Bucket>) -> (f64, Option<Fix>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return (f64::NAN, None);
    }
    coalesce(buckets);
    let fix = make_monotonic(buckets);
    let observations = buckets[buckets.len() - 1].count;
    if buckets.len() < 2 || observations == 0.0 {
        return (f64::NAN, fix);
    }
    let mut rank = q * observations;
    let highest = buckets.len() - 1;
    // Not `count < rank`: Go's search counts a comparison with NaN as not found.
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a NaN on either side must count as not reached")]
    let at = buckets[..highest].partition_point(|bucket| !(bucket.count >= rank));
    if at == highest {
        return (buckets[highest - 1].upper, fix);
    }
    if at == 0 && buckets[0].upper <= 0.0 {
        return (buckets[0].upper, fix);
    }
    let (mut start, mut count) = (0.0, buckets[at].count);
    if at > 0 {
        start = buckets[at - 1].upper;
        count -= buckets[at - 1].count;
        rank -= buckets[at - 1].count;
    }
    (start + (buckets[at].upper - start) * (rank / count), fix)
}

/// The share of observations between two values (promql/quantile.go, BucketFraction).
pub(super) fn bucket_fraction(lower: f64, upper: f64, buckets: &mut Vec<Bucket>) -> f64 {
    if buckets.last().is_none_or(|last| last.upper != f64::INFINITY) {
        return f64::NAN;
    }
    coalesce(buckets);
    let count = buckets[buckets.len() - 1].count;
    if count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    (rank_of(upper, buckets, count) - rank_of(lower, buckets, count)) / count
}

/// Observations up to `value`, of `count` in all.
fn rank_of(value: f64, buckets: &[Bucket], count: f64) -> f64 {
    let mut rank = 0.0;
    let mut low = if buckets[0].upper <= 0.0 { f64::NEG_INFINITY } else { 0.0 };
    for bucket in buckets {
        if low >= value {
            break;
        }
        if bucket.upper > value {
            // Nothing can be interpolated towards -Inf: the whole bucket counts.
            let inside = if low == f64::NEG_INFINITY {
                bucket.count
            } else {
                rank + (bucket.count - rank) * (value - low) / (bucket.upper - low)
            };
            return if inside > count { count } else { inside };
        }
        rank = bucket.count;
        low = bucket.upper;
    }
    // Written so that NaN goes through.
    let reached = low >= value;
    if !reached || rank > count { count } else { rank }
}

/// Adds up buckets of one bound.
fn coalesce(buckets: &mut Vec<Bucket>) {
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
}

/// Takes out falls between neighbouring buckets (promql/quantile.go, ensureMonotonicAndIgnoreSmallDeltas).
fn make_monotonic(buckets: &mut [Bucket]) -> Option<Fix> {
    let mut fix: Option<Fix> = None;
    let mut previous = buckets.first()?.count;
    for bucket in &mut buckets[1..] {
        if bucket.count == previous {
            continue;
        }
        if almost_equal(previous, bucket.count) {
            bucket.count = previous;
        } else if bucket.count < previous {
            let fall = previous - bucket.count;
            bucket.count = previous;
            let fix = fix.get_or_insert(Fix { buckets: (f64::INFINITY, f64::NEG_INFINITY), max_difference: 0.0 });
            fix.buckets = (fix.buckets.0.min(bucket.upper), fix.buckets.1.max(bucket.upper));
            fix.max_difference = fix.max_difference.max(fall);
        } else {
            previous = bucket.count;
        }
    }
    fix
}

/// util/almost, Equal.
fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(pairs: &[(f64, f64)]) -> Vec<Bucket> {
        pairs.iter().map(|(upper, count)| Bucket { upper: *upper, count: *count }).collect()
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn quantiles_of_buckets() {
        let plain = [(0.1, 10.0), (0.2, 20.0), (INF, 20.0)];
        type Case<'a> = (f64, &'a [(f64, f64)], f64);
        let rows: &[Case<'_>] = &[
            (0.25, &plain, 0.05),
            (0.5, &plain, 0.1),
            (0.75, &plain, 0.15000000000000002),
            (1.0, &plain, 0.2),
            (-0.1, &plain, -INF),
            (1.1, &plain, INF),
            (0.9, &[(0.1, 10.0), (INF, 100.0)], 0.1),
            (0.1, &[(-1.0, 10.0), (0.0, 20.0), (INF, 20.0)], -1.0),
        ];
        for (q, pairs, expected) in rows {
            assert_eq!(bucket_quantile(*q, &mut buckets(pairs)), (*expected, None), "{q} {pairs:?}");
        }
        for pairs in [&[(0.1, 1.0), (0.2, 2.0)][..], &[(INF, 2.0)], &[(0.1, 0.0), (INF, 0.0)]] {
            assert!(bucket_quantile(0.5, &mut buckets(pairs)).0.is_nan(), "{pairs:?}");
        }
        let (value, fix) = bucket_quantile(0.5, &mut buckets(&[(1.0, 10.0), (2.0, 4.0), (3.0, 20.0), (INF, 15.0)]));
        assert_eq!(value, 1.0);
        assert_eq!(fix, Some(Fix { buckets: (2.0, INF), max_difference: 6.0 }));
        let tiny = bucket_quantile(0.5, &mut buckets(&[(1.0, 1.0), (2.0, 1.0 - 1e-13), (INF, 1.0)]));
        assert_eq!(tiny, (0.5, None), "a difference of rounding is no fall");
    }

    #[test]
    fn fractions_of_buckets() {
        let plain = [(0.1, 10.0), (0.2, 20.0), (INF, 25.0)];
        for (lower, upper, expected) in [
            (0.0, 0.1, 0.4),
            (0.05, 0.15, 0.399_999_999_999_999_9),
            (-INF, INF, 1.0),
            (0.2, 0.1, 0.0),
            (0.2, INF, 0.2),
            (0.3, 0.4, 0.0),
        ] {
            assert_eq!(bucket_fraction(lower, upper, &mut buckets(&plain)), expected, "{lower} {upper}");
        }
        assert!(bucket_fraction(0.0, 1.0, &mut buckets(&plain[..2])).is_nan());
    }
}
