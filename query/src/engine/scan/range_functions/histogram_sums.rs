//! `sum_over_time` and `avg_over_time` of native histograms (promql/functions.go, funcSumOverTime and funcAvgOverTime).

use masthead_store::histogram::{CounterResetHint, Histogram, HistogramError, Sum};
use masthead_store::samples::HistogramSample;

use crate::engine::scan::notes::{Finding, Findings};
use crate::engine::scan::window::{Cell, Histograms, Step, Window};

/// A sum of histograms, and whether custom bounds had to be reconciled for it.
struct Reconciled {
    sum: Sum,
    bounds_reconciled: bool,
}

impl Reconciled {
    fn new(first: &Histogram) -> Self {
        Self { sum: Sum::new(first.clone()), bounds_reconciled: false }
    }

    /// The sum of some samples, at least one.
    fn of(samples: &[HistogramSample]) -> Result<Self, HistogramError> {
        let mut sum = Self::new(&samples[0].histogram);
        samples[1..].iter().try_for_each(|sample| sum.add(&sample.histogram))?;
        Ok(sum)
    }

    fn add(&mut self, histogram: &Histogram) -> Result<(), HistogramError> {
        self.bounds_reconciled |= self.sum.add(histogram)?.bounds_reconciled;
        Ok(())
    }
}

pub(super) fn sum(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, Reconciled::of)
}

/// Mean: directly as long as the sum is finite, then incrementally.
pub(super) fn avg(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, |samples| {
        let mut sum = Reconciled::new(&samples[0].histogram);
        for (i, sample) in samples.iter().enumerate().skip(1) {
            sum.add(&sample.histogram)?;
            if sum.sum.value().has_overflow() {
                return incremental_avg(samples, i, sum.bounds_reconciled);
            }
        }
        sum.sum.div(samples.len() as f64);
        Ok(sum)
    })
}

/// The mean of all, where the sum of the first `from` is the last one that is finite.
#[cold]
fn incremental_avg(
    samples: &[HistogramSample],
    from: usize,
    bounds_reconciled: bool,
) -> Result<Reconciled, HistogramError> {
    let mut mean = Reconciled::of(&samples[..from])?;
    mean.bounds_reconciled |= bounds_reconciled;
    mean.sum.div(from as f64);
    for (i, sample) in samples.iter().enumerate().skip(from) {
        let count = (i + 1) as f64;
        mean.sum.mul((count - 1.0) / count);
        let mut share = (*sample.histogram).clone();
        share.div(count);
        mean.add(&share)?;
    }
    Ok(mean)
}

/// What `compute` makes of the histograms, where they are alone and fit together.
fn aggregated(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    step: &mut Step<'_>,
    compute: impl Fn(&[HistogramSample]) -> Result<Reconciled, HistogramError>,
) -> Cell {
    if !window.values.is_empty() {
        step.notes.find(Finding::MixedWithFloats);
        return Cell::Absent;
    }
    let Ok(sum) = compute(histograms.samples) else {
        step.notes.find(Finding::MixedBuckets);
        return Cell::Absent;
    };
    let hinted = |hint| histograms.samples.iter().any(|sample| sample.histogram.counter_reset_hint == hint);
    let mut findings = Findings::default();
    let collision = hinted(CounterResetHint::Reset) && hinted(CounterResetHint::NotReset);
    findings.add_if(collision, Finding::ResetCollision);
    findings.add_if(sum.bounds_reconciled, Finding::BoundsInAggregation);
    step.notes.find_all(findings);
    sum.sum.total().into()
}
