//! One side of a histogram: which buckets there are, and what is in them.

use std::sync::Arc;

use super::bounds::coarser;
use super::buckets::Indexed;
use super::{Histogram, Span};
use crate::kahan;

/// Whether the other operand is added or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

impl Sign {
    pub(super) fn of(self, value: f64) -> f64 {
        if self == Self::Minus { -value } else { value }
    }
}

/// Spans and counts of one sign, and where sums are compensated the low bits that each count has lost.
#[derive(Debug)]
pub(super) struct Side<'a> {
    /// Where the buckets lie.
    pub(super) spans: &'a mut Arc<[Span]>,
    /// What is in them.
    pub(super) counts: &'a mut Vec<f64>,
    /// Lost low bits, as many as counts.
    pub(super) lost: Option<&'a mut Vec<f64>>,
}

/// Spans, counts and lost bits of the other operand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Other<'a> {
    pub(super) spans: &'a [Span],
    pub(super) counts: &'a [f64],
    pub(super) lost: Option<&'a [f64]>,
}

impl<'a> Other<'a> {
    /// Places, indexes and counts of the buckets from index `first` on.
    fn from(self, first: i32) -> impl Iterator<Item = (usize, (i32, f64))> + use<'a> {
        Indexed::new(self.spans, self.counts).enumerate().skip_while(move |(_, (index, _))| *index < first)
    }

    /// Adds the bucket at `at` to the one at `position` of `counts` and their lost bits.
    fn add_to(self, (counts, lost): (&mut [f64], Option<&mut Vec<f64>>), position: usize, at: usize, sign: Sign) {
        let count = sign.of(self.counts[at]);
        let Some(lost) = lost else {
            counts[position] += count;
            return;
        };
        kahan::add(count, &mut counts[position], &mut lost[position]);
        let low = self.lost.map_or(0.0, |lost| sign.of(lost[at]));
        if low != 0.0 {
            kahan::add(low, &mut counts[position], &mut lost[position]);
        }
    }
}

/// The positive and the negative side of `histogram`, with those of its compensation, which has the same buckets.
pub(super) fn sides<'a>(histogram: &'a mut Histogram, compensation: Option<&'a mut Histogram>) -> [Side<'a>; 2] {
    let (positive, negative) = match compensation {
        Some(lost) => (Some(&mut lost.positive_buckets), Some(&mut lost.negative_buckets)),
        None => (None, None),
    };
    [
        Side { spans: &mut histogram.positive_spans, counts: &mut histogram.positive_buckets, lost: positive },
        Side { spans: &mut histogram.negative_spans, counts: &mut histogram.negative_buckets, lost: negative },
    ]
}

impl Side<'_> {
    /// Brings the buckets from resolution `from` to the coarser `to`: reduceResolution and kahanReduceResolution.
    pub(super) fn reduce(&mut self, from: i32, to: i32) {
        let mut layout = Layout::default();
        let mut kept = 0;
        let mut last = None;
        for (position, (index, count)) in
            Indexed::new(self.spans, self.counts).collect::<Vec<_>>().into_iter().enumerate()
        {
            let index = coarser(index, from, to);
            if last == Some(index) {
                self.merge(kept - 1, position, count);
                continue;
            }
            last = Some(index);
            layout.push(index);
            self.counts[kept] = count;
            if let Some(lost) = &mut self.lost {
                lost[kept] = lost[position];
            }
            kept += 1;
        }
        self.counts.truncate(kept);
        if let Some(lost) = &mut self.lost {
            lost.truncate(kept);
        }
        *self.spans = layout.spans.into();
    }

    /// Adds `count`, which is at `position`, to the bucket at `into`.
    fn merge(&mut self, into: usize, position: usize, count: f64) {
        match &mut self.lost {
            Some(lost) => {
                let own = lost[position];
                kahan::add(count, &mut self.counts[into], &mut lost[into]);
                kahan::add(own, &mut self.counts[into], &mut lost[into]);
            }
            None => self.counts[into] += count,
        }
    }

    /// Adds (or subtracts) the buckets of `other` from its index `first` on; those that are missing come in as
    /// they are. The result's neighbouring spans are merged.
    pub(super) fn add(&mut self, other: Other<'_>, first: i32, sign: Sign) {
        if other.counts.is_empty() {
            return;
        }
        let same = **self.spans == *other.spans && self.counts.len() == other.counts.len();
        if same && other.spans.first().is_some_and(|span| span.offset >= first) {
            for at in 0..self.counts.len() {
                other.add_to((self.counts, self.lost.as_deref_mut()), at, at, sign);
            }
            return;
        }
        if covers(Indexed::new(self.spans, self.counts), other.from(first)) {
            let mut own = indexes(self.spans).enumerate();
            for (at, (index, _)) in other.from(first) {
                let Some((position, _)) = own.by_ref().find(|(_, have)| *have == index) else { break };
                other.add_to((self.counts, self.lost.as_deref_mut()), position, at, sign);
            }
            return;
        }
        let (spans, pairs) = union(Indexed::new(self.spans, self.counts), other.from(first));
        let own = std::mem::replace(self.counts, Vec::with_capacity(pairs.len()));
        let own_lost = self.lost.as_mut().map(|lost| std::mem::replace(*lost, Vec::with_capacity(pairs.len())));
        for (position, pair) in pairs.into_iter().enumerate() {
            let from_other = |values: &[f64], at: usize| sign.of(values[at]);
            let (count, lost) = match (pair.own, pair.other) {
                (Some(at), _) => (own[at], own_lost.as_ref().map_or(0.0, |lost| lost[at])),
                (None, Some(at)) => (from_other(other.counts, at), other.lost.map_or(0.0, |lost| from_other(lost, at))),
                (None, None) => continue,
            };
            self.counts.push(count);
            if let Some(column) = &mut self.lost {
                column.push(lost);
            }
            if let (Some(_), Some(at)) = (pair.own, pair.other) {
                other.add_to((self.counts, self.lost.as_deref_mut()), position, at, sign);
            }
        }
        *self.spans = spans.into();
    }

    /// Drops empty buckets but for runs of at most `empty_max` between others, which are written out even where they
    /// were a gap: compactBuckets.
    pub(super) fn compact(&mut self, empty_max: usize) {
        if self.is_compact(empty_max) {
            return;
        }
        let lost = self.lost.as_ref().map_or(&[][..], |lost| lost.as_slice());
        let (mut counts, mut kept_lost, mut layout) = (Vec::new(), Vec::new(), Layout::default());
        for (position, (index, count)) in Indexed::new(self.spans, self.counts).enumerate() {
            let low = lost.get(position).copied().unwrap_or(0.0);
            if count == 0.0 && low == 0.0 {
                continue;
            }
            if let Some(next) = layout.next
                && usize::try_from(index.wrapping_sub(next)).is_ok_and(|gap| gap <= empty_max)
            {
                for empty in next..index {
                    layout.push(empty);
                    counts.push(0.0);
                    kept_lost.push(0.0);
                }
            }
            layout.push(index);
            counts.push(count);
            kept_lost.push(low);
        }
        *self.counts = counts;
        *self.spans = layout.spans.into();
        if let Some(lost) = &mut self.lost {
            **lost = kept_lost;
        }
    }

    fn is_compact(&self, empty_max: usize) -> bool {
        let far = |span: &Span| usize::try_from(span.offset).is_ok_and(|offset| offset > empty_max);
        self.counts.iter().all(|count| *count != 0.0)
            && self.spans.iter().skip(1).all(far)
            && self.spans.iter().all(|span| span.length > 0)
    }
}

/// The fewest spans for buckets at ascending indexes.
pub(crate) fn spans_of(indexes: impl IntoIterator<Item = i32>) -> Arc<[Span]> {
    let mut layout = Layout::default();
    indexes.into_iter().for_each(|index| layout.push(index));
    layout.spans.into()
}

/// Spans under construction.
#[derive(Debug, Default)]
struct Layout {
    spans: Vec<Span>,
    /// Index behind the last bucket.
    next: Option<i32>,
}

impl Layout {
    /// Appends the bucket `index`, higher than all before.
    fn push(&mut self, index: i32) {
        match (self.next, self.spans.last_mut()) {
            (Some(next), Some(span)) if next == index => span.length += 1,
            (next, _) => self.spans.push(Span { offset: index.wrapping_sub(next.unwrap_or(0)), length: 1 }),
        }
        self.next = Some(index.wrapping_add(1));
    }
}

/// Where the counts of one bucket of a union are, in either operand.
#[derive(Debug, Clone, Copy)]
struct Pair {
    own: Option<usize>,
    other: Option<usize>,
}

/// Whether all buckets of `other` are among `own`, both ascending.
fn covers(mut own: Indexed<'_>, mut other: impl Iterator<Item = (usize, (i32, f64))>) -> bool {
    other.all(|(_, (index, _))| own.by_ref().find(|(have, _)| *have >= index).is_some_and(|(have, _)| have == index))
}

/// Indexes of the buckets of some spans.
fn indexes(spans: &[Span]) -> impl Iterator<Item = i32> {
    let mut next = 0_i32;
    spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(span.offset);
        next = first.wrapping_add(span.length as i32);
        (0..span.length).map(move |at| first.wrapping_add(at as i32))
    })
}

/// All buckets of both.
fn union(own: Indexed<'_>, other: impl Iterator<Item = (usize, (i32, f64))>) -> (Vec<Span>, Vec<Pair>) {
    let mut own = own.enumerate().map(|(at, (index, _))| (index, at)).peekable();
    let mut other = other.map(|(at, (index, _))| (index, at)).peekable();
    let (mut layout, mut pairs) = (Layout::default(), Vec::new());
    loop {
        let index = match (own.peek(), other.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((index, _)), None) | (None, Some((index, _))) => *index,
            (None, None) => return (layout.spans, pairs),
        };
        layout.push(index);
        pairs.push(Pair {
            own: own.next_if(|(have, _)| *have == index).map(|(_, at)| at),
            other: other.next_if(|(have, _)| *have == index).map(|(_, at)| at),
        });
    }
}

/// Whether two lists of spans describe the same buckets, spans of length 0 left out: spansMatch in
/// model/histogram/histogram.go.
pub(super) fn same_spans(a: &[Span], b: &[Span]) -> bool {
    let merged = |spans: &[Span]| {
        let mut gap = 0_i32;
        let mut kept = Vec::with_capacity(spans.len());
        for span in spans {
            gap = gap.wrapping_add(span.offset);
            if span.length > 0 {
                kept.push(Span { offset: std::mem::take(&mut gap), length: span.length });
            }
        }
        kept
    };
    a == b || merged(a) == merged(b)
}
