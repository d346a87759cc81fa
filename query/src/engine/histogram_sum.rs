//! Native histograms added up, with what is lost in it (Kahan), and their mean (promql/engine.go, aggregation, cases SUM and
//! AVG; promql/functions.go, funcSumOverTime and funcAvgOverTime).

use masthead_store::histogram::{Histogram, HistogramError, Sum};

use super::batch::histogram_bytes;

/// Histograms added up: all by [`HistogramSum::add`], or all by [`HistogramSum::add_to_mean`].
pub(super) struct HistogramSum {
    /// The sum; the mean itself once `incremental`.
    sum: Sum,
    count: f64,
    incremental: bool,
}

impl HistogramSum {
    /// The sum of one histogram.
    pub(super) fn of(first: &Histogram) -> Self {
        Self { sum: Sum::new(first.clone()), count: 1.0, incremental: false }
    }

    /// Bytes that it holds.
    pub(super) fn size_bytes(&self) -> usize {
        let parts = std::iter::once(self.sum.value()).chain(self.sum.lost());
        size_of::<Self>() + parts.map(histogram_bytes).sum::<usize>()
    }

    /// Adds a histogram; whether custom bounds were reconciled. Fails where the buckets are of two kinds.
    pub(super) fn add(&mut self, histogram: &Histogram) -> Result<bool, HistogramError> {
        Ok(self.sum.add(histogram)?.bounds_reconciled)
    }

    /// Adds a histogram to the mean: that is the sum divided by the count, until the sum would overflow; from there on it is
    /// kept up to date with each histogram.
    pub(super) fn add_to_mean(&mut self, histogram: &Histogram) -> Result<bool, HistogramError> {
        self.count += 1.0;
        if !self.incremental {
            if [self.sum.value(), histogram].into_iter().all(is_far_from_overflow) {
                return self.add(histogram);
            }
            let before = self.sum.clone();
            let reconciled = self.add(histogram)?;
            if !self.sum.value().has_overflow() {
                return Ok(reconciled);
            }
            self.sum = before;
            self.incremental = true;
            self.sum.div(self.count - 1.0);
        }
        self.sum.mul((self.count - 1.0) / self.count);
        let mut share = histogram.clone();
        share.div(self.count);
        self.add(&share)
    }

    /// The sum.
    pub(super) fn sum(self) -> Histogram {
        self.sum.total()
    }

    /// The mean.
    pub(super) fn mean(mut self) -> Histogram {
        if !self.incremental {
            self.sum.div(self.count);
        }
        self.sum()
    }
}

/// Whether the sum of two such histograms cannot overflow.
fn is_far_from_overflow(histogram: &Histogram) -> bool {
    let lists = [&*histogram.positive_buckets, &*histogram.negative_buckets, &*histogram.custom_bounds];
    let numbers = [histogram.zero_count, histogram.count, histogram.sum];
    numbers.iter().chain(lists.into_iter().flatten()).all(|number| number.abs() < f64::MAX / 4.0)
}
