//! Rows and batches of rows: what operators hand to each other.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::samples::{STALE, STALE_BITS};
use masthead_store::{Labels, Reservation};

use super::Context;
use crate::error::QueryError;

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

/// Bytes that a row of `steps` costs besides its labels' own buffer.
pub fn row_bytes(steps: usize) -> usize {
    steps.saturating_mul(size_of::<f64>()).saturating_add(64)
}

impl Batch {
    /// An empty batch, with memory for `rows` rows taken.
    pub fn with_rows(rows: usize, steps: usize, cx: &Context<'_>) -> Result<Self, QueryError> {
        let held = cx.budget.reserve("rows of a batch", rows.saturating_mul(row_bytes(steps)))?;
        Ok(Self {
            labels: Vec::with_capacity(rows),
            drop_name: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows.saturating_mul(steps)),
            histograms: Vec::new(),
            steps,
            held,
        })
    }

    /// A batch of one row, whose memory is `held`.
    pub fn of_row(labels: Labels, values: Vec<f64>, held: Reservation) -> Self {
        let steps = values.len();
        Self { labels: vec![labels], drop_name: vec![false], values, histograms: Vec::new(), steps, held }
    }

    /// Appends a row; its memory must be taken already.
    pub fn push(&mut self, labels: Labels, drop_name: bool, values: &[f64]) {
        debug_assert_eq!(values.len(), self.steps, "a row of another timeline");
        self.labels.push(labels);
        self.drop_name.push(drop_name);
        self.values.extend_from_slice(values);
    }
}

/// Finished rows on their way out, a batch at a time.
pub struct Drain {
    rows: std::vec::IntoIter<Row>,
    steps: usize,
    held: Reservation,
}

impl Drain {
    /// `held` is what the rows hold.
    pub fn new(rows: Vec<Row>, steps: usize, held: Reservation) -> Self {
        Self { rows: rows.into_iter(), steps, held }
    }

    /// The next rows.
    pub fn take(&mut self) -> Option<Batch> {
        let count = self.rows.len().min(BATCH_ROWS);
        if count == 0 {
            return None;
        }
        let held = match self.rows.len() {
            left if left == count => self.held.split(usize::MAX),
            _ => self.held.split(count * row_bytes(self.steps)),
        };
        let values = Vec::with_capacity(count * self.steps);
        let (labels, drop_name) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut batch = Batch { labels, drop_name, values, histograms: Vec::new(), steps: self.steps, held };
        for row in self.rows.by_ref().take(count) {
            batch.push(row.labels, row.drop_name, &row.values);
        }
        Some(batch)
    }
}

/// Pulls all rows of `input` that have a sample, memory taken.
pub fn collect(
    input: &mut dyn super::Operator,
    cx: &Context<'_>,
    what: &'static str,
) -> Result<(Vec<Row>, Reservation), QueryError> {
    let mut held = cx.budget.reserve(what, 0)?;
    let mut rows = Vec::new();
    while let Some(batch) = super::pull(input, cx)? {
        for i in 0..batch.len() {
            if batch.row(i).iter().all(|value| is_absent(*value)) {
                continue;
            }
            held.grow(row_bytes(batch.steps) + batch.labels[i].size_bytes())?;
            let labels = batch.labels[i].clone();
            let values = batch.row(i).to_vec();
            rows.push(Row { labels, drop_name: batch.drop_name[i], values, histograms: Vec::new() });
        }
    }
    Ok((rows, held))
}
