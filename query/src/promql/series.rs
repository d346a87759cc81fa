//! Series descriptions of the test format: `metric{labels} 1+2x3 _ stale {{schema:1 …}}x2`.
//!
//! The grammar is upstream's (promql/parser/generated_parser.y, series_description). One thing it lets pass is refused here:
//! it skips what it does not understand in a list of buckets.

use std::collections::BTreeMap;

use masthead_store::Labels;
use masthead_store::histogram::{CounterResetHint, Histogram, Span as BucketSpan};

use super::parser::Parser;
use super::{ParseError, ParseOptions};

/// Schema of histograms with custom bounds.
const CUSTOM_BOUNDS: i32 = -53;

/// One step of a described series.
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`: no sample.
    Omitted,
    /// A float; the stale marker where `stale` is written.
    Float(f64),
    /// A histogram that says nothing about counter resets, so that a comparison leaves its hint out.
    Histogram(Histogram),
    /// A histogram with `counter_reset_hint` written, which a comparison takes into account.
    HintedHistogram(Histogram),
}

/// Parses a series description: labels and values, one for each step.
pub fn parse_series(text: &str, options: &ParseOptions) -> Result<(Labels, Vec<SequenceValue>), ParseError> {
    Parser::series(text, options)
        .and_then(|mut parser| parser.parse_series())
        .map_err(|fault| ParseError::new(fault, text))
}

/// `base`, then `times` more, each by `change` more (or less) than the one before.
pub(super) fn sequence(base: Histogram, change: &Histogram, sign: f64, times: usize) -> Result<Vec<Histogram>, String> {
    let mut values = vec![base];
    for _ in 0..times {
        let Some(last) = values.last() else { break };
        if last.schema > change.schema {
            let (from, to) = (change.schema, last.schema);
            return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
        }
        values.push(combine(last, change, sign)?);
    }
    Ok(values)
}

/// `base + sign * other` for histograms of one kind with equal zero buckets and bounds; `other` may be finer.
fn combine(base: &Histogram, other: &Histogram, sign: f64) -> Result<Histogram, String> {
    if (base.schema == CUSTOM_BOUNDS) != (other.schema == CUSTOM_BOUNDS) {
        return Err(
            "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas".into()
        );
    }
    if base.custom_bounds != other.custom_bounds {
        return Err("not supported yet: combining histograms of different custom bounds".into());
    }
    if base.zero_threshold != other.zero_threshold {
        return Err("not supported yet: combining histograms of different zero thresholds".into());
    }
    let finer = u32::try_from(other.schema - base.schema).unwrap_or(0);
    let side = |base: (&[BucketSpan], &[f64]), other: (&[BucketSpan], &[f64])| {
        let mut buckets: BTreeMap<i64, f64> = indexed(base.0, base.1).collect();
        for (index, count) in indexed(other.0, other.1) {
            let index = if finer == 0 { index } else { ((index - 1) >> finer.min(63)) + 1 };
            *buckets.entry(index).or_insert(0.0) += sign * count;
        }
        layout(&buckets)
    };
    let (positive_spans, positive_buckets) =
        side((&base.positive_spans, &base.positive_buckets), (&other.positive_spans, &other.positive_buckets));
    let (negative_spans, negative_buckets) =
        side((&base.negative_spans, &base.negative_buckets), (&other.negative_spans, &other.negative_buckets));
    Ok(Histogram {
        counter_reset_hint: combined_hint(base.counter_reset_hint, other.counter_reset_hint),
        zero_count: base.zero_count + sign * other.zero_count,
        count: base.count + sign * other.count,
        sum: base.sum + sign * other.sum,
        positive_spans,
        negative_spans,
        positive_buckets,
        negative_buckets,
        ..base.clone()
    })
}

/// adjustCounterReset in model/histogram/float_histogram.go.
fn combined_hint(base: CounterResetHint, other: CounterResetHint) -> CounterResetHint {
    match (base, other) {
        (a, b) if a == b => a,
        (CounterResetHint::Gauge, _) | (_, CounterResetHint::Gauge) => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

/// Buckets with their indexes.
fn indexed<'a>(spans: &'a [BucketSpan], counts: &'a [f64]) -> impl Iterator<Item = (i64, f64)> + 'a {
    let mut next = 0i64;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    });
    indexes.zip(counts.iter().copied())
}

/// Spans and counts of indexed buckets.
fn layout(buckets: &BTreeMap<i64, f64>) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = 0;
    for index in buckets.keys() {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: (index - next) as i32, length: 1 }),
        }
        next = index + 1;
    }
    (spans, buckets.values().copied().collect())
}

#[cfg(test)]
mod tests;
