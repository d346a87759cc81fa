//! Rows and batches of rows: what operators hand to each other.

use std::sync::Arc;

use masthead_store::histogram::Histogram;
use masthead_store::samples::{STALE, STALE_BITS};
use masthead_store::{Labels, Reservation};

use super::Context;
use crate::error::QueryError;

/// Rows a batch, at most; what an operator adds to those of its input may come on top.
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

/// A histogram in a batch: row, step, histogram.
pub type HistogramCell = (u32, u32, Arc<Histogram>);

/// Rows of one timeline, series-major: row i has `values[i * steps..][..steps]`.
#[derive(Debug)]
pub struct Batch {
    /// Labels of the rows.
    pub labels: Vec<Labels>,
    /// Per row: the metric name is to be dropped at the end (delayed name removal).
    pub drop_name: Vec<bool>,
    /// All floats, [`ABSENT`] where there is none.
    pub values: Vec<f64>,
    /// Histogram samples, ascending by row and step; a cell that has one is [`ABSENT`] in `values`.
    pub histograms: Vec<HistogramCell>,
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

    /// The histograms of row `i`, ascending by step.
    pub fn histograms_of(&self, i: usize) -> &[HistogramCell] {
        if self.histograms.is_empty() {
            return &[];
        }
        let end = self.histograms.partition_point(|(row, ..)| *row as usize <= i);
        let start = self.histograms[..end].partition_point(|(row, ..)| (*row as usize) < i);
        &self.histograms[start..end]
    }

    /// The histograms of all rows, taken out row by row.
    pub fn take_histograms(&mut self) -> HistogramRows {
        HistogramRows(std::mem::take(&mut self.histograms).into_iter().peekable())
    }

    /// Whether row `i` has any sample.
    pub fn has_samples(&self, i: usize) -> bool {
        self.row(i).iter().any(|value| !is_absent(*value)) || !self.histograms_of(i).is_empty()
    }
}

/// Histograms that were taken out of a batch.
pub struct HistogramRows(std::iter::Peekable<std::vec::IntoIter<HistogramCell>>);

impl HistogramRows {
    /// The histograms of row `i` by step. Rows must be asked for in ascending order; those of rows left out are dropped.
    pub fn of(&mut self, i: usize) -> impl Iterator<Item = (u32, Arc<Histogram>)> {
        while self.0.next_if(|(row, ..)| (*row as usize) < i).is_some() {}
        std::iter::from_fn(move || self.0.next_if(|(row, ..)| *row as usize == i).map(|(_, step, h)| (step, h)))
    }
}

/// Bytes that a histogram in a row costs.
pub fn histogram_bytes(histogram: &Histogram) -> usize {
    size_of::<HistogramCell>() + histogram.size_bytes()
}

/// Bytes that the histograms of a row cost. Neighbours that are one histogram count once, but for their entries.
pub(super) fn histograms_bytes(histograms: &[(u32, Arc<Histogram>)]) -> usize {
    let first = histograms.first().map_or(0, |(_, histogram)| histogram_bytes(histogram));
    let others = histograms.windows(2).map(|pair| bytes_behind(&pair[0].1, &pair[1].1));
    first + others.sum::<usize>()
}

/// Bytes that a histogram costs behind another one.
fn bytes_behind(before: &Arc<Histogram>, histogram: &Arc<Histogram>) -> usize {
    if Arc::ptr_eq(before, histogram) { size_of::<HistogramCell>() } else { histogram_bytes(histogram) }
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

    /// Adds a histogram to the row that was pushed last, which must have nothing at `step` and no histogram behind it. Takes
    /// its memory.
    pub fn push_histogram(&mut self, step: u32, histogram: Arc<Histogram>) -> Result<(), QueryError> {
        let bytes = match self.histograms.last() {
            Some((_, _, before)) => bytes_behind(before, &histogram),
            None => histogram_bytes(&histogram),
        };
        self.held.grow(bytes)?;
        self.place_histogram(step, histogram);
        Ok(())
    }

    /// Adds a histogram whose memory is taken already to the row that was pushed last.
    fn place_histogram(&mut self, step: u32, histogram: Arc<Histogram>) {
        let row = self.len() as u32 - 1;
        debug_assert!(self.histograms.last().is_none_or(|(last, at, _)| (*last, *at) < (row, step)));
        debug_assert!(is_absent(self.row(row as usize)[step as usize]), "a float at the step of a histogram");
        self.histograms.push((row, step, histogram));
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
            _ => {
                let histograms = self.rows.as_slice()[..count].iter().map(|row| histograms_bytes(&row.histograms));
                let histograms: usize = histograms.sum();
                self.held.split(count * row_bytes(self.steps) + histograms)
            }
        };
        let values = Vec::with_capacity(count * self.steps);
        let (labels, drop_name) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut batch = Batch { labels, drop_name, values, histograms: Vec::new(), steps: self.steps, held };
        for row in self.rows.by_ref().take(count) {
            batch.push(row.labels, row.drop_name, &row.values);
            row.histograms.into_iter().for_each(|(step, histogram)| batch.place_histogram(step, histogram));
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
    while let Some(mut batch) = super::pull(input, cx)? {
        let mut all_histograms = batch.take_histograms();
        for i in 0..batch.len() {
            let histograms: Vec<_> = all_histograms.of(i).collect();
            if histograms.is_empty() && batch.row(i).iter().all(|value| is_absent(*value)) {
                continue;
            }
            held.grow(row_bytes(batch.steps) + batch.labels[i].size_bytes() + histograms_bytes(&histograms))?;
            let labels = batch.labels[i].clone();
            rows.push(Row { labels, drop_name: batch.drop_name[i], values: batch.row(i).to_vec(), histograms });
        }
    }
    Ok((rows, held))
}

#[cfg(test)]
mod tests {
    use masthead_store::Budget;

    use super::*;

    /// Rows of floats and histograms go through a drain and a batch as they were.
    #[test]
    fn histograms_stay_with_their_rows() {
        let histogram = |count: f64| Arc::new(Histogram { count, ..Histogram::default() });
        let row = |name: &str, values: &[f64], histograms: &[(u32, f64)]| Row {
            labels: Labels::from_pairs([("__name__", name)]),
            drop_name: false,
            values: values.to_vec(),
            histograms: histograms.iter().map(|(step, count)| (*step, histogram(*count))).collect(),
        };
        let rows = vec![
            row("a", &[1.0, ABSENT, ABSENT], &[(1, 1.0), (2, 2.0)]),
            row("b", &[1.0, ABSENT, 2.0], &[]),
            row("c", &[ABSENT, ABSENT, ABSENT], &[(2, 3.0)]),
            row("d", &[ABSENT, ABSENT, ABSENT], &[]),
        ];
        let budget = Budget::unlimited();
        let mut batch = Drain::new(rows, 3, budget.begin("test")).take().unwrap();
        let counts = |cells: &[HistogramCell]| -> Vec<(u32, f64)> { cells.iter().map(|c| (c.1, c.2.count)).collect() };
        let found: Vec<_> = (0..4).map(|i| counts(batch.histograms_of(i))).collect();
        assert_eq!(found, [vec![(1, 1.0), (2, 2.0)], vec![], vec![(2, 3.0)], vec![]]);
        assert_eq!((0..4).map(|i| batch.has_samples(i)).collect::<Vec<_>>(), [true, true, true, false]);
        let mut taken = batch.take_histograms();
        assert_eq!(taken.of(1).count(), 0);
        assert_eq!(taken.of(2).map(|(step, h)| (step, h.count)).collect::<Vec<_>>(), [(2, 3.0)]);
        assert_eq!(taken.of(3).count(), 0);
    }
}
