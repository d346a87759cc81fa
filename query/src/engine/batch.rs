//! Rows and batches of rows: what operators hand to each other.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::samples::{STALE, STALE_BITS};
use masthead_store::{Labels, Reservation};

/// Rows a batch, at most.
pub const BATCH_ROWS: usize = 256;

/// Marks a step without a float. It is Prometheus' stale marker: selectors drop stale samples, and arithmetic cannot make
/// its bits (results are the quiet default NaN or an operand's NaN, quietened). Rule: test first, operate second.
pub const ABSENT: f64 = STALE;

/// Whether a cell holds no float.
#[inline]
pub fn is_absent(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// One series with all steps of a timeline.
#[derive(Debug, Clone)]
pub struct Row {
    /// Labels.
    pub labels: Labels,
    /// The metric name is to be dropped at the end (delayed name removal).
    pub drop_name: bool,
    /// One float a step, [`ABSENT`] where there is none.
    pub values: Vec<f64>,
    /// Histogram samples by step, ascending; a step has a float or a histogram, not both.
    pub histograms: Vec<(u32, Arc<Histogram>)>,
}

/// Up to [`BATCH_ROWS`] rows of one timeline, series-major: row i has `values[i * steps..][..steps]`.
#[derive(Debug)]
pub struct Batch {
    /// Labels of the rows.
    pub labels: Vec<Labels>,
    /// Per row: the metric name is to be dropped at the end (delayed name removal).
    pub drop_name: Vec<bool>,
    /// All floats, [`ABSENT`] where there is none.
    pub values: Vec<f64>,
    /// Histogram samples: row, step, histogram; ascending.
    pub histograms: Vec<(u32, u32, Arc<Histogram>)>,
    /// Steps a row.
    pub steps: usize,
    /// What the batch holds.
    pub held: Reservation,
}

impl Batch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The floats of row `i`.
    pub fn row(&self, i: usize) -> &[f64] {
        &self.values[i * self.steps..][..self.steps]
    }

    /// The floats of row `i`.
    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        &mut self.values[i * self.steps..][..self.steps]
    }
}
