//! Cutting observations off above or below a value: TrimBuckets in model/histogram/float_histogram.go.

use super::buckets::Scale;
use super::{Bucket, Histogram};

/// Which observations go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trim {
    /// Those above: `</`.
    Upper,
    /// Those below: `>/`.
    Lower,
}

/// Which sign a bucket's side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Positive,
    Negative,
}

/// What is left of a bucket, and where its observations are taken to lie.
#[derive(Debug, Clone, Copy)]
struct Kept {
    count: f64,
    midpoint: f64,
}

/// A cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: f64,
    side: Trim,
    scale: Scale,
}

/// Count and sum over what is left.
#[derive(Debug, Default)]
struct Totals {
    count: f64,
    sum: f64,
    trimmed: bool,
}

impl Totals {
    fn add(&mut self, kept: Kept) {
        self.count += kept.count;
        self.sum += kept.midpoint * kept.count;
    }
}

impl Histogram {
    /// Removes the observations on one side of `threshold`. A bucket that it cuts is interpolated; count and sum are
    /// estimated anew from the buckets if anything was removed, and empty buckets dropped.
    pub fn trim(&mut self, threshold: f64, side: Trim) {
        let scale = if self.has_custom_bounds() { Scale::Linear } else { Scale::Logarithmic };
        let cut = Cut { at: threshold, side, scale };
        let mut totals = Totals::default();
        let positive: Vec<Bucket> = self.positive().collect();
        let has_positive = cut.side(&positive, Sign::Positive, &mut self.positive_buckets, &mut totals);
        let negative: Vec<Bucket> = self.negative().collect();
        let has_negative = cut.side(&negative, Sign::Negative, &mut self.negative_buckets, &mut totals);
        if self.zero_count > 0.0 {
            let mut zero = self.zero_bucket();
            if has_negative && !has_positive {
                zero.upper = 0.0;
            }
            if has_positive && !has_negative {
                zero.lower = 0.0;
            }
            let kept = cut.zero(&zero);
            totals.trimmed |= self.zero_count != kept.count;
            self.zero_count = kept.count;
            totals.add(kept);
        }
        if totals.trimmed {
            self.count = totals.count;
            self.sum = totals.sum;
            self.compact(0);
        }
    }
}

impl Cut {
    /// Cuts the buckets of one side; whether any of them was populated.
    fn side(self, buckets: &[Bucket], sign: Sign, counts: &mut [f64], totals: &mut Totals) -> bool {
        let mut populated = false;
        for (bucket, count) in buckets.iter().zip(counts).filter(|(bucket, _)| bucket.count != 0.0) {
            populated = true;
            let (whole, part) = match self.side {
                Trim::Upper => (bucket.upper <= self.at, bucket.lower < self.at),
                Trim::Lower => (bucket.lower >= self.at, bucket.upper > self.at),
            };
            if whole {
                let midpoint = midpoint((bucket.lower, bucket.upper), sign, self.scale);
                totals.add(Kept { count: bucket.count, midpoint });
            } else if part {
                let kept = self.bucket(bucket, sign);
                totals.add(kept);
                totals.trimmed |= *count != kept.count;
                if *count != kept.count {
                    *count = kept.count;
                }
            } else {
                *count = 0.0;
                totals.trimmed = true;
            }
        }
        populated
    }

    /// A bucket with the cut in it (computeBucketTrim).
    fn bucket(self, bucket: &Bucket, sign: Sign) -> Kept {
        if bucket.lower == f64::NEG_INFINITY {
            return self.unbounded_below(bucket);
        }
        if bucket.upper == f64::INFINITY {
            return self.unbounded_above(bucket);
        }
        let below = if self.at <= bucket.lower {
            0.0
        } else if self.at >= bucket.upper {
            bucket.count
        } else {
            bucket.count * bucket.fraction_below(self.at, self.scale)
        };
        match self.side {
            Trim::Upper => Kept { count: below, midpoint: midpoint((bucket.lower, self.at), sign, self.scale) },
            Trim::Lower => {
                Kept { count: bucket.count - below, midpoint: midpoint((self.at, bucket.upper), sign, self.scale) }
            }
        }
    }

    /// The first bucket of custom bounds. One with a positive upper bound is taken to begin at 0; else nothing is known
    /// about where its observations lie (handleInfinityBuckets).
    fn unbounded_below(self, bucket: &Bucket) -> Kept {
        let (at, upper, count) = (self.at, bucket.upper, bucket.count);
        let nothing = Kept { count: 0.0, midpoint: if upper.is_infinite() { 0.0 } else { upper } };
        let from_zero = upper > 0.0 && upper != f64::INFINITY;
        match self.side {
            Trim::Upper if at >= upper => Kept { count, midpoint: 0.0 },
            Trim::Upper if at > 0.0 && from_zero => Kept { count: count * at / upper, midpoint: at / 2.0 },
            Trim::Upper if upper <= 0.0 => Kept { count, midpoint: at },
            Trim::Lower if at <= bucket.lower => Kept { count, midpoint: 0.0 },
            Trim::Lower if at >= 0.0 && upper > at && upper != f64::INFINITY => {
                Kept { count: count * (1.0 - at / upper), midpoint: (at + upper) / 2.0 }
            }
            Trim::Upper | Trim::Lower => nothing,
        }
    }

    /// The last bucket: a cut above removes all of it, as some of it may be higher; a cut below none.
    fn unbounded_above(self, bucket: &Bucket) -> Kept {
        if self.side == Trim::Lower && self.at >= bucket.lower {
            return Kept { count: bucket.count, midpoint: self.at };
        }
        Kept { count: 0.0, midpoint: if bucket.lower.is_infinite() { 0.0 } else { bucket.lower } }
    }

    /// The zero bucket, which is linear and on one side of 0 if all buckets are (computeZeroBucketTrim).
    fn zero(self, bucket: &Bucket) -> Kept {
        let (at, lower, upper, count) = (self.at, bucket.lower, bucket.upper, bucket.count);
        let whole = Kept { count, midpoint: (lower + upper) / 2.0 };
        let nothing = Kept { count: 0.0, midpoint: 0.0 };
        let (below, above) = match self.side {
            Trim::Upper => (nothing, whole),
            Trim::Lower => (whole, nothing),
        };
        if at <= lower {
            return below;
        }
        if at >= upper {
            return above;
        }
        let (part, midpoint) = match self.side {
            Trim::Upper => (at - lower, (lower + at) / 2.0),
            Trim::Lower => (upper - at, (at + upper) / 2.0),
        };
        Kept { count: count * (part / (upper - lower)), midpoint }
    }
}

/// Where the observations between two bounds are taken to lie (computeMidpoint).
fn midpoint((lower, upper): (f64, f64), sign: Sign, scale: Scale) -> f64 {
    match (lower.is_infinite(), upper.is_infinite()) {
        (true, true) => 0.0,
        (true, false) if upper > 0.0 => upper / 2.0,
        (true, false) => upper,
        (false, true) => lower,
        (false, false) if scale == Scale::Linear => (lower + upper) / 2.0,
        (false, false) => {
            let mean = (lower * upper).abs().sqrt();
            if sign == Sign::Positive { mean } else { -mean }
        }
    }
}
