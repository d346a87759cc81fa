//! The heap of a ranking, as Go's container/heap keeps it.

use super::super::batch::is_absent;
use super::super::go_sort::{by_value, go_sort, value_before};
use crate::promql::ast::AggregateOp;

/// What a step keeps: the value, and which row it is of. `ABSENT` stands for a histogram.
pub(super) type Entry = (f64, u32);

/// Whether `a` goes to the top of the heap before `b`: the least first for topk, the greatest for bottomk, NaN before all
/// (promql/functions.go, vectorByValueHeap and its reverse). limitk has topk's heap, in which a histogram counts as 0.
fn before(op: AggregateOp, a: f64, b: f64) -> bool {
    let value = |value: f64| if is_absent(value) { 0.0 } else { value };
    let (a, b) = (value(a), value(b));
    a.is_nan() || if op == AggregateOp::Bottomk { a > b } else { a < b }
}

/// Makes room for one more entry of `k`; for how many it took memory.
pub(super) fn make_room(heap: &mut Vec<Entry>, k: usize) -> usize {
    if heap.len() < heap.capacity() || heap.len() >= k {
        return 0;
    }
    let more = heap.len().clamp(1, k - heap.len());
    heap.reserve_exact(more);
    more
}

/// Takes an entry if it is among the best `k`; whether it is. Go's container/heap step by step, since among equal
/// values the heap's shape decides who goes.
pub(super) fn offer(op: AggregateOp, heap: &mut Vec<Entry>, entry: Entry, k: usize) -> bool {
    if heap.len() < k {
        heap.push(entry);
        up(op, heap);
        return true;
    }
    if k == 0 || op == AggregateOp::Limitk {
        return false;
    }
    let top = heap[0].0;
    let better = if op == AggregateOp::Topk { top < entry.0 } else { top > entry.0 };
    let is_taken = better || (top.is_nan() && !entry.0.is_nan());
    if is_taken {
        heap[0] = entry;
        down(op, heap);
    }
    is_taken
}

fn up(op: AggregateOp, heap: &mut [Entry]) {
    let mut child = heap.len() - 1;
    while child > 0 {
        let parent = (child - 1) / 2;
        if !before(op, heap[child].0, heap[parent].0) {
            break;
        }
        heap.swap(child, parent);
        child = parent;
    }
}

fn down(op: AggregateOp, heap: &mut [Entry]) {
    let mut parent = 0;
    loop {
        let mut child = 2 * parent + 1;
        if child >= heap.len() {
            break;
        }
        if child + 1 < heap.len() && before(op, heap[child + 1].0, heap[child].0) {
            child += 1;
        }
        if !before(op, heap[child].0, heap[parent].0) {
            break;
        }
        heap.swap(child, parent);
        parent = child;
    }
}

/// Best first.
pub(super) fn sort_best_first(op: AggregateOp, heap: &mut [Entry]) {
    let descending = op == AggregateOp::Topk;
    go_sort(heap, |a, b| value_before(a.0, b.0, descending), |a, b| by_value(a.0, b.0, descending));
}

#[cfg(test)]
mod tests {
    use super::super::super::batch::ABSENT;
    use super::*;

    /// Each row: k, values in order, rows that topk and bottomk choose, best first.
    #[test]
    fn heaps_choose_as_go_does() {
        let nan = f64::NAN;
        type Case<'a> = (usize, &'a [f64], &'a [u32], &'a [u32]);
        let rows: &[Case<'_>] = &[
            (2, &[3.0, 1.0, 2.0], &[0, 2], &[1, 2]),
            (2, &[nan, 1.0, nan, 0.0], &[1, 3], &[3, 1]),
            (1, &[5.0, 5.0, 5.0], &[0], &[0]),
            (3, &[nan, 1.0], &[1, 0], &[1, 0]),
            (0, &[1.0], &[], &[]),
        ];
        for (k, values, top, bottom) in rows {
            for (op, expected) in [(AggregateOp::Topk, top), (AggregateOp::Bottomk, bottom)] {
                let mut heap = Vec::new();
                for (row, value) in values.iter().enumerate() {
                    offer(op, &mut heap, (*value, row as u32), *k);
                }
                sort_best_first(op, &mut heap);
                let chosen: Vec<u32> = heap.iter().map(|(_, row)| *row).collect();
                assert_eq!(chosen, **expected, "{op:?} {k} {values:?}");
            }
        }
    }

    /// limitk takes the first ones, and gives them in the order of its heap.
    #[test]
    fn limitk_takes_the_first_in_the_order_of_the_heap() {
        let mut heap = Vec::new();
        for (row, value) in [13.5, 4.5, ABSENT, 0.0].into_iter().enumerate() {
            offer(AggregateOp::Limitk, &mut heap, (value, row as u32), 3);
        }
        assert_eq!(heap.iter().map(|(_, row)| *row).collect::<Vec<_>>(), [2, 0, 1]);
    }
}
