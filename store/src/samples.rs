//! Decoded samples of one series, as columns.

use std::sync::Arc;

use crate::histogram::Histogram;
use crate::series::Millis;

/// Prometheus' stale marker: a signalling NaN of its own payload. Compare bits, never values.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The stale marker as a float.
pub const STALE: f64 = f64::from_bits(STALE_BITS);

/// Whether `value` is the stale marker.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Columns of one series, reused from series to series: cleared, not reallocated.
///
/// Invariant: timestamps ascend strictly, within the floats and within the histograms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    /// Times of the floats, ms.
    pub timestamps: Vec<Millis>,
    /// The floats, as many as `timestamps`. Stale markers are kept, bit by bit.
    pub values: Vec<f64>,
    /// Start timestamps of the floats, ms, 0 where unknown; empty where no sample has one.
    pub start_timestamps: Vec<Millis>,
    /// Histogram samples.
    pub histograms: Vec<HistogramSample>,
    /// Where the floats change lanes; empty where one lane gave all. Ascending by `start`; the first run starts at 0.
    pub runs: Vec<Run>,
}

/// One native histogram sample.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Time, ms.
    pub timestamp: Millis,
    /// Start timestamp, ms, 0 where unknown.
    pub start_timestamp: Millis,
    /// The histogram; stale where its sum is the stale marker.
    pub histogram: Arc<Histogram>,
}

/// From index `start` on the floats come from another lane than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Index of the run's first sample.
    pub start: usize,
    /// Position of the lane in the lane order of this series.
    pub lane: u16,
    /// The lane's own last sample before the first one of this run, stale markers left out, so that every kernel that
    /// compares neighbours (rate, irate, resets, delta, changes, ...) judges within one lane. None where the lane has none.
    pub before: Option<(Millis, f64)>,
}

impl Samples {
    /// Forgets all samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.start_timestamps.clear();
        self.histograms.clear();
        self.runs.clear();
    }

    /// Number of samples of either kind.
    pub fn len(&self) -> usize {
        self.timestamps.len() + self.histograms.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty() && self.histograms.is_empty()
    }

    /// Appends one float without a start timestamp. `timestamp` must be later than the last one.
    pub fn push(&mut self, timestamp: Millis, value: f64) {
        debug_assert!(self.timestamps.last().is_none_or(|last| *last < timestamp));
        self.timestamps.push(timestamp);
        self.values.push(value);
        if !self.start_timestamps.is_empty() {
            self.start_timestamps.push(0);
        }
    }
}
