//! Custom bounds that differ: the bounds in common, and what lies between them.

use std::cmp::Ordering;

use super::Histogram;
use super::buckets::Indexed;
use super::layout::{Sign, spans_of};
use crate::kahan;

/// Whether two lists of bounds are equal (CustomBucketBoundsMatch in model/histogram/generic.go).
pub(super) fn same_bounds(a: &[f64], b: &[f64]) -> bool {
    a == b
}

/// The bounds in common (intersectCustomBucketBounds in model/histogram/float_histogram.go).
pub(super) fn intersection(a: &[f64], b: &[f64]) -> Vec<f64> {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    let mut common = Vec::new();
    while let (Some(left), Some(right)) = (a.peek().copied(), b.peek().copied()) {
        match left.partial_cmp(&right) {
            Some(Ordering::Less) => _ = a.next(),
            Some(Ordering::Equal) => {
                common.push(left);
                a.next();
                b.next();
            }
            Some(Ordering::Greater) | None => _ = b.next(),
        }
    }
    common
}

/// Puts the buckets of `own` and those of `other` between `bounds`, which both have. Here sums are always compensated,
/// but without a compensation what is lost stays lost (addCustomBucketsWithMismatches).
pub(super) fn combined(
    own: &mut Histogram,
    compensation: Option<&mut Histogram>,
    (other, sign): (&Histogram, Sign),
    bounds: &[f64],
) {
    let mut counts = vec![0.0; bounds.len() + 1];
    let mut lost = vec![0.0; bounds.len() + 1];
    let own_lost = compensation.as_ref().map(|compensation| &compensation.positive_buckets);
    for (position, (target, count)) in mapped(own, bounds).enumerate() {
        kahan::add(count, &mut counts[target], &mut lost[target]);
        if let Some(low) = own_lost.and_then(|lost| lost.get(position)) {
            kahan::add(*low, &mut counts[target], &mut lost[target]);
        }
    }
    for (target, count) in mapped(other, bounds) {
        kahan::add(sign.of(count), &mut counts[target], &mut lost[target]);
    }
    let populated = |at: &usize| counts[*at] != 0.0 || lost[*at] != 0.0;
    let kept: Vec<usize> = (0..counts.len()).filter(populated).collect();
    own.positive_spans = spans_of(kept.iter().map(|at| i32::try_from(*at).unwrap_or(i32::MAX)));
    own.positive_buckets = kept.iter().map(|at| counts[*at]).collect();
    if let Some(compensation) = compensation {
        compensation.positive_buckets = kept.iter().map(|at| lost[*at]).collect();
    }
}

/// Whether any bucket between common bounds holds less than in `previous` (detectResetWithMismatchedCustomBounds).
pub(super) fn is_reset(current: &Histogram, previous: &Histogram) -> bool {
    let bounds = intersection(&current.custom_bounds, &previous.custom_bounds);
    let sums = |histogram: &Histogram| {
        let mut sums = vec![0.0; bounds.len() + 1];
        mapped(histogram, &bounds).for_each(|(target, count)| sums[target] += count);
        sums
    };
    sums(current).iter().zip(sums(previous)).any(|(current, previous)| *current < previous)
}

/// Each bucket's count with the place among `bounds` where it belongs; the last one is behind all bounds.
fn mapped<'a>(histogram: &'a Histogram, bounds: &'a [f64]) -> impl Iterator<Item = (usize, f64)> + 'a {
    let mut target = 0;
    Indexed::new(&histogram.positive_spans, &histogram.positive_buckets).map(move |(index, count)| {
        let upper = usize::try_from(index).ok().and_then(|index| histogram.custom_bounds.get(index));
        let Some(upper) = upper else { return (bounds.len(), count) };
        while bounds.get(target).is_some_and(|bound| bound < upper) {
            target += 1;
        }
        (target, count)
    })
}
