//! Native histograms and their arithmetic, with the bits that Prometheus' FloatHistogram gives (model/histogram): the
//! order of operations is part of it, and nothing is fused.
//!
//! All histograms are float histograms here: integer ones become such when they are decoded.
//!
//! # Invariants
//!
//! - Schemas are -9..=8 (exponential, of which those below -4 are read and never made) or [`CUSTOM_SCHEMA`]; spans are
//!   as long as there are buckets, and no offset but the first is negative. Decoders see to schemas and lengths;
//!   bounds, signs and first offsets are as they came, and [`Histogram::validate`] judges them. Where something does
//!   not hold, nothing panics.
//! - Layouts are not canonical: empty buckets and spans of length 0 may be there, until [`Histogram::compact`].

mod bounds;
mod buckets;
mod combine;
mod custom;
mod error;
mod layout;
mod reset;
mod sum;
#[cfg(test)]
mod tests;
mod text;
mod trim;
mod validate;
mod zero;

pub use buckets::{Bucket, Scale};
pub use combine::Combined;
pub use error::HistogramError;
pub use trim::Trim;

pub use sum::Sum;

pub(crate) use buckets::Indexed;
pub(crate) use layout::spans_of;
pub(crate) use reset::has_fallen;

use std::sync::Arc;

use crate::samples::{STALE, is_stale};

/// Schema of histograms with custom bounds.
pub const CUSTOM_SCHEMA: i32 = -53;

/// The finest exponential schema: finer ones are reduced to it when they are decoded.
pub(crate) const FINEST_SCHEMA: i32 = 8;

/// A float native histogram, as the engine sees all of them. Where the buckets lie is shared: the samples of a chunk
/// have one layout, and what is computed from them mostly keeps it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histogram {
    /// What is known about a reset between the sample before and this one.
    pub counter_reset_hint: CounterResetHint,
    /// Resolution: -4..=8 exponential, -53 custom bounds.
    pub schema: i32,
    /// Width of the zero bucket to either side.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of all observations; the stale marker where the sample is stale.
    pub sum: f64,
    /// Where the positive buckets lie.
    pub positive_spans: Arc<[Span]>,
    /// Where the negative buckets lie.
    pub negative_spans: Arc<[Span]>,
    /// Absolute counts of the positive buckets.
    pub positive_buckets: Vec<f64>,
    /// Absolute counts of the negative buckets.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, without +Inf; empty for exponential schemas.
    pub custom_bounds: Arc<[f64]>,
}

/// Spans and counts of the buckets of one sign.
pub(crate) type Counts<'a> = (&'a [Span], &'a [f64]);

/// A run of neighbouring buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Gap to the span before; for the first span the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// What is known about a counter reset before a histogram sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CounterResetHint {
    /// Nothing: compare with the sample before.
    #[default]
    Unknown,
    /// The counter was reset.
    Reset,
    /// It was not.
    NotReset,
    /// The histogram is a gauge.
    Gauge,
}

impl Histogram {
    /// The marker of a series that has ended.
    pub fn stale() -> Self {
        Self { sum: STALE, ..Self::default() }
    }

    /// Whether this is the marker of a series that has ended.
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum)
    }

    /// Whether the buckets have custom bounds, else they are exponential.
    pub fn has_custom_bounds(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// Multiplies all counts and the sum. A negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.scale(|value| value * factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum. A negative divisor makes a gauge; 0 removes the buckets.
    pub fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans = Arc::default();
            self.negative_spans = Arc::default();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
        self.scale(|value| value / divisor);
        if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        for value in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *value = by(*value);
        }
        for value in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            *value = by(*value);
        }
    }

    /// Drops empty buckets but for runs of at most `empty_max` between others, which are written out (Compact).
    pub fn compact(&mut self, empty_max: usize) {
        for mut side in layout::sides(self, None) {
            side.compact(empty_max);
        }
    }

    /// Merges buckets to the coarser `schema`. Nothing happens where the histogram is no finer than that, or one of
    /// both has custom bounds. The hint stays (ReduceResolution).
    pub fn reduce_to(&mut self, schema: i32) {
        if self.has_custom_bounds() || schema == CUSTOM_SCHEMA || schema >= self.schema {
            return;
        }
        let from = std::mem::replace(&mut self.schema, schema);
        for mut side in layout::sides(self, None) {
            side.reduce(from, schema);
        }
    }

    /// Whether both hold the same data, bit by bit; hints and spans of length 0 do not matter (Equals).
    pub fn equals(&self, other: &Self) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let all = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b));
        self.schema == other.schema
            && same(self.count, other.count)
            && same(self.sum, other.sum)
            && (!self.has_custom_bounds() || custom::same_bounds(&self.custom_bounds, &other.custom_bounds))
            && self.zero_threshold == other.zero_threshold
            && same(self.zero_count, other.zero_count)
            && layout::same_spans(&self.negative_spans, &other.negative_spans)
            && all(&self.negative_buckets, &other.negative_buckets)
            && layout::same_spans(&self.positive_spans, &other.positive_spans)
            && all(&self.positive_buckets, &other.positive_buckets)
    }

    /// Whether anything in it is infinite, as after a sum beyond the greatest float (HasOverflow).
    pub fn has_overflow(&self) -> bool {
        let lists = [&*self.positive_buckets, &*self.negative_buckets, &*self.custom_bounds];
        [self.zero_count, self.count, self.sum]
            .iter()
            .chain(lists.into_iter().flatten())
            .any(|value| value.is_infinite())
    }

    /// Memory it takes, bytes, as if it shared its layout with no other one.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + 8 * self.elements()
    }

    /// As how many float samples it counts against limits and in statistics: of 16 bytes each, with its time
    /// (HPoint.size in promql/value.go, Size in model/histogram/float_histogram.go).
    pub fn size_in_samples(&self) -> usize {
        /// Upstream's struct without the elements of its lists.
        const STRUCT_BYTES: usize = 168;
        (STRUCT_BYTES + 8 * self.elements() + 8) / 16
    }

    /// Where the positive and the negative buckets lie, and what is in them.
    pub(crate) fn sides(&self) -> [Counts<'_>; 2] {
        [(&self.positive_spans, &self.positive_buckets), (&self.negative_spans, &self.negative_buckets)]
    }

    fn elements(&self) -> usize {
        let spans = self.positive_spans.len() + self.negative_spans.len();
        spans + self.positive_buckets.len() + self.negative_buckets.len() + self.custom_bounds.len()
    }
}

/// Whether `schema` is an exponential one that histograms here may have (IsExponentialSchema).
pub fn is_exponential(schema: i32) -> bool {
    (-4..=FINEST_SCHEMA).contains(&schema)
}
