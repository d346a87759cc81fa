//! Buckets, one after another.

use super::bounds::{coarser, upper};
use super::{CUSTOM_SCHEMA, Histogram, Span};
use crate::go_math::log2;

/// A bucket with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Lower bound.
    pub lower: f64,
    /// Upper bound.
    pub upper: f64,
    /// Whether the lower bound belongs to the bucket.
    pub lower_inclusive: bool,
    /// Whether the upper bound belongs to the bucket.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: f64,
    /// Place within the schema and sign; 0 for the zero bucket.
    pub index: i32,
}

impl Bucket {
    /// The part of the bucket that lies at or below `value`, which is inside finite bounds: by lines, or on the scale
    /// of logarithms (Bucket.FractionBelow in model/histogram/generic.go).
    pub fn fraction_below(&self, value: f64, scale: Scale) -> f64 {
        if scale == Scale::Linear {
            return (value - self.lower) / (self.upper - self.lower);
        }
        let (lower, upper, at) = (log2(self.lower.abs()), log2(self.upper.abs()), log2(value.abs()));
        if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - ((at - upper) / (lower - upper)) }
    }
}

/// How observations are taken to be spread within a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly: custom bounds and the zero bucket.
    Linear,
    /// Evenly on the scale of logarithms: exponential buckets.
    Logarithmic,
}

/// Indexes and counts of the buckets of one side, in the order of their spans, from either end. Spans and counts that
/// do not fit together end the sequence early.
#[derive(Debug, Clone)]
pub(crate) struct Indexed<'a> {
    counts: &'a [f64],
    front: End<'a>,
    back: End<'a>,
}

/// Where an end of the sequence stands: the spans beyond, the next index (at the back: the one behind it), and how many
/// buckets of its span are left.
#[derive(Debug, Clone, Copy)]
struct End<'a> {
    spans: &'a [Span],
    index: i32,
    left: u32,
}

impl<'a> Indexed<'a> {
    pub(crate) fn new(spans: &'a [Span], counts: &'a [f64]) -> Self {
        let end = |end: i32, span: &Span| end.wrapping_add(span.offset).wrapping_add(span.length as i32);
        let back = End { spans, index: spans.iter().fold(0, end), left: spans.last().map_or(0, |span| span.length) };
        Self { counts, front: End { spans, index: 0, left: 0 }, back }
    }
}

impl Iterator for Indexed<'_> {
    type Item = (i32, f64);

    fn next(&mut self) -> Option<(i32, f64)> {
        let (count, rest) = self.counts.split_first()?;
        while self.front.left == 0 {
            let (span, behind) = self.front.spans.split_first()?;
            self.front = End { spans: behind, index: self.front.index.wrapping_add(span.offset), left: span.length };
        }
        self.counts = rest;
        let index = self.front.index;
        self.front.index = index.wrapping_add(1);
        self.front.left -= 1;
        Some((index, *count))
    }
}

impl DoubleEndedIterator for Indexed<'_> {
    fn next_back(&mut self) -> Option<(i32, f64)> {
        let (count, rest) = self.counts.split_last()?;
        while self.back.left == 0 {
            let (span, before) = self.back.spans.split_last()?;
            let left = before.last()?.length;
            self.back = End { spans: before, index: self.back.index.wrapping_sub(span.offset), left };
        }
        self.counts = rest;
        self.back.index = self.back.index.wrapping_sub(1);
        self.back.left -= 1;
        Some((self.back.index, *count))
    }
}

impl Histogram {
    /// All populated sides from the lowest bucket to the highest: negative ones, the zero bucket if it counts anything,
    /// positive ones. What overlaps the zero bucket is cut at its threshold (AllBucketIterator in
    /// model/histogram/float_histogram.go).
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> {
        let cut = |bucket| self.cut_at_zero(bucket);
        self.negative().rev().map(cut).chain(self.populated_zero()).chain(self.positive().map(cut))
    }

    /// As [`Histogram::buckets`], from the highest to the lowest.
    pub fn buckets_reversed(&self) -> impl Iterator<Item = Bucket> {
        let cut = |bucket| self.cut_at_zero(bucket);
        self.positive().rev().map(cut).chain(self.populated_zero()).chain(self.negative().map(cut))
    }

    /// The positive buckets, upwards from the zero bucket. Custom bounds know only these, whatever their bounds are.
    pub fn positive(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        Indexed::new(&self.positive_spans, &self.positive_buckets).map(|(index, count)| {
            let bound = |index| upper(index, self.schema, &self.custom_bounds);
            self.bucket(bound(index.wrapping_sub(1)), bound(index), index, count)
        })
    }

    /// The negative buckets, downwards from the zero bucket.
    pub fn negative(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        Indexed::new(&self.negative_spans, &self.negative_buckets).map(|(index, count)| {
            let bound = |index| -upper(index, self.schema, &[]);
            self.bucket(bound(index), bound(index.wrapping_sub(1)), index, count)
        })
    }

    /// The zero bucket, populated or not.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
            index: 0,
        }
    }

    fn bucket(&self, lower: f64, upper: f64, index: i32, count: f64) -> Bucket {
        let custom = self.schema == CUSTOM_SCHEMA;
        Bucket {
            lower,
            upper,
            lower_inclusive: if custom { index == 0 } else { lower < 0.0 },
            upper_inclusive: custom || upper > 0.0,
            count,
            index,
        }
    }

    fn populated_zero(&self) -> Option<Bucket> {
        (self.zero_count > 0.0).then(|| self.zero_bucket())
    }

    fn cut_at_zero(&self, mut bucket: Bucket) -> Bucket {
        if bucket.upper < 0.0 && bucket.upper > -self.zero_threshold {
            bucket.upper = -self.zero_threshold;
        } else if bucket.lower > 0.0 && bucket.lower < self.zero_threshold {
            bucket.lower = self.zero_threshold;
        }
        bucket
    }
}

/// Indexes and counts of one side at the resolution `to`, no finer than `from`; buckets that fall together are one.
pub(super) fn at_resolution<'a>(
    side: (&'a [Span], &'a [f64]),
    from: i32,
    to: i32,
) -> impl Iterator<Item = (i32, f64)> + use<'a> {
    let index = move |index| if from == to { index } else { coarser(index, from, to) };
    let mut buckets = Indexed::new(side.0, side.1).map(move |(at, count)| (index(at), count)).peekable();
    std::iter::from_fn(move || {
        let (index, mut count) = buckets.next()?;
        while let Some((_, more)) = buckets.next_if(|(next, _)| *next == index && from != to) {
            count += more;
        }
        Some((index, count))
    })
}
