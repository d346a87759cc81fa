//! A series, settled and marked: ready for windows to slide over it.

use std::sync::atomic::AtomicBool;

use masthead_store::Samples;
use masthead_store::samples::is_stale;

use super::lanes::{Lanes, Levels};
use super::marks::{self, Marks};
use super::times::WindowTimes;
use crate::engine::arguments::Arguments;

/// What is prepared once a series for its windows. Reused from series to series.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    /// Of the floats.
    pub(super) marks: Vec<usize>,
    /// Of the histograms.
    pub(super) histogram_marks: Vec<usize>,
    /// Of the floats.
    pub(super) lanes: Lanes,
    /// Room for kernels.
    pub(super) buffer: Vec<f64>,
}

/// A column with all that its windows need to know, and the scalars of the function.
pub(super) struct Column<'a> {
    pub(super) times: WindowTimes,
    pub(super) samples: &'a Samples,
    /// Start timestamps count.
    pub(super) with_start_timestamps: bool,
    pub(super) prepared: &'a mut Prepared,
    /// Scalar arguments.
    pub(super) args: &'a Arguments,
    pub(super) range_seconds: f64,
    /// Ends the work; cells that are not computed yet stay as they are.
    pub(super) cancelled: &'a AtomicBool,
}

impl Prepared {
    /// Makes samples as they were decoded ready for windows: takes stale markers out and levels the lanes.
    pub(super) fn settle(&mut self, samples: &mut Samples, levels: Levels, with_start_timestamps: bool) {
        drop_stale(samples);
        samples.histograms.retain(|sample| !sample.histogram.is_stale());
        self.lanes.level(levels, samples, with_start_timestamps);
    }

    /// Finds the marks of a column that is settled.
    pub(super) fn mark(&mut self, marks: Marks, samples: &Samples, with_start_timestamps: bool) {
        marks::mark_floats(marks, samples, &self.lanes, with_start_timestamps, &mut self.marks);
        marks::mark_histograms(marks, samples, with_start_timestamps, &mut self.histogram_marks);
    }
}

/// Takes the stale markers out of the floats.
fn drop_stale(samples: &mut Samples) {
    if !samples.values.iter().fold(false, |any, value| any | is_stale(*value)) {
        return;
    }
    let Samples { timestamps, values, start_timestamps, runs, .. } = samples;
    let with_starts = !start_timestamps.is_empty();
    let (mut kept, mut run) = (0, 0);
    for i in 0..values.len() {
        while runs.get(run).is_some_and(|next| next.start == i) {
            runs[run].start = kept;
            run += 1;
        }
        if is_stale(values[i]) {
            continue;
        }
        values[kept] = values[i];
        timestamps[kept] = timestamps[i];
        if with_starts {
            start_timestamps[kept] = start_timestamps[i];
        }
        kept += 1;
    }
    values.truncate(kept);
    timestamps.truncate(kept);
    start_timestamps.truncate(kept);
    // A run of stale markers alone has become empty: the run behind it begins where it began.
    runs.retain(|run| run.start < kept);
    runs.dedup_by(|later, earlier| {
        let empty = later.start == earlier.start;
        if empty {
            *earlier = *later;
        }
        empty
    });
}
