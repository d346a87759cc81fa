//! `sum_over_time` and `avg_over_time` of native histograms (promql/functions.go, funcSumOverTime and funcAvgOverTime).

use masthead_store::histogram::{CounterResetHint, Histogram, HistogramError};
use masthead_store::samples::HistogramSample;

use crate::engine::scan::notes::{Finding, Findings};
use crate::engine::scan::window::{Cell, Histograms, Step, Window};

/// A sum of histograms with what was lost in it.
struct Sum {
    sum: Histogram,
    compensation: Option<Histogram>,
    bounds_reconciled: bool,
}

impl Sum {
    fn new(first: &Histogram) -> Self {
        Self { sum: first.clone(), compensation: None, bounds_reconciled: false }
    }

    /// The sum of some samples, at least one.
    fn of(samples: &[HistogramSample]) -> Result<Self, HistogramError> {
        let mut sum = Self::new(&samples[0].histogram);
        samples[1..].iter().try_for_each(|sample| sum.add(&sample.histogram))?;
        Ok(sum)
    }

    fn add(&mut self, histogram: &Histogram) -> Result<(), HistogramError> {
        self.bounds_reconciled |= self.sum.kahan_add(histogram, &mut self.compensation)?.bounds_reconciled;
        Ok(())
    }

    fn mul(&mut self, factor: f64) {
        self.sum.mul(factor);
        self.compensation.iter_mut().for_each(|compensation| compensation.mul(factor));
    }

    fn div(&mut self, divisor: f64) {
        self.sum.div(divisor);
        self.compensation.iter_mut().for_each(|compensation| compensation.div(divisor));
    }

    /// What was lost comes back.
    fn settle(&mut self) -> Result<(), HistogramError> {
        if let Some(compensation) = self.compensation.take() {
            self.bounds_reconciled |= self.sum.add(&compensation)?.bounds_reconciled;
        }
        Ok(())
    }
}

pub(super) fn sum(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, |samples| {
        let mut sum = Sum::of(samples)?;
        sum.settle()?;
        Ok(sum)
    })
}

/// Mean: directly as long as the sum is finite, then incrementally.
pub(super) fn avg(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, |samples| {
        let mut sum = Sum::new(&samples[0].histogram);
        for (i, sample) in samples.iter().enumerate().skip(1) {
            sum.add(&sample.histogram)?;
            if sum.sum.has_overflow() {
                return incremental_avg(samples, i, sum.bounds_reconciled);
            }
        }
        sum.div(samples.len() as f64);
        sum.settle()?;
        Ok(sum)
    })
}

/// The mean of all, where the sum of the first `from` is the last one that is finite.
#[cold]
fn incremental_avg(samples: &[HistogramSample], from: usize, bounds_reconciled: bool) -> Result<Sum, HistogramError> {
    let mut mean = Sum::of(&samples[..from])?;
    mean.bounds_reconciled |= bounds_reconciled;
    mean.div(from as f64);
    for (i, sample) in samples.iter().enumerate().skip(from) {
        let count = (i + 1) as f64;
        mean.mul((count - 1.0) / count);
        let mut share = (*sample.histogram).clone();
        share.div(count);
        mean.add(&share)?;
    }
    mean.settle()?;
    Ok(mean)
}

/// What `compute` makes of the histograms, where they are alone and fit together.
fn aggregated(
    window: &Window<'_>,
    histograms: &Histograms<'_>,
    step: &mut Step<'_>,
    compute: impl Fn(&[HistogramSample]) -> Result<Sum, HistogramError>,
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
    sum.sum.into()
}
