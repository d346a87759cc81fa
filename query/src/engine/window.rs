//! What a kernel of a range function sees of one series at one step.

use masthead_store::Millis;
use masthead_store::samples::{HistogramSample, Run};

/// The samples of one series within `(start, end]`, stale markers left out.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    /// Left end, exclusive, ms.
    pub start: Millis,
    /// Right end, inclusive, ms.
    pub end: Millis,
    /// Times of the floats, ms.
    pub timestamps: &'a [Millis],
    /// The floats.
    pub values: &'a [f64],
    /// Start timestamps of the floats; empty where none is known.
    pub start_timestamps: &'a [Millis],
    /// Histogram samples.
    pub histograms: &'a [HistogramSample],
    /// Changes of lane behind the first sample of the window; their `start` counts from `base`.
    pub runs: &'a [Run],
    /// Index of the window's first float in the column.
    pub base: usize,
    /// Per float: how many falls (counter resets, judged within lanes) lie at or before it in the column. Two equal ends mean
    /// that no reset lies between them. Empty where the function did not ask for it.
    pub resets: &'a [u32],
}

/// What a kernel answers for one step.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// No sample.
    Absent,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(std::sync::Arc<masthead_store::histogram::Histogram>),
}
