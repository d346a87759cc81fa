//! How many samples the selectors of a query gave, counted as Prometheus counts them (util/stats/query_stats.go), for who asks
//! for it; nobody else pays for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use masthead_store::samples::is_stale;
use masthead_store::{Millis, Samples};

use crate::plan::{ScanFunction, ScanSpec, Timeline};
use crate::promql::ast::RangeExtension;

/// The steps at which a part of a query is evaluated, and what they are to the query's own.
#[derive(Debug)]
pub(super) struct Level {
    /// The steps.
    pub(super) timeline: Timeline,
    above: Option<(Arc<Level>, Within)>,
}

/// What a level is to the one above.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// It is evaluated at the first step, for all.
    Once,
    /// Its steps are the samples of a function that looks so far back from so long before a step, ms.
    Function { offset: Millis, range: Millis },
    /// Its steps are the result.
    Result,
}

impl Level {
    /// The steps of the query.
    pub(super) fn of_query(timeline: Timeline) -> Arc<Self> {
        Arc::new(Self { timeline, above: None })
    }

    /// What is evaluated once for all steps of `above`.
    pub(super) fn once(above: &Arc<Self>) -> Arc<Self> {
        let timeline = Timeline::instant(above.timeline.start);
        Arc::new(Self { timeline, above: Some((Arc::clone(above), Within::Once)) })
    }

    /// The grid of a subquery, whose function is that of `spec`.
    pub(super) fn subquery(above: &Arc<Self>, grid: Timeline, spec: &ScanSpec) -> Arc<Self> {
        let within = match spec.function {
            ScanFunction::Raw => Within::Result,
            _ => Within::Function { offset: spec.offset, range: spec.range },
        };
        Arc::new(Self { timeline: grid, above: Some((Arc::clone(above), within)) })
    }

    /// The step of the query at which it counts what a step has read: the first one that needs it. None where no window
    /// needs it (MergeSamplesReadFromSubquery).
    fn reads_at(&self, step: usize) -> Option<usize> {
        let Some((above, within)) = &self.above else { return Some(step) };
        let Timeline { start, step: pace, count } = above.timeline;
        let (offset, range) = match *within {
            Within::Function { offset, range } if count > 1 => (offset, range),
            _ => return above.reads_at(0),
        };
        let time = self.timeline.at(step).wrapping_add(offset);
        let behind = time.saturating_sub(start).max(0);
        let at = (behind.saturating_add(pace - 1) / pace.max(1)).min(count as i64 - 1) as usize;
        let is_seen = time > above.timeline.at(at).wrapping_sub(range);
        if is_seen { above.reads_at(at) } else { None }
    }

    /// At which steps of the query counts what a step has looked at.
    fn looks_at(&self) -> Looks {
        match &self.above {
            None => Looks::Own,
            Some((_, Within::Function { .. })) => Looks::Nowhere,
            Some((above, Within::Once)) => match above.looks_at() {
                Looks::Own => Looks::Everywhere(1),
                Looks::Everywhere(times) => Looks::Everywhere(times * above.timeline.count as u64),
                Looks::Nowhere => Looks::Nowhere,
            },
            Some((_, Within::Result)) => Looks::Everywhere(1),
        }
    }
}

/// Where a step's looks count.
enum Looks {
    /// At the same step of the query.
    Own,
    /// At every one, so often.
    Everywhere(u64),
    /// At none: what the function of the subquery looks at counts instead.
    Nowhere,
}

/// Counts by step of the query.
#[derive(Debug)]
pub(super) struct Statistics {
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

impl Statistics {
    /// Nothing yet, of a query of so many steps.
    pub(super) fn new(steps: usize) -> Self {
        let zeros = || (0..steps).map(|_| AtomicU64::new(0)).collect();
        Self { looked_at: zeros(), read: zeros() }
    }

    /// What was counted; `peak` is told by others.
    pub(super) fn counts(&self, peak: usize) -> SampleCounts {
        let load = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        SampleCounts { looked_at: load(&self.looked_at), read: load(&self.read), peak }
    }

    /// Counts a row of a selector, or of a subquery (`from_rows`), whose samples were read from a store already.
    pub(super) fn add_row(&self, level: &Level, spec: &ScanSpec, samples: &Samples, from_rows: bool) {
        let looks = level.looks_at();
        let mut newest = Millis::MIN;
        for step in 0..spec.timeline.count {
            let end = spec.at.unwrap_or_else(|| spec.timeline.at(step)).wrapping_sub(spec.offset);
            let (all, new) = seen(spec, samples, end, newest);
            newest = end;
            match looks {
                Looks::Own => add(&self.looked_at[step..=step], all),
                Looks::Everywhere(times) => add(&self.looked_at, all * times),
                Looks::Nowhere => {}
            }
            if !from_rows && let Some(at) = level.reads_at(step) {
                add(&self.read[at..=at], new);
            }
        }
    }

    /// Counts samples that are a row of the result, of a query of one step.
    pub(super) fn add_result(&self, samples: usize) {
        add(&self.looked_at, samples as u64);
        add(&self.read, samples as u64);
    }
}

fn add(counts: &[AtomicU64], count: u64) {
    if count > 0 {
        counts.iter().for_each(|sum| _ = sum.fetch_add(count, Ordering::Relaxed));
    }
}

/// How many samples a step that ends at `end` looks at, and how many of them the step that ended at `newest` has not.
fn seen(spec: &ScanSpec, samples: &Samples, end: Millis, newest: Millis) -> (u64, u64) {
    let extended = if spec.extension.is_some() { spec.lookback } else { 0 };
    let after = if spec.extension == Some(RangeExtension::Smoothed) { spec.lookback } else { 0 };
    let found = match spec.function {
        ScanFunction::Range(_) | ScanFunction::Raw => {
            let start = end.wrapping_sub(spec.range).wrapping_sub(extended);
            let (end, newest) = (end.wrapping_add(after), newest.saturating_add(after));
            return (within(samples, start, end), within(samples, start.max(newest), end));
        }
        // Nobody counts those (promql/engine.go, smoothSeries).
        ScanFunction::Latest if after > 0 => 0,
        ScanFunction::Latest | ScanFunction::SampleTime => at_lookup(samples, end.wrapping_sub(spec.lookback), end),
        // A histogram's time is one sample.
        ScanFunction::Timestamp | ScanFunction::StartTimestamp => {
            at_lookup(samples, end.wrapping_sub(spec.lookback), end).min(1)
        }
    };
    (found, found)
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
