//! Sums and differences of histograms within a window, with what there is to be told of them.

use masthead_store::histogram::{Combined, CounterResetHint, Histogram, HistogramError};

use crate::engine::scan::notes::{Finding, Findings};

pub(super) fn is_gauge(histogram: &Histogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// Adds `other`, with what there is to be told; None where it does not fit.
pub(super) fn add(sum: &mut Histogram, other: &Histogram, findings: &mut Findings) -> Option<()> {
    tell(sum.add(other), Finding::BoundsInAddition, findings)
}

/// Subtracts `other`, with what there is to be told; None where it does not fit.
pub(super) fn subtract(from: &mut Histogram, other: &Histogram, findings: &mut Findings) -> Option<()> {
    tell(from.sub(other), Finding::BoundsInSubtraction, findings)
}

fn tell(done: Result<Combined, HistogramError>, reconciled: Finding, findings: &mut Findings) -> Option<()> {
    let Ok(combined) = done else {
        findings.add(Finding::MixedBuckets);
        return None;
    };
    findings.add_if(combined.bounds_reconciled, reconciled);
    Some(())
}
