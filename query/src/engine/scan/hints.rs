//! What histograms say of counter resets, where they are changed or are no neighbours any more.

use std::sync::Arc;

use masthead_store::Samples;
use masthead_store::histogram::{CounterResetHint, Histogram};

use crate::engine::batch::HistogramCell;

/// Leaves count, sum and schema of each histogram. What is not known of resets is found out before the buckets go
/// (promql/histogram_stats_iterator.go).
pub(super) fn keep_stats(samples: &mut Samples) {
    let mut before: Option<Arc<Histogram>> = None;
    for sample in &mut samples.histograms {
        let whole = Arc::clone(&sample.histogram);
        let counter_reset_hint = match (whole.counter_reset_hint, &before) {
            (CounterResetHint::Unknown, Some(before)) if !whole.is_stale() => match whole.detect_reset(before) {
                true => CounterResetHint::Reset,
                false => CounterResetHint::NotReset,
            },
            (hint, _) => hint,
        };
        let Histogram { schema, count, sum, .. } = *whole;
        let stats = Histogram { counter_reset_hint, schema, count, sum, ..Histogram::default() };
        sample.histogram = Arc::new(stats);
        if !whole.is_stale() {
            before = Some(whole);
        }
    }
}

/// The histograms of a row without what stored hints say of resets: what the samples were picked by does not give
/// neighbours, or gives some twice (promql/engine.go, evalSubquery). Neighbours that are one histogram stay one.
pub(in crate::engine) fn without_reset_hints(cells: &[HistogramCell]) -> impl Iterator<Item = (u32, Arc<Histogram>)> {
    let mut last: Option<(&Arc<Histogram>, Arc<Histogram>)> = None;
    cells.iter().map(move |(_, step, histogram)| {
        let without = match &last {
            Some((before, without)) if Arc::ptr_eq(before, histogram) => Arc::clone(without),
            _ => without_reset_hint(histogram),
        };
        last = Some((histogram, Arc::clone(&without)));
        (*step, without)
    })
}

fn without_reset_hint(histogram: &Arc<Histogram>) -> Arc<Histogram> {
    match histogram.counter_reset_hint {
        CounterResetHint::Unknown | CounterResetHint::Gauge => Arc::clone(histogram),
        CounterResetHint::Reset | CounterResetHint::NotReset => {
            Arc::new(Histogram { counter_reset_hint: CounterResetHint::Unknown, ..(**histogram).clone() })
        }
    }
}
