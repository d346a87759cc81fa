//! Sums of many histograms, compensated as sums of floats are: KahanAdd in model/histogram/float_histogram.go.

use super::layout::Sign;
use super::{Combined, Histogram, HistogramError};

/// A sum of histograms, with the low bits that it has lost so far.
///
/// Invariant: both parts have the same buckets, since nobody else can change one of them.
#[derive(Debug, Clone)]
pub struct Sum {
    value: Histogram,
    /// None before the first addition.
    lost: Option<Histogram>,
}

impl Sum {
    /// The sum of one histogram.
    pub fn new(first: Histogram) -> Self {
        Self { value: first, lost: None }
    }

    /// Adds a histogram; see [`Histogram::add`].
    ///
    /// Fails, with nothing changed, where one has exponential buckets and the other custom bounds.
    pub fn add(&mut self, other: &Histogram) -> Result<Combined, HistogramError> {
        self.value.check_kind(other)?;
        let lost = self.lost.get_or_insert_with(|| self.value.empty_compensation());
        self.value.combine(other, Sign::Plus, Some(lost))
    }

    /// Multiplies what there is so far; see [`Histogram::mul`].
    pub fn mul(&mut self, factor: f64) {
        self.parts().for_each(|part| part.mul(factor));
    }

    /// Divides what there is so far; see [`Histogram::div`].
    pub fn div(&mut self, divisor: f64) {
        self.parts().for_each(|part| part.div(divisor));
    }

    fn parts(&mut self) -> impl Iterator<Item = &mut Histogram> {
        std::iter::once(&mut self.value).chain(&mut self.lost)
    }

    /// The sum without what was lost.
    pub fn value(&self) -> &Histogram {
        &self.value
    }

    /// What was lost, in the same buckets.
    pub fn lost(&self) -> Option<&Histogram> {
        self.lost.as_ref()
    }

    /// The sum with what was lost. It may have empty buckets.
    pub fn total(self) -> Histogram {
        let Self { mut value, lost } = self;
        if let Some(lost) = lost {
            // Histograms of one layout can be added.
            _ = value.add(&lost);
        }
        value
    }
}
