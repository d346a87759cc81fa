//! Sorting as Go's `sort` and `slices` do it, where that shows: among equal ones, and where `less` is no order (NaN).

use std::cmp::Ordering;

/// Up to this many items Go sorts by insertion (sort/zsortinterface.go, pdqsort).
const INSERTION_MAX: usize = 12;

/// Sorts by `less`, which need be no order: few items by insertion, step by step as Go does, more of them by `order`, which
/// must be total and agree with `less` where that is one.
pub(super) fn go_sort<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool, order: impl FnMut(&T, &T) -> Ordering) {
    if items.len() > INSERTION_MAX {
        items.sort_by(order);
        return;
    }
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && less(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
}

/// Whether a value goes before another by value, as Go's `sort()`, `sort_desc()` and `topk()` ask: NaN after all, but two of
/// them each after the other (promql/functions.go, vectorByValueHeap and its reverse, both read backwards).
pub(super) fn value_before(a: f64, b: f64, descending: bool) -> bool {
    b.is_nan() || if descending { a > b } else { a < b }
}

/// Order of values with NaN last whatever the direction.
pub(super) fn by_value(a: f64, b: f64, descending: bool) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let ordering = a.partial_cmp(&b).unwrap_or(Ordering::Equal);
            if descending { ordering.reverse() } else { ordering }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go's `sort.Sort` makes of them.
    #[test]
    fn several_nan_come_in_the_order_of_go() {
        let nan = f64::NAN;
        for (values, ascending, descending) in [
            (vec![nan, nan, 1.0], vec![2, 1, 0], vec![2, 1, 0]),
            (vec![2.0, nan, 1.0, nan], vec![2, 0, 3, 1], vec![0, 2, 3, 1]),
            (vec![1.0, 1.0, 2.0], vec![0, 1, 2], vec![2, 0, 1]),
        ] {
            for (down, expected) in [(false, ascending), (true, descending)] {
                let mut items: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
                go_sort(&mut items, |a, b| value_before(a.1, b.1, down), |a, b| by_value(a.1, b.1, down));
                let order: Vec<usize> = items.iter().map(|(i, _)| *i).collect();
                assert_eq!(order, expected, "{values:?} descending {down}");
            }
        }
    }

    #[test]
    fn many_are_sorted_whatever_less_says() {
        let mut values: Vec<f64> = (0..40).map(|i| if i % 3 == 0 { f64::NAN } else { f64::from(i * 7 % 40) }).collect();
        go_sort(&mut values, |_, _| true, |a, b| by_value(*a, *b, true));
        assert!(values[..26].is_sorted_by(|a, b| a >= b) && values[26..].iter().all(|value| value.is_nan()));
    }
}
