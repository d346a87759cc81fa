//! sort() and its kin. They order the result of an instant query; a range query's result is ordered by labels anyway.

use std::cmp::Ordering;

use super::batch::{Batch, Drain, Row, collect};
use super::go_sort::{by_value, go_sort, value_before};
use super::{Context, Operator, Source, pull};
use crate::annotations::{Place, Severity};
use crate::error::QueryError;
use crate::plan::node::Order;

const INEFFECTIVE: &str =
    "PromQL warning: sort is ineffective for range queries since results are always ordered by labels";

/// Orders rows of one step.
pub(super) struct Sort {
    input: Source,
    order: Order,
    effective: bool,
    place: Place,
    results: Option<Drain>,
}

impl Sort {
    /// Orders the rows of `input` if that is `effective`: if one time is asked for.
    pub(super) fn new(input: Source, order: Order, effective: bool, place: Place) -> Self {
        Self { input, order, effective, place, results: None }
    }

    /// Histograms have no order by value (promql/functions.go, filterFloats).
    fn leaves_histograms_out(&self) -> bool {
        matches!(self.order, Order::Value { .. })
    }
}

impl Operator for Sort {
    fn next(&mut self, cx: &Context<'_>) -> Result<Option<Batch>, QueryError> {
        if !self.effective {
            cx.annotations.add(Severity::Warning, INEFFECTIVE, self.place);
            let mut batch = pull(&mut *self.input, cx)?;
            if let Some(batch) = &mut batch
                && self.leaves_histograms_out()
            {
                batch.histograms.clear();
            }
            return Ok(batch);
        }
        if self.results.is_none() {
            let (mut rows, held) = collect(&mut *self.input, cx, "rows to be sorted")?;
            if self.leaves_histograms_out() {
                rows.retain(|row| row.histograms.is_empty());
            }
            sort(&mut rows, &self.order);
            self.results = Some(Drain::new(rows, 1, held));
        }
        Ok(self.results.as_mut().and_then(Drain::take))
    }
}

fn sort(rows: &mut [Row], order: &Order) {
    match order {
        Order::Value { descending } => go_sort(
            rows,
            |a, b| value_before(a.values[0], b.values[0], *descending),
            |a, b| by_value(a.values[0], b.values[0], *descending),
        ),
        Order::Labels { labels, descending } => {
            let differing =
                |a: &Row, b: &Row| labels.iter().position(|label| a.labels.value(label) != b.labels.value(label));
            let before = |a: &Row, b: &Row| match differing(a, b) {
                Some(at) => natural_before(a.labels.value(&labels[at]), b.labels.value(&labels[at])) != *descending,
                None => {
                    if *descending {
                        b.labels < a.labels
                    } else {
                        a.labels < b.labels
                    }
                }
            };
            let order = |a: &Row, b: &Row| {
                let ordering = match differing(a, b) {
                    Some(at) => natural(a.labels.value(&labels[at]), b.labels.value(&labels[at])),
                    None => a.labels.cmp(&b.labels),
                };
                if *descending { ordering.reverse() } else { ordering }
            };
            go_sort(rows, before, order);
        }
    }
}

/// Whether a text goes before another, different one as github.com/facette/natsort says it, which is no order: the empty
/// text goes before none and none before it, and two that differ in the zeros before their numbers each before the other.
fn natural_before(a: &str, b: &str) -> bool {
    !a.is_empty() && by_pieces(a, b).is_le()
}

/// Order of texts in which runs of digits count as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    by_pieces(a, b).then_with(|| a.cmp(b))
}

/// Compares texts that are cut where digits begin or end: where two pieces are numbers they compare as such, else as bytes.
/// This is github.com/facette/natsort, which Prometheus uses, but that numbers beyond an int64 compare as numbers too; there
/// they compare as bytes.
fn by_pieces(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (pieces(a), pieces(b));
    loop {
        let (x, y) = match (left.next(), right.next()) {
            (Some(x), Some(y)) => (x, y),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
        };
        let ordering = match (number(x), number(y)) {
            (Some(x), Some(y)) => x.len().cmp(&y.len()).then(x.cmp(y)),
            _ => x.cmp(y),
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
}

/// The digits of a piece that is a number, without leading zeros.
fn number(piece: &str) -> Option<&str> {
    piece.starts_with(|c: char| c.is_ascii_digit()).then(|| piece.trim_start_matches('0'))
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.bytes().next()?.is_ascii_digit();
        let end = rest.bytes().position(|b| b.is_ascii_digit() != first).unwrap_or(rest.len());
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_in_natural_order() {
        let ascending = ["", "0", "1", "9", "10", "a", "a1", "a2", "a10", "a10b", "a10b2", "b"];
        let huge = format!("1{}", "0".repeat(23));
        let ascending = [&ascending[..5], &[huge.as_str()], &ascending[5..]].concat();
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate().filter(|(j, _)| *j != i) {
                assert_eq!(natural(a, b), i.cmp(&j), "{a} {b}");
                assert_eq!(natural_before(a, b), i < j && !a.is_empty(), "{a} {b}");
            }
        }
        assert!(natural("1a", "01a").is_gt() && natural_before("1a", "01a") && natural_before("01a", "1a"));
    }
}
