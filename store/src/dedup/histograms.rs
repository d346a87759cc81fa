//! Overlapping histogram samples of one lane: which of several at one time counts, and what its hint is worth.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use crate::histogram::{CounterResetHint, Span};
use crate::samples::{HistogramSample, Samples, is_stale};

/// Appends the histograms of `samples`, which lie part after part, to `out`, whose floats from index `floats` on are
/// merged already. The histograms are taken out of `samples`.
///
/// Of those at the same time the first in [`order`] counts, so that it does not matter who sent what in which order; a
/// float counts before all of them. A hint that there was no reset is about the sample before in the same chunk, and is
/// kept only where that sample is what stands before.
pub(super) fn merge(samples: &mut Samples, parts: &[Range<usize>], floats: usize, out: &mut Samples) {
    let all = &samples.histograms;
    let is_first = |i: usize| parts.binary_search_by(|part| part.start.cmp(&i)).is_ok();
    let mut sorted: Vec<usize> = (0..all.len()).collect();
    sorted.sort_unstable_by(|a, b| order(&all[*a], &all[*b]));
    let first = out.histograms.len();
    let mut float = floats;
    for same_time in sorted.chunk_by(|a, b| all[*a].timestamp == all[*b].timestamp) {
        let winner = &all[same_time[0]];
        float += out.timestamps[float..].partition_point(|time| *time < winner.timestamp);
        if out.timestamps.get(float) == Some(&winner.timestamp) {
            continue;
        }
        let last = out.histograms.get(first..).and_then(<[_]>::last);
        let follows = |i: usize| match last {
            Some(last) => !is_first(i) && order(&all[i - 1], last) == Ordering::Equal,
            None => is_first(i),
        };
        let mut equal = same_time.iter().take_while(|i| order(&all[**i], winner) == Ordering::Equal);
        let is_known = equal.any(|i| all[*i].histogram.counter_reset_hint == CounterResetHint::NotReset && follows(*i));
        let mut sample = winner.clone();
        if is_known && sample.histogram.counter_reset_hint == CounterResetHint::Unknown {
            Arc::make_mut(&mut sample.histogram).counter_reset_hint = CounterResetHint::NotReset;
        } else if !is_known {
            forget_hint(&mut sample);
        }
        out.histograms.push(sample);
    }
    samples.histograms.clear();
}

/// For a sample that follows another one than the one that its hint is about.
pub(super) fn forget_hint(sample: &mut HistogramSample) {
    if matches!(sample.histogram.counter_reset_hint, CounterResetHint::Reset | CounterResetHint::NotReset) {
        Arc::make_mut(&mut sample.histogram).counter_reset_hint = CounterResetHint::Unknown;
    }
}

/// By time; of those at the same time the one that counts is first: a stale marker, then the one with more
/// observations, then whatever tells two apart. Equal are those that differ in nothing but what they know of resets.
fn order(a: &HistogramSample, b: &HistogramSample) -> Ordering {
    let (x, y) = (&*a.histogram, &*b.histogram);
    let is_gauge = |hint| hint == CounterResetHint::Gauge;
    let by_total = || y.count.total_cmp(&x.count).then_with(|| y.sum.total_cmp(&x.sum));
    let by_scale = || {
        let by_kind = is_gauge(y.counter_reset_hint).cmp(&is_gauge(x.counter_reset_hint));
        by_kind
            .then_with(|| y.schema.cmp(&x.schema))
            .then_with(|| y.zero_threshold.total_cmp(&x.zero_threshold))
            .then_with(|| y.zero_count.total_cmp(&x.zero_count))
    };
    let by_buckets = || {
        by_numbers(&y.positive_buckets, &x.positive_buckets)
            .then_with(|| by_numbers(&y.negative_buckets, &x.negative_buckets))
            .then_with(|| by_spans(&y.positive_spans, &x.positive_spans))
            .then_with(|| by_spans(&y.negative_spans, &x.negative_spans))
            .then_with(|| by_numbers(&y.custom_bounds, &x.custom_bounds))
    };
    a.timestamp
        .cmp(&b.timestamp)
        .then_with(|| is_stale(y.sum).cmp(&is_stale(x.sum)))
        .then_with(by_total)
        .then_with(by_scale)
        .then_with(by_buckets)
        .then_with(|| b.start_timestamp.cmp(&a.start_timestamp))
}

fn by_numbers(a: &[f64], b: &[f64]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn by_spans(a: &[Span], b: &[Span]) -> Ordering {
    let key = |span: &Span| (span.offset, span.length);
    a.iter().map(key).cmp(b.iter().map(key))
}
