//! Instant selectors: the newest sample of the lookback, or what is known of it.

use std::sync::Arc;

use masthead_store::samples::{HistogramSample, is_stale};
use masthead_store::{Millis, Samples};

use super::times::WindowTimes;
use super::window::{Cell, HistogramCells};
use crate::engine::batch::ABSENT;

/// What an instant selector gives of the sample it finds.
#[derive(Clone, Copy)]
pub(super) struct Pick {
    /// Of float `i`.
    pub(super) float: fn(&Samples, usize) -> f64,
    /// Of a histogram.
    pub(super) histogram: fn(&HistogramSample) -> Cell,
}

/// The sample itself.
pub(super) const VALUE: Pick =
    Pick { float: |samples, i| samples.values[i], histogram: |sample| Cell::Histogram(Arc::clone(&sample.histogram)) };

/// Its time, s.
pub(super) const TIMESTAMP: Pick = Pick {
    float: |samples, i| samples.timestamps[i] as f64 / 1000.0,
    histogram: |sample| Cell::Float(sample.timestamp as f64 / 1000.0),
};

/// Its time, ms; of a histogram the histogram, which info() refuses.
pub(super) const SAMPLE_TIME: Pick =
    Pick { float: |samples, i| samples.timestamps[i] as f64, histogram: VALUE.histogram };

/// Its start timestamp, s; 0 where unknown.
pub(super) const START_TIMESTAMP: Pick = Pick {
    float: |samples, i| samples.start_timestamps.get(i).copied().unwrap_or(0) as f64 / 1000.0,
    histogram: |sample| Cell::Float(sample.start_timestamp as f64 / 1000.0),
};

/// Looks all steps up; the windows of `times` are the lookbacks. A stale marker ends a series: what lies before it does not
/// count (promql/engine.go, vectorSelectorSingle).
#[inline]
pub(super) fn latest(samples: &Samples, times: &WindowTimes, out: &mut [f64], pick: impl Fn(&Samples, usize) -> f64) {
    let Samples { timestamps, values, .. } = samples;
    let mut behind = 0;
    let mut last_end = Millis::MIN;
    for (step, cell) in out.iter_mut().enumerate() {
        let end = times.end(step);
        if end < last_end {
            // Times that wrapped around: begin again.
            behind = 0;
        }
        last_end = end;
        while behind < timestamps.len() && timestamps[behind] <= end {
            behind += 1;
        }
        *cell = match behind.checked_sub(1) {
            Some(i) if timestamps[i] > times.start(end) && !is_stale(values[i]) => pick(samples, i),
            _ => ABSENT,
        };
    }
}

/// The same for a column with histograms: the newest sample of either kind counts. Cells of histograms go to `cells`.
pub(super) fn latest_of_both(
    samples: &Samples,
    times: &WindowTimes,
    out: &mut [f64],
    cells: &mut HistogramCells,
    pick: Pick,
) {
    let Samples { timestamps, values, histograms, .. } = samples;
    for (step, cell) in out.iter_mut().enumerate() {
        let end = times.end(step);
        let start = times.start(end);
        let float = timestamps.partition_point(|time| *time <= end).checked_sub(1).filter(|i| timestamps[*i] > start);
        let behind = histograms.partition_point(|sample| sample.timestamp <= end);
        let histogram = histograms[..behind].last().filter(|sample| sample.timestamp > start);
        // The newer one counts.
        let found = match (float, histogram.filter(|sample| float.is_none_or(|i| timestamps[i] <= sample.timestamp))) {
            (_, Some(sample)) if sample.histogram.is_stale() => Cell::Absent,
            (_, Some(sample)) => (pick.histogram)(sample),
            (Some(i), None) if !is_stale(values[i]) => Cell::Float((pick.float)(samples, i)),
            _ => Cell::Absent,
        };
        *cell = found.write(step, cells);
    }
}
