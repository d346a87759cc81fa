//! What is wrong with a histogram, in upstream's words (model/histogram/generic.go and float_histogram.go).

use std::fmt;

use crate::go_float::{fixed, shortest};

/// Why histograms are invalid or do not go together.
#[derive(Debug, Clone, PartialEq)]
pub enum HistogramError {
    /// One has exponential buckets, the other custom bounds.
    IncompatibleSchemas,
    /// A schema that no histogram here has.
    InvalidSchema(i32),
    /// A span, counted from 1, begins before the end of the one before.
    NegativeOffset {
        /// Which span.
        number: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets do not fit together.
    SpansMismatch {
        /// Buckets by the spans.
        need: usize,
        /// Buckets there are.
        have: usize,
    },
    /// A bucket, counted from 1, holds less than nothing.
    NegativeBucket {
        /// Which bucket.
        number: usize,
        /// What it holds.
        count: f64,
    },
    /// The zero bucket holds less than nothing.
    NegativeZeroBucket(f64),
    /// Less than no observations.
    NegativeCount(f64),
    /// Spans reach beyond the custom bounds.
    TooFewBounds {
        /// Number of bounds.
        bounds: usize,
        /// Where the spans end.
        length: i64,
    },
    /// Custom bounds do not ascend.
    UnorderedBounds {
        /// A bound.
        previous: f64,
        /// The next one.
        current: f64,
    },
    /// +Inf is written among the custom bounds.
    InfiniteBound,
    /// NaN is among the custom bounds.
    NanBound,
    /// Custom bounds with a populated zero bucket.
    CustomZeroCount,
    /// Custom bounds with a zero threshold.
    CustomZeroThreshold,
    /// Custom bounds with negative spans.
    CustomNegativeSpans,
    /// Custom bounds with negative buckets.
    CustomNegativeBuckets,
    /// Custom bounds in an exponential schema.
    ExponentialBounds,
    /// An error in a part of the histogram.
    Within {
        /// The part.
        part: &'static str,
        /// What is wrong there.
        error: Box<HistogramError>,
    },
}

impl fmt::Display for HistogramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NEGATIVE_BUCKET: &str = "histogram has a bucket whose observation count is negative";
        match self {
            Self::IncompatibleSchemas => f.write_str(
                "cannot apply this operation on histograms with a mix of exponential and custom bucket schemas",
            ),
            Self::InvalidSchema(schema) => write!(
                f,
                "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
                 buckets, got schema {schema}"
            ),
            Self::NegativeOffset { number, offset } => {
                write!(f, "span number {number} with offset {offset}: histogram has a span whose offset is negative")
            }
            Self::SpansMismatch { need, have } => write!(
                f,
                "spans need {need} buckets, have {have} buckets: histogram spans specify different number of buckets than \
                 provided"
            ),
            Self::NegativeBucket { number, count } => {
                write!(f, "bucket number {number} has observation count of {}: {NEGATIVE_BUCKET}", shortest(*count))
            }
            Self::NegativeZeroBucket(count) => {
                write!(f, "zero bucket has observation count of {}: {NEGATIVE_BUCKET}", shortest(*count))
            }
            Self::NegativeCount(count) => {
                write!(f, "observation count is  {}: histogram's observation count is negative", shortest(*count))
            }
            Self::TooFewBounds { bounds, length } => write!(
                f,
                "only {bounds} custom bounds defined which is insufficient to cover total span length of {length}: \
                 histogram custom bounds are too few"
            ),
            Self::UnorderedBounds { previous, current } => write!(
                f,
                "previous bound is {} and current is {}: histogram custom bounds must be in strictly increasing order",
                fixed(*previous),
                fixed(*current)
            ),
            Self::InfiniteBound => {
                f.write_str("last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")
            }
            Self::NanBound => f.write_str("histogram custom bounds must not be NaN"),
            Self::CustomZeroCount => f.write_str("custom buckets: must have zero count of 0"),
            Self::CustomZeroThreshold => f.write_str("custom buckets: must have zero threshold of 0"),
            Self::CustomNegativeSpans => f.write_str("custom buckets: must not have negative spans"),
            Self::CustomNegativeBuckets => f.write_str("custom buckets: must not have negative buckets"),
            Self::ExponentialBounds => f.write_str("histogram with exponential schema must not have custom bounds"),
            Self::Within { part, error } => write!(f, "{part}: {error}"),
        }
    }
}

impl std::error::Error for HistogramError {}
