//! When the windows of the steps are.

use masthead_store::Millis;

use crate::plan::{ScanSpec, Timeline};
use crate::promql::ast::RangeExtension;

/// When the windows of the steps are.
#[derive(Debug, Clone, Copy)]
pub(super) struct WindowTimes {
    /// The steps.
    pub(super) timeline: Timeline,
    offset: Millis,
    at: Option<Millis>,
    range: Millis,
    /// How far the samples reach beyond the window to the left, ms.
    pub(super) before: Millis,
    /// The same to the right, ms.
    pub(super) after: Millis,
    /// How the selector reaches beyond its window.
    pub(super) extension: Option<RangeExtension>,
    /// The times leave the range of an int64 somewhere, so that the windows do not ascend.
    pub(super) wraps: bool,
}

impl WindowTimes {
    /// The windows of a range function or an instant lookup. The window of the latter is its lookback.
    pub(super) fn of(spec: &ScanSpec, range: Millis) -> Self {
        let (before, after) = match spec.extension {
            None => (0, 0),
            Some(RangeExtension::Anchored) => (spec.lookback, 0),
            Some(RangeExtension::Smoothed) => (spec.lookback, spec.lookback),
        };
        let Timeline { start, step, count } = spec.timeline;
        let reach = [spec.offset, range, before, after].map(|reach| i128::from(reach).abs()).iter().sum::<i128>();
        let farthest = i128::from(start).abs() + i128::from(step).abs() * count as i128 + reach;
        let (timeline, offset, at, extension) = (spec.timeline, spec.offset, spec.at, spec.extension);
        Self { timeline, offset, at, range, before, after, extension, wraps: farthest > i128::from(Millis::MAX) }
    }

    /// The same windows with samples from so far outside, ms.
    pub(super) fn reaching(self, before: Millis, after: Millis) -> Self {
        Self { before, after, ..self }
    }

    /// Right end of the window of a step, ms.
    #[inline]
    pub(super) fn end(&self, step: usize) -> Millis {
        self.at.unwrap_or_else(|| self.timeline.at(step)).wrapping_sub(self.offset)
    }

    /// Left end of the window that ends at `end`, ms, exclusive.
    #[inline]
    pub(super) fn start(&self, end: Millis) -> Millis {
        end.wrapping_sub(self.range)
    }

    /// First and last time of the samples that all windows together need, ms, both inclusive.
    pub(super) fn needed(&self) -> (Millis, Millis) {
        let first = self.start(self.end(0)).wrapping_sub(self.before).wrapping_add(1);
        (first, self.end(self.timeline.count - 1).wrapping_add(self.after))
    }
}
