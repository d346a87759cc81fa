//! Whether the parts of a histogram fit together: Validate in model/histogram/float_histogram.go.

use super::{Histogram, HistogramError, Span, is_exponential};

impl Histogram {
    /// Checks layout and signs. The count may differ from the sum over the buckets: floats do not add up exactly.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.has_custom_bounds() {
            self.validate_custom()?;
        } else if is_exponential(self.schema) {
            within("positive side", check_spans(&self.positive_spans, self.positive_buckets.len(), 1))?;
            within("negative side", check_spans(&self.negative_spans, self.negative_buckets.len(), 1))?;
            within("negative side", check_counts(&self.negative_buckets))?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZeroBucket(self.zero_count));
            }
            if !self.custom_bounds.is_empty() {
                return Err(HistogramError::ExponentialBounds);
            }
        } else {
            return Err(HistogramError::InvalidSchema(self.schema));
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount(self.count));
        }
        within("positive side", check_counts(&self.positive_buckets))
    }

    fn validate_custom(&self) -> Result<(), HistogramError> {
        within("custom buckets", check_bounds(&self.custom_bounds))?;
        within("custom buckets", check_spans(&self.positive_spans, self.positive_buckets.len(), 0))?;
        let length = |span: &Span| i64::from(span.offset) + i64::from(span.length);
        let length: i64 = self.positive_spans.iter().map(length).sum();
        if self.custom_bounds.len() as i64 + 1 < length {
            let error = HistogramError::TooFewBounds { bounds: self.custom_bounds.len(), length };
            return within("custom buckets", Err(error));
        }
        if self.zero_count != 0.0 {
            return Err(HistogramError::CustomZeroCount);
        }
        if self.zero_threshold != 0.0 {
            return Err(HistogramError::CustomZeroThreshold);
        }
        if !self.negative_spans.is_empty() {
            return Err(HistogramError::CustomNegativeSpans);
        }
        if !self.negative_buckets.is_empty() {
            return Err(HistogramError::CustomNegativeBuckets);
        }
        Ok(())
    }
}

fn within(part: &'static str, result: Result<(), HistogramError>) -> Result<(), HistogramError> {
    result.map_err(|error| HistogramError::Within { part, error: Box::new(error) })
}

/// Spans from the one at `signed` on have no negative offset, and there are as many buckets as they need.
fn check_spans(spans: &[Span], have: usize, signed: usize) -> Result<(), HistogramError> {
    for (at, span) in spans.iter().enumerate().skip(signed) {
        if span.offset < 0 {
            return Err(HistogramError::NegativeOffset { number: at + 1, offset: span.offset });
        }
    }
    let need = spans.iter().map(|span| span.length as usize).sum();
    if need == have { Ok(()) } else { Err(HistogramError::SpansMismatch { need, have }) }
}

fn check_counts(counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(at) => Err(HistogramError::NegativeBucket { number: at + 1, count: counts[at] }),
        None => Ok(()),
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    if bounds.first().is_some_and(|bound| bound.is_nan()) {
        return Err(HistogramError::NanBound);
    }
    for pair in bounds.windows(2) {
        let (previous, current) = (pair[0], pair[1]);
        if current.is_nan() {
            return Err(HistogramError::NanBound);
        }
        if current <= previous {
            return Err(HistogramError::UnorderedBounds { previous, current });
        }
    }
    match bounds.last() {
        Some(last) if *last == f64::INFINITY => Err(HistogramError::InfiniteBound),
        _ => Ok(()),
    }
}
