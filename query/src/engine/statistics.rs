//! How many samples the selectors of a query gave, counted as Prometheus counts them (util/stats/query_stats.go), for who asks
//! for it; nobody else pays for it.

use std::sync::atomic::{AtomicU64, Ordering};

use masthead_store::samples::is_stale;
use masthead_store::{Millis, Samples};

use crate::plan::{ScanFunction, ScanSpec, Timeline};

/// Counts by step of the query.
#[derive(Debug)]
pub(super) struct Statistics {
    timeline: Timeline,
    looked_at: Vec<AtomicU64>,
    read: Vec<AtomicU64>,
}

/// The counts of a query that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleCounts {
    /// By step: the samples of all windows, those that several windows share as often (`totalQueryableSamples`).
    pub looked_at: Vec<u64>,
    /// By step: the samples that no step before had read (`samplesRead`).
    pub read: Vec<u64>,
    /// The most that were held at once, as `--query.max-samples` counts them.
    pub peak: usize,
}

/// Where the steps of a selector lie among those of the query.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// They are the same.
    Same,
    /// It is evaluated once for all.
    Once,
    /// It is in a subquery.
    Inner,
}

impl Statistics {
    /// Nothing yet, of a query with these steps.
    pub(super) fn new(timeline: Timeline) -> Self {
        let zeros = || (0..timeline.count).map(|_| AtomicU64::new(0)).collect();
        Self { timeline, looked_at: zeros(), read: zeros() }
    }

    /// What was counted; `peak` is told by others.
    pub(super) fn counts(&self, peak: usize) -> SampleCounts {
        let load = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        SampleCounts { looked_at: load(&self.looked_at), read: load(&self.read), peak }
    }

    /// Counts a row of a selector, or of a subquery (`from_rows`), whose samples were read from a store already.
    pub(super) fn add_row(&self, spec: &ScanSpec, samples: &Samples, from_rows: bool) {
        let place = self.place(&spec.timeline);
        let is_window = matches!(spec.function, ScanFunction::Range(_) | ScanFunction::Raw);
        let reach = if is_window { spec.range } else { spec.lookback };
        let mut newest = Millis::MIN;
        for step in 0..spec.timeline.count {
            let at = spec.timeline.at(step);
            let end = spec.at.unwrap_or(at).wrapping_sub(spec.offset);
            let start = end.wrapping_sub(reach);
            let (all, new) = match is_window {
                true => (within(samples, start, end), within(samples, start.max(newest), end)),
                false => {
                    let found = at_lookup(samples, start, end);
                    (found, found)
                }
            };
            newest = end;
            self.add(place, step, at, (all, if from_rows { 0 } else { new }));
        }
    }

    fn place(&self, of: &Timeline) -> Place {
        match () {
            () if *of == self.timeline => Place::Same,
            () if of.count == 1 && of.start == self.timeline.start => Place::Once,
            () => Place::Inner,
        }
    }

    fn add(&self, place: Place, step: usize, at: Millis, (all, new): (u64, u64)) {
        let add = |counts: &[AtomicU64], step: usize, count: u64| {
            if let Some(sum) = counts.get(step).filter(|_| count > 0) {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        };
        match place {
            Place::Same => {
                add(&self.looked_at, step, all);
                add(&self.read, step, new);
            }
            Place::Once => {
                (0..self.timeline.count).for_each(|step| add(&self.looked_at, step, all));
                add(&self.read, 0, new);
            }
            // What was looked at is what the function of the subquery looks at; what was read counts at the step that first
            // needs it (MergeSamplesReadFromSubquery).
            Place::Inner => {
                let behind = at.saturating_sub(self.timeline.start).max(0);
                let step = behind.saturating_add(self.timeline.step - 1) / self.timeline.step.max(1);
                add(&self.read, (step as usize).min(self.timeline.count - 1), new);
            }
        }
    }
}

/// Samples in `(start, end]`; a histogram counts by its size.
fn within(samples: &Samples, start: Millis, end: Millis) -> u64 {
    let range = |times: &[Millis]| {
        let from = times.partition_point(|time| *time <= start);
        times[from..].partition_point(|time| *time <= end)
    };
    let from = samples.histograms.partition_point(|h| h.timestamp <= start);
    let histograms = samples.histograms[from..].iter().take_while(|h| h.timestamp <= end);
    let sizes: usize = histograms.map(|sample| sample.histogram.size_in_samples()).sum();
    (range(&samples.timestamps) + sizes) as u64
}

/// The size of the newest sample in `(start, end]`; none where it is a stale marker.
fn at_lookup(samples: &Samples, start: Millis, end: Millis) -> u64 {
    let floats = samples.timestamps.partition_point(|time| *time <= end);
    let float = floats.checked_sub(1).map(|i| (samples.timestamps[i], samples.values[i]));
    let float = float.filter(|(time, _)| *time > start);
    let histograms = samples.histograms.partition_point(|h| h.timestamp <= end);
    let histogram = histograms.checked_sub(1).map(|i| &samples.histograms[i]).filter(|h| h.timestamp > start);
    match (float, histogram) {
        (Some((time, value)), histogram) if histogram.is_none_or(|h| h.timestamp <= time) => {
            u64::from(!is_stale(value))
        }
        (_, Some(h)) if !is_stale(h.histogram.sum) => h.histogram.size_in_samples() as u64,
        _ => 0,
    }
}
