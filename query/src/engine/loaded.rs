//! How many samples a query has loaded, with a limit (`--query.max-samples`).
//!
//! What counts is what Prometheus holds at that point (currentSamples in promql/engine.go), whether or not it is held here: the
//! points of a selector at all steps, until the expression that takes them in has been evaluated, and the raw samples of one
//! series at a time. So a query that Prometheus answers within its limit is answered here too, and one far beyond is refused
//! here too, though its memory is bounded by other means.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use masthead_store::Samples;

use super::statistics::{SampleCounts, Statistics};
use crate::error::QueryError;

/// The samples that one query may load. Clones share the count.
#[derive(Debug, Clone)]
pub struct SampleLimit(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    max: usize,
    loaded: AtomicUsize,
    /// The most at once, where somebody asks for it.
    peak: AtomicUsize,
    statistics: Option<Statistics>,
}

impl SampleLimit {
    /// At most `max` samples.
    pub fn new(max: usize) -> Self {
        Self::of(max, None)
    }

    /// As [`SampleLimit::new`], and counts for [`SampleLimit::counts`] what a query of so many steps reads.
    pub fn counting(max: usize, steps: usize) -> Self {
        Self::of(max, Some(Statistics::new(steps)))
    }

    fn of(max: usize, statistics: Option<Statistics>) -> Self {
        let (loaded, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Counts { max, loaded, peak, statistics }))
    }

    /// What was counted, where that was asked for.
    pub fn counts(&self) -> Option<SampleCounts> {
        Some(self.0.statistics.as_ref()?.counts(self.0.peak.load(Ordering::Relaxed)))
    }

    /// Where rows are counted, if anywhere.
    pub(super) fn statistics(&self) -> Option<&Statistics> {
        self.0.statistics.as_ref()
    }

    /// Nothing yet.
    pub(super) fn begin(&self) -> Loaded {
        Loaded { limit: self.clone(), samples: 0 }
    }

    /// Fails if so many samples are too many for a moment.
    pub(super) fn check(&self, passing: usize) -> Result<(), QueryError> {
        let held = self.0.loaded.load(Ordering::Relaxed).saturating_add(passing);
        if self.0.statistics.is_some() {
            self.0.peak.fetch_max(held, Ordering::Relaxed);
        }
        match held > self.0.max {
            true => Err(too_many()),
            false => Ok(()),
        }
    }
}

/// Samples that count until it is dropped.
#[derive(Debug)]
pub(super) struct Loaded {
    limit: SampleLimit,
    samples: usize,
}

impl Loaded {
    /// Counts more samples; fails if they are too many.
    pub(super) fn grow(&mut self, samples: usize) -> Result<(), QueryError> {
        self.limit.0.loaded.fetch_add(samples, Ordering::Relaxed);
        self.samples += samples;
        self.limit.check(0)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.limit.0.loaded.fetch_sub(self.samples, Ordering::Relaxed);
    }
}

/// How many samples a series counts for: one each float, a histogram by its size (promql/value.go, totalHPointSize).
pub(super) fn size_in_samples(samples: &Samples) -> usize {
    let histograms = samples.histograms.iter().map(|sample| sample.histogram.size_in_samples());
    samples.timestamps.len() + histograms.sum::<usize>()
}

/// Prometheus' words (ErrTooManySamples in promql/engine.go).
pub(super) fn too_many() -> QueryError {
    QueryError::Execution("query processing would load too many samples into memory in query execution".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_count_until_they_are_let_go() {
        let limit = SampleLimit::new(10);
        let mut a = limit.begin();
        let mut b = limit.begin();
        a.grow(6).unwrap();
        b.grow(4).unwrap();
        assert!(limit.check(0).is_ok() && limit.check(1).is_err());
        let refused = b.grow(1).unwrap_err();
        assert_eq!(refused.status(), ("execution", 422));
        drop(b);
        assert!(limit.check(4).is_ok() && limit.check(5).is_err());
        drop(a);
        assert!(limit.check(10).is_ok());
    }
}
