//! Sums and differences of histograms within a window, with what there is to be told of them.

use masthead_store::histogram::{CounterResetHint, Histogram};

use crate::engine::scan::notes::{Finding, Findings};

pub(super) fn is_gauge(histogram: &Histogram) -> bool {
    histogram.counter_reset_hint == CounterResetHint::Gauge
}

/// Adds `other`, with what there is to be told; None where it does not fit.
pub(super) fn add(sum: &mut Histogram, other: &Histogram, findings: &mut Findings) -> Option<()> {
    let Ok(combined) = sum.add(other) else {
        findings.add(Finding::MixedBuckets);
        return None;
    };
    findings.add_if(combined.bounds_reconciled, Finding::BoundsInAddition);
    Some(())
}

/// Subtracts `other`, with what there is to be told; None where it does not fit.
pub(super) fn subtract(from: &mut Histogram, other: &Histogram, findings: &mut Findings) -> Option<()> {
    let Ok(combined) = from.sub(other) else {
        findings.add(Finding::MixedBuckets);
        return None;
    };
    findings.add_if(combined.bounds_reconciled, Finding::BoundsInSubtraction);
    Some(())
}
