//! A byte-weighted LRU over ranges of objects. What it holds is reserved, so that it shrinks the room of the queries
//! openly and never by surprise. Keys are exact ranges: the same question asks for the same ranges.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use lru::LruCache;

use crate::budget::{Budget, Reservation};

/// What an entry costs beside its bytes: key, links and the handle.
const ENTRY_OVERHEAD: usize = 128;

/// A single range may take this part of the whole cache, so that one large read does not empty it.
const SHARE_MAX: usize = 8;

/// Ranges of objects that were read before, the least recently used ones dropped first.
pub struct RangeCache {
    budget: Budget,
    capacity: usize,
    entries: Mutex<Entries>,
}

struct Entries {
    lru: LruCache<Key, Entry>,
    weight: usize,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    object: u64,
    start: u64,
    end: u64,
}

struct Entry {
    bytes: Bytes,
    /// Given back when the entry goes.
    held: Reservation,
}

impl RangeCache {
    /// A cache of at most `capacity` bytes, which are reserved in `budget` as they come; 0 keeps nothing.
    pub fn new(budget: Budget, capacity: usize) -> Self {
        Self { budget, capacity, entries: Mutex::new(Entries { lru: LruCache::unbounded(), weight: 0 }) }
    }

    /// The bytes of `range` of the object numbered `object`, if they are here.
    pub fn get(&self, object: u64, range: &Range<u64>) -> Option<Bytes> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.lru.get(&Key { object, start: range.start, end: range.end }).map(|entry| entry.bytes.clone())
    }

    /// Keeps a copy of `bytes`, unless they are too large, or the budget has no room. A copy, since `bytes` may be a
    /// slice of a buffer many times its size.
    pub fn put(&self, object: u64, range: &Range<u64>, bytes: &[u8]) {
        let weight = bytes.len() + ENTRY_OVERHEAD;
        if weight > self.capacity / SHARE_MAX {
            return;
        }
        let Ok(held) = self.budget.reserve("cached ranges", weight) else { return };
        let entry = Entry { bytes: Bytes::copy_from_slice(bytes), held };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.weight += weight;
        if let Some(old) = entries.lru.put(Key { object, start: range.start, end: range.end }, entry) {
            entries.weight -= old.held.bytes();
        }
        while entries.weight > self.capacity {
            let Some((_, oldest)) = entries.lru.pop_lru() else { break };
            entries.weight -= oldest.held.bytes();
        }
    }

    /// Bytes held now.
    pub fn weight(&self) -> usize {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first_and_the_budget_gets_it_back() {
        let budget = Budget::new("process", 100_000);
        let cache = RangeCache::new(budget.clone(), 10_000);
        for i in 0..20 {
            cache.put(1, &(i..i + 1), &[0; 1000]);
            cache.get(1, &(0..1));
        }
        assert!(cache.get(1, &(0..1)).is_some(), "used all the time");
        assert!(cache.get(1, &(1..2)).is_none(), "the oldest");
        assert!(cache.get(1, &(19..20)).is_some(), "the newest");
        assert!(cache.get(2, &(19..20)).is_none(), "another object");
        assert_eq!(cache.weight(), budget.used());
        assert!(cache.weight() <= 10_000);
        cache.put(1, &(0..2000), &[0; 2000]);
        assert!(cache.get(1, &(0..2000)).is_none(), "too large a share");
        drop(cache);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_full_budget_keeps_nothing_and_fails_nothing() {
        let budget = Budget::new("process", 500);
        let cache = RangeCache::new(budget.clone(), 10_000);
        cache.put(1, &(0..600), &[0; 600]);
        assert_eq!((cache.weight(), budget.used()), (0, 0));
    }
}
