//! Names or values of labels on their way from the sources to an answer: a set that pays for what it holds.

use std::collections::BTreeSet;

use crate::budget::{Budget, LimitExceeded, Reservation};
use crate::error::StoreError;

/// Bytes of a string in the set beside its text: its handle, and what the allocator and the tree add to it.
const OVERHEAD: usize = 2 * size_of::<Box<str>>();

/// Names or values of labels, ascending, each once, with the memory they hold.
#[derive(Debug)]
pub struct LabelStrings {
    strings: BTreeSet<Box<str>>,
    held: Reservation,
    /// Why they are not all: a source that asks others lacks some of them.
    pub lacking: Option<StoreError>,
}

impl LabelStrings {
    /// None yet; what comes is reserved in `budget`.
    pub fn new(budget: &Budget) -> Self {
        Self { strings: BTreeSet::new(), held: budget.begin("names or values of labels"), lacking: None }
    }

    /// Adds a string, unless it is there.
    ///
    /// Errors: the budget's refusal.
    pub fn insert(&mut self, text: &str) -> Result<(), LimitExceeded> {
        if !self.strings.contains(text) {
            self.held.grow(cost(text))?;
            self.strings.insert(text.into());
        }
        Ok(())
    }

    /// Takes over the strings of `other`, which must be of the same budget, and their memory.
    pub fn append(&mut self, mut other: Self) {
        // The fewer go to the more, which mostly are all.
        if self.strings.len() < other.strings.len() {
            std::mem::swap(&mut self.strings, &mut other.strings);
        }
        self.held.merge(other.held);
        let mut doubled = 0;
        for text in other.strings {
            let cost = cost(&text);
            doubled += if self.strings.insert(text) { 0 } else { cost };
        }
        self.held.shrink_to(self.held.bytes() - doubled);
    }

    /// Drops those that `keep` does not keep.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.strings.retain(|text| keep(text));
        self.settle();
    }

    /// Drops all but the first `count`.
    pub fn truncate(&mut self, count: usize) {
        while self.strings.len() > count {
            self.strings.pop_last();
        }
        self.settle();
    }

    fn settle(&mut self) {
        self.held.shrink_to(self.strings.iter().map(|text| cost(text)).sum());
    }

    /// The strings, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.strings.iter().map(|text| &**text)
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }

    /// Bytes they hold.
    pub fn size_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// The strings, ascending, and their memory.
    pub fn into_parts(self) -> (Vec<Box<str>>, Reservation) {
        (self.strings.into_iter().collect(), self.held)
    }
}

fn cost(text: &str) -> usize {
    text.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_is_paid_for_once_and_until_it_goes() {
        let budget = Budget::new("query", 4 * OVERHEAD + 10);
        let of = |texts: &[&str]| {
            let mut strings = LabelStrings::new(&budget);
            texts.iter().for_each(|text| strings.insert(text).unwrap());
            strings
        };
        let mut strings = of(&["b", "a", "b"]);
        assert_eq!((strings.len(), budget.used()), (2, 2 * OVERHEAD + 2));
        strings.append(of(&["b", "cc"]));
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "b", "cc"]);
        assert_eq!((strings.size_bytes(), budget.used()), (3 * OVERHEAD + 4, 3 * OVERHEAD + 4));
        strings.insert("dddddd").unwrap();
        assert_eq!(strings.insert("e").unwrap_err().budget, "query");
        strings.retain(|text| text != "b");
        assert_eq!(budget.used(), 3 * OVERHEAD + 9);
        strings.truncate(2);
        let (list, held) = strings.into_parts();
        assert_eq!((list, held.bytes()), (vec!["a".into(), "cc".into()], 2 * OVERHEAD + 3));
        drop(held);
        assert_eq!(budget.used(), 0);
    }
}
