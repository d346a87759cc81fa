//! What a kernel of a range function sees of one series at one step, and what it gives.

use std::sync::Arc;

use masthead_store::Millis;
use masthead_store::histogram::Histogram;
use masthead_store::samples::HistogramSample;

use super::notes::Notes;
use super::starts::histogram_started_anew;
use crate::engine::batch::ABSENT;
use crate::promql::ast::RangeExtension;

/// The samples of one series within `(start, end]`, stale markers left out. With `anchored` or `smoothed` samples from
/// outside come along.
///
/// Invariant: there is at least one float, but where histograms come along; all columns are of one length, or empty where
/// that is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'a> {
    /// Left end, exclusive, ms.
    pub(super) start: Millis,
    /// Right end, inclusive, ms.
    pub(super) end: Millis,
    /// Times of the floats, ms.
    pub(super) timestamps: &'a [Millis],
    /// The floats. For functions that compare neighbours they are levelled where the lane changes (see
    /// [`Lanes`](super::lanes::Lanes)).
    pub(super) values: &'a [f64],
    /// Start timestamps of the floats, ms, 0 where unknown; empty where none is known or none counts.
    pub(super) start_timestamps: &'a [Millis],
    /// Index of the window's first float in its column.
    pub(super) base: usize,
    /// Where in the column something happens between a float of the window and the one before it, in the window too; what,
    /// the function's table row says: resets or changes. Ascending.
    pub(super) marks: &'a [usize],
    /// Where in the column the lane changes between two floats of the window. Ascending.
    pub(super) switches: &'a [usize],
    /// From which index of the column on which lift holds; empty where nothing was levelled (see
    /// [`Lanes`](super::lanes::Lanes)).
    pub(super) lifts: &'a [(usize, f64)],
}

impl Window<'_> {
    /// The oldest float and its time.
    #[inline]
    pub(super) fn first(&self) -> (Millis, f64) {
        (self.timestamps[0], self.values[0])
    }

    /// How much float `i` of the window was lifted by levelling.
    #[inline]
    pub(super) fn lift(&self, i: usize) -> f64 {
        let behind = self.lifts.partition_point(|(from, _)| *from <= self.base + i);
        behind.checked_sub(1).map_or(0.0, |at| self.lifts[at].1)
    }

    /// Whether something happens between float `i` of the window and the one before it.
    pub(super) fn is_marked(&self, i: usize) -> bool {
        self.marks.binary_search(&(self.base + i)).is_ok()
    }

    /// The newest float and its time.
    #[inline]
    pub(super) fn last(&self) -> (Millis, f64) {
        let last = self.values.len() - 1;
        (self.timestamps[last], self.values[last])
    }
}

/// The histograms of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Histograms<'a> {
    /// At least one.
    pub(super) samples: &'a [HistogramSample],
    /// Index of the first one in its column.
    pub(super) base: usize,
    /// Where in the column two neighbours differ or tell of a reset, as the function wants it, both in the window. Ascending.
    pub(super) marks: &'a [usize],
    /// Start timestamps count.
    pub(super) with_start_timestamps: bool,
}

impl<'a> Histograms<'a> {
    /// Whether something happens between histogram `i` of the window and the one before it in the window.
    pub(super) fn is_marked(&self, i: usize) -> bool {
        self.marks.binary_search(&(self.base + i)).is_ok()
    }

    /// The histograms of the window before which something happens.
    pub(super) fn marked(&self) -> impl Iterator<Item = usize> + use<'a> {
        let base = self.base;
        self.marks.iter().map(move |mark| mark - base)
    }

    /// Start timestamp of histogram `i` of the window, ms; 0 where unknown or of no account.
    pub(super) fn start_timestamp(&self, i: usize) -> Millis {
        if self.with_start_timestamps { self.samples[i].start_timestamp } else { 0 }
    }

    /// Whether the start timestamps say that a counter began anew before histogram `i` of the window, which is not the first.
    pub(super) fn started_anew(&self, i: usize) -> bool {
        self.with_start_timestamps && histogram_started_anew(&self.samples[i - 1], &self.samples[i])
    }

    /// The oldest one.
    pub(super) fn first(&self) -> &'a HistogramSample {
        &self.samples[0]
    }

    /// The newest one.
    pub(super) fn last(&self) -> &'a HistogramSample {
        &self.samples[self.samples.len() - 1]
    }
}

/// The step that a kernel computes, and what it leaves behind.
pub(super) struct Step<'a> {
    /// Time of the step, ms.
    pub(super) time: Millis,
    /// Width of the selector's range, s.
    pub(super) range_seconds: f64,
    /// How the selector reaches beyond the window.
    pub(super) extension: Option<RangeExtension>,
    /// Scalar arguments at this step.
    pub(super) args: &'a [f64],
    /// What is to be told about the series.
    pub(super) notes: &'a mut Notes,
    /// What the step before found out of the shape of its window.
    pub(super) memo: &'a mut Memo,
    /// Room for a copy of the window's values.
    pub(super) buffer: &'a mut Vec<f64>,
}

impl Step<'_> {
    /// Scalar argument `i`; arity is checked by the parser.
    pub(super) fn arg(&self, i: usize) -> f64 {
        self.args.get(i).copied().unwrap_or(f64::NAN)
    }
}

/// Where the samples of a window lie, ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shape {
    /// From the left end to the first one.
    pub(super) to_start: Millis,
    /// From the last one to the right end.
    pub(super) to_end: Millis,
    /// From the first one to the last one.
    pub(super) sampled: Millis,
    /// How many lie between them, and one.
    pub(super) intervals: usize,
}

/// What follows from the shape of a window alone, s. From step to step it is mostly the same, and it costs six divisions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Memo {
    /// The shape of that window.
    pub(super) shape: Shape,
    /// How far the change is carried on to the left.
    pub(super) to_start: f64,
    /// The same to the right.
    pub(super) to_end: f64,
    /// From the first sample to the last one.
    pub(super) sampled: f64,
    /// The factor, if the counter's zero point does not count.
    pub(super) factor: f64,
}

/// What a kernel gives at one step.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    /// Nothing.
    Absent,
    /// A float.
    Float(f64),
    /// A histogram.
    Histogram(Arc<Histogram>),
}

impl Cell {
    /// The float of the cell at `step`; a histogram goes to `cells`.
    #[inline]
    pub(super) fn write(self, step: usize, cells: &mut HistogramCells) -> f64 {
        match self {
            Cell::Absent => ABSENT,
            Cell::Float(value) => value,
            Cell::Histogram(histogram) => {
                cells.push((step as u32, histogram));
                ABSENT
            }
        }
    }
}

impl From<Histogram> for Cell {
    fn from(histogram: Histogram) -> Self {
        Cell::Histogram(Arc::new(histogram))
    }
}

/// The histogram cells of a row by step, ascending.
pub(super) type HistogramCells = Vec<(u32, Arc<Histogram>)>;
