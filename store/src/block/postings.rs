//! Postings: which series of a block fulfil all matchers.
//!
//! Lists are `Vec<u32>` of series references, ascending, each once. The reasoning about matchers that also match the
//! empty value (which series without the label have) is that of Prometheus (tsdb/querier.go, `PostingsForMatchers`).

use std::ops::Range;

use super::cursor::Cursor;
use super::index::{Index, checked};
use super::table::List;
use crate::bucket::{Bucket, Purpose};
use crate::budget::{Budget, Reservation};
use crate::error::StoreError;
use crate::matcher::{MatchOp, Matcher};

/// From this ratio of lengths on, searching ahead in the longer list beats walking through it.
const GALLOP_RATIO: usize = 8;

/// A list whose end is not known is read so far at first.
const LIST_GUESS: u64 = 4 << 10;

/// Bytes that a list takes on its way, besides its references: where it lies, its range, what is read of it.
const LIST_OVERHEAD: usize = 128;

/// References of the series that fulfil all of `matchers`, ascending, with what they hold in `budget`.
pub(crate) async fn select(
    index: &Index,
    bucket: &Bucket,
    matchers: &[&Matcher],
    budget: &Budget,
) -> Result<(Vec<u32>, Reservation), StoreError> {
    let mut held = budget.reserve("postings", 0)?;
    let (with, without): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(|m| !m.matches_empty());
    let mut wanted = Vec::with_capacity(with.len());
    for matcher in with {
        let lists = matching(index, bucket, budget, matcher).await?;
        held.grow(size_of_val(lists.as_slice()))?;
        if lists.is_empty() {
            return Ok((Vec::new(), held));
        }
        wanted.push(lists);
    }
    if wanted.is_empty() {
        wanted.push(index.lists_of(bucket, budget, "", &[""]).await?);
    }
    // The shortest first: what is left is never longer than that.
    wanted.sort_by_key(|lists| lists.iter().map(|l| l.end.saturating_sub(l.start)).sum::<u64>());
    let mut left: Option<Vec<u32>> = None;
    for lists in wanted {
        let next = union(index, bucket, &lists, &mut held).await?;
        left = Some(match left {
            None => next,
            Some(left) => intersect(&left, &next),
        });
        if left.as_ref().is_some_and(Vec::is_empty) {
            break;
        }
    }
    let mut left = left.unwrap_or_default();
    for matcher in without {
        if left.is_empty() {
            break;
        }
        let lists = matching(index, bucket, budget, &matcher.inverse()).await?;
        held.grow(size_of_val(lists.as_slice()))?;
        let out = union(index, bucket, &lists, &mut held).await?;
        left = subtract(&left, &out);
    }
    held.shrink_to(left.capacity() * size_of::<u32>());
    Ok((left, held))
}

/// The lists of the values that fulfil `matcher`, which the empty value does not.
async fn matching(index: &Index, bucket: &Bucket, budget: &Budget, matcher: &Matcher) -> Result<Vec<List>, StoreError> {
    let name = matcher.name();
    if matcher.op() == MatchOp::NotRegex && matcher.value() == ".*" {
        return Ok(Vec::new());
    }
    if matcher.op() == MatchOp::Equal {
        return index.lists_of(bucket, budget, name, &[matcher.value()]).await;
    }
    if let Some(set) = matcher.set_matches() {
        let values: Vec<&str> = set.iter().map(|value| &**value).collect();
        return index.lists_of(bucket, budget, name, &values).await;
    }
    let prefix = matcher.prefix().unwrap_or("");
    let mut lists = Vec::new();
    let visit = |value: &str, list| lists.extend(matcher.matches(value).then_some(list));
    index.values(bucket, budget, (name, prefix), visit).await?;
    Ok(lists)
}

/// All references in `lists`, ascending, each once. What they take is added to `held`.
async fn union(index: &Index, bucket: &Bucket, lists: &[List], held: &mut Reservation) -> Result<Vec<u32>, StoreError> {
    let act = "read postings";
    let end_max = index.object.size;
    let guess = |list: &List| {
        let known = list.end > list.start && list.end <= end_max;
        list.start..if known { list.end } else { list.start.saturating_add(LIST_GUESS).min(end_max) }
    };
    let ranges: Vec<Range<u64>> = lists.iter().map(guess).collect();
    let bytes: u64 = ranges.iter().map(|r| r.end.saturating_sub(r.start)).sum();
    held.grow(2 * bytes as usize + lists.len() * LIST_OVERHEAD)?;
    let read = bucket.read(&index.object, &ranges, Purpose::Lookup).await.map_err(|e| e.within(act))?;
    let mut out = Vec::with_capacity(bytes as usize / 4);
    for (range, bytes) in ranges.iter().zip(&read) {
        let damaged = || StoreError::corrupt(format!("{act} at offset {}: checksum does not fit", range.start));
        let length = Cursor::new(bytes).be32().ok_or_else(damaged)?;
        let end = range.start + 8 + u64::from(length);
        if end <= range.end {
            append(bytes, &mut out).ok_or_else(damaged)?;
        } else {
            if end > end_max {
                return Err(damaged());
            }
            held.grow(2 * length as usize)?;
            let whole = bucket.read_one(&index.object, range.start..end, Purpose::Lookup).await;
            let whole = whole.map_err(|e| e.within(act))?;
            append(&whole, &mut out).ok_or_else(damaged)?;
        }
    }
    if lists.len() > 1 {
        // A stable sort finds the ascending runs and merges them.
        out.sort();
        out.dedup();
    }
    Ok(out)
}

/// Appends the list in `bytes`, length first. None where it is damaged or does not ascend.
fn append(bytes: &[u8], out: &mut Vec<u32>) -> Option<()> {
    let mut cursor = Cursor::new(bytes);
    let length = cursor.be32()? as usize;
    let mut content = Cursor::new(checked(cursor.take(length.checked_add(4)?)?)?);
    let count = content.be32()? as usize;
    if content.rest.len() != count.checked_mul(4)? {
        return None;
    }
    let start = out.len();
    out.extend(content.rest.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])));
    out[start..].is_sorted_by(|a, b| a < b).then_some(())
}

/// What is in both.
fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut rest = long;
    let gallops = short.len().saturating_mul(GALLOP_RATIO) < long.len();
    let mut out = Vec::with_capacity(short.len());
    for value in short {
        rest = &rest[position(rest, *value, gallops)..];
        if rest.first() == Some(value) {
            out.push(*value);
        }
    }
    out
}

/// What is in `a` and not in `b`.
fn subtract(a: &[u32], b: &[u32]) -> Vec<u32> {
    let mut rest = b;
    let gallops = a.len().saturating_mul(GALLOP_RATIO) < b.len();
    let mut out = Vec::with_capacity(a.len());
    for value in a {
        rest = &rest[position(rest, *value, gallops)..];
        if rest.first() != Some(value) {
            out.push(*value);
        }
    }
    out
}

/// Index of the first element of `list` that is not below `value`.
#[inline]
fn position(list: &[u32], value: u32, gallops: bool) -> usize {
    if !gallops {
        return list.iter().position(|have| *have >= value).unwrap_or(list.len());
    }
    let mut step = 1;
    while list.get(step - 1).is_some_and(|have| *have < value) {
        step *= 2;
    }
    let (start, end) = (step / 2, step.min(list.len()));
    start + list[start..end].partition_point(|have| *have < value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::Random;

    #[test]
    fn intersection_and_subtraction_agree_with_sets() {
        let mut random = Random::new(1);
        for round in 0..300 {
            let mut draw = |count: usize, below: usize| -> BTreeSet<u32> {
                (0..count).map(|_| random.below(below) as u32).collect()
            };
            let (below, long) = ([10, 1000, 100_000][round % 3], [0, 5, 2000][round / 3 % 3]);
            let (a, b) = (draw(20, below), draw(long, below));
            let [list_a, list_b] = [&a, &b].map(|s| s.iter().copied().collect::<Vec<u32>>());
            assert_eq!(intersect(&list_a, &list_b), a.intersection(&b).copied().collect::<Vec<_>>());
            assert_eq!(intersect(&list_b, &list_a), a.intersection(&b).copied().collect::<Vec<_>>());
            assert_eq!(subtract(&list_a, &list_b), a.difference(&b).copied().collect::<Vec<_>>());
            assert_eq!(subtract(&list_b, &list_a), b.difference(&a).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_lists_are_refused() {
        let content = [2u32, 5, 9].iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
        let mut list = 12u32.to_be_bytes().to_vec();
        list.extend(&content);
        list.extend(crc32c::crc32c(&content).to_be_bytes());
        let mut out = Vec::new();
        append(&list, &mut out).unwrap();
        assert_eq!(out, [5, 9]);
        for at in 0..list.len() {
            for bit in 0..8 {
                let mut bad = list.clone();
                bad[at] ^= 1 << bit;
                assert_eq!(append(&bad, &mut Vec::new()), None, "byte {at} bit {bit}");
            }
            assert_eq!(append(&list[..at], &mut Vec::new()), None);
        }
    }
}
