//! Zero buckets of different widths.

use std::cmp::Ordering;

use super::Histogram;
use super::layout::sides;
use crate::kahan;

/// What a zero bucket would hold if it were wider.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widened {
    /// Observations.
    pub(super) count: f64,
    /// The threshold, which may have moved to the end of a populated bucket.
    pub(super) threshold: f64,
    /// Low bits that the count has lost.
    pub(super) lost: f64,
}

impl Histogram {
    /// The zero bucket if it reached to `threshold` or, where that lies in a populated bucket, to the end of this one.
    /// The threshold is no smaller than the histogram's (zeroCountForLargerThreshold in
    /// model/histogram/float_histogram.go).
    pub(super) fn widened(&self, threshold: f64, compensation: Option<&Self>) -> Widened {
        let mut lost = compensation.map_or(0.0, |compensation| compensation.zero_count);
        if threshold == self.zero_threshold {
            return Widened { count: self.zero_count, threshold, lost };
        }
        let positive_lost = compensation.map(|compensation| compensation.positive_buckets.as_slice());
        let negative_lost = compensation.map(|compensation| compensation.negative_buckets.as_slice());
        let mut threshold = threshold;
        loop {
            let mut count = self.zero_count;
            let mut add = |bucket: f64, low: Option<&[f64]>, at: usize| {
                kahan::add(bucket, &mut count, &mut lost);
                if let Some(low) = low {
                    kahan::add(low.get(at).copied().unwrap_or(0.0), &mut count, &mut lost);
                }
            };
            for (at, bucket) in self.positive().enumerate() {
                if bucket.lower >= threshold {
                    break;
                }
                add(bucket.count, positive_lost, at);
                if bucket.upper > threshold {
                    if bucket.count != 0.0 {
                        threshold = bucket.upper;
                    }
                    break;
                }
            }
            let mut moved = false;
            for (at, bucket) in self.negative().enumerate() {
                if bucket.upper <= -threshold {
                    break;
                }
                add(bucket.count, negative_lost, at);
                if bucket.lower < -threshold {
                    // The positive side has to be looked at again. The low bits go on, as upstream's do.
                    if bucket.count != 0.0 {
                        threshold = -bucket.lower;
                        moved = true;
                    }
                    break;
                }
            }
            if !moved {
                return Widened { count, threshold, lost };
            }
        }
    }

    /// Widens the zero bucket until it covers that of `other` and cuts no populated bucket of either. Gives what
    /// `other` would have in its zero bucket, and the low bits lost there (reconcileZeroBuckets).
    pub(super) fn reconcile_zero(&mut self, other: &Self, mut compensation: Option<&mut Self>) -> (f64, f64) {
        let mut theirs = Widened { count: other.zero_count, threshold: other.zero_threshold, lost: 0.0 };
        // Neither is greater than the other where one is NaN.
        while theirs.threshold.partial_cmp(&self.zero_threshold).is_some_and(Ordering::is_ne) {
            if self.zero_threshold > theirs.threshold {
                theirs = other.widened(self.zero_threshold, None);
            }
            if theirs.threshold > self.zero_threshold {
                let own = self.widened(theirs.threshold, compensation.as_deref());
                self.zero_count = own.count;
                self.zero_threshold = own.threshold;
                if let Some(compensation) = &mut compensation {
                    compensation.zero_count = own.lost;
                }
                self.clear_within_zero(compensation.as_deref_mut());
            }
        }
        (theirs.count, theirs.lost)
    }

    /// Removes the buckets within the zero bucket, whose counts it has already (trimBucketsInZeroBucket).
    fn clear_within_zero(&mut self, mut compensation: Option<&mut Self>) {
        let positive = self.positive().take_while(|bucket| bucket.lower < self.zero_threshold).count();
        let negative = self.negative().take_while(|bucket| bucket.upper > -self.zero_threshold).count();
        self.positive_buckets[..positive].fill(0.0);
        self.negative_buckets[..negative].fill(0.0);
        if let Some(compensation) = &mut compensation {
            compensation.positive_buckets[..positive].fill(0.0);
            compensation.negative_buckets[..negative].fill(0.0);
        }
        for mut side in sides(self, compensation) {
            side.compact(0);
        }
    }
}
