//! Series descriptions of the test format: `metric{labels} 1+2x3 _ stale {{schema:1 …}}x2`.
//!
//! The grammar is upstream's (promql/parser/generated_parser.y, series_description). One thing it lets pass is refused here:
//! it skips what it does not understand in a list of buckets.

use masthead_store::Labels;
use masthead_store::histogram::{Combined, Histogram, HistogramError};

use super::parser::Parser;
use super::{ParseError, ParseOptions};

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

/// How a sequence goes on from one histogram to the next.
pub(super) type Combine = fn(&mut Histogram, &Histogram) -> Result<Combined, HistogramError>;

/// `base`, then `times` more, each by `change` more (or less) than the one before.
pub(super) fn sequence(
    base: Histogram,
    change: &Histogram,
    combine: Combine,
    times: usize,
) -> Result<Vec<Histogram>, String> {
    let mut values = vec![base];
    for _ in 0..times {
        let Some(last) = values.last() else { break };
        if last.schema > change.schema {
            let (from, to) = (change.schema, last.schema);
            return Err(format!("error combining histograms: cannot merge from schema {from} to {to}"));
        }
        let mut next = last.clone();
        combine(&mut next, change).map_err(|error| error.to_string())?;
        values.push(next);
    }
    Ok(values)
}

#[cfg(test)]
mod tests;
