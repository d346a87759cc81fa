//! What a kernel of a range function sees of one series at one step.

use masthead_store::Millis;

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
    pub(super) notes: &'a mut super::notes::Notes,
    /// What the step before found out of the shape of its window.
    pub(super) memo: &'a mut super::range_functions::Memo,
    /// Room for a copy of the window's values.
    pub(super) buffer: &'a mut Vec<f64>,
}

impl Step<'_> {
    /// Scalar argument `i`; arity is checked by the parser.
    pub(super) fn arg(&self, i: usize) -> f64 {
        self.args.get(i).copied().unwrap_or(f64::NAN)
    }
}
