//! `sum_over_time` and `avg_over_time` of native histograms (promql/functions.go, funcSumOverTime and funcAvgOverTime).

use masthead_store::histogram::{CounterResetHint, Histogram, HistogramError};

use crate::engine::histogram_sum::HistogramSum;
use crate::engine::scan::notes::{Finding, Findings};
use crate::engine::scan::window::{Cell, Histograms, Step, Window};

pub(super) fn sum(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, (HistogramSum::add, HistogramSum::sum))
}

pub(super) fn avg(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>) -> Cell {
    aggregated(window, histograms, step, (HistogramSum::add_to_mean, HistogramSum::mean))
}

/// How histograms are added up, and what comes out.
type Fold = (fn(&mut HistogramSum, &Histogram) -> Result<bool, HistogramError>, fn(HistogramSum) -> Histogram);

/// The histograms added up, where they are alone and fit together.
fn aggregated(window: &Window<'_>, histograms: &Histograms<'_>, step: &mut Step<'_>, (add, result): Fold) -> Cell {
    if !window.values.is_empty() {
        step.notes.find(Finding::MixedWithFloats);
        return Cell::Absent;
    }
    let mut sum = HistogramSum::of(&histograms.first().histogram);
    let mut findings = Findings::default();
    for sample in &histograms.samples[1..] {
        let Ok(bounds_reconciled) = add(&mut sum, &sample.histogram) else {
            step.notes.find(Finding::MixedBuckets);
            return Cell::Absent;
        };
        findings.add_if(bounds_reconciled, Finding::BoundsInAggregation);
    }
    let hinted = |hint| histograms.samples.iter().any(|sample| sample.histogram.counter_reset_hint == hint);
    let collision = hinted(CounterResetHint::Reset) && hinted(CounterResetHint::NotReset);
    findings.add_if(collision, Finding::ResetCollision);
    step.notes.find_all(findings);
    result(sum).into()
}
