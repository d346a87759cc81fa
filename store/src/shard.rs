//! A part of all series, as a query frontend in front of Thanos cuts queries into pieces
//! (pkg/store/storepb/shard_info.go).

use xxhash_rust::xxh64::Xxh64;

use crate::labels::Labels;

/// One of several parts into which series fall by a hash of their labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u64,
    /// Number of parts; 0: all series are in it.
    pub total: u64,
    /// Only `labels` count, rather than all others.
    pub by: bool,
    /// Names of labels.
    pub labels: Vec<Box<str>>,
}

impl Shard {
    /// Whether a series is in this part. The hash is Thanos', so that its servers and ours may answer parts of one
    /// query.
    pub fn holds(&self, labels: &Labels) -> bool {
        if self.total == 0 {
            return true;
        }
        let mut hash = Xxh64::new(0);
        for (name, value) in labels {
            if self.labels.iter().any(|have| **have == *name) == self.by {
                for part in [name.as_bytes(), &[0xff], value.as_bytes(), &[0xff]] {
                    hash.update(part);
                }
            }
        }
        hash.digest() % self.total == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_in_one_part_and_groups_stay_together() {
        let series = |i: usize| Labels::from_pairs([("pod", format!("p{}", i % 7)), ("i", i.to_string())]);
        let shard = |index, by, name: &str| Shard { index, total: 3, by, labels: vec![name.into()] };
        for (by, name) in [(true, "pod"), (false, "i")] {
            let part = |i: usize| {
                let parts: Vec<u64> = (0..3).filter(|index| shard(*index, by, name).holds(&series(i))).collect();
                assert_eq!(parts.len(), 1, "{i}");
                parts[0]
            };
            assert!((0..100).all(|i| part(i) == part(i + 7)), "what shares the label is together");
            let used: std::collections::BTreeSet<u64> = (0..7).map(part).collect();
            assert!(used.len() > 1);
        }
        assert!(Shard { total: 0, ..shard(5, true, "pod") }.holds(&series(1)));
    }

    #[test]
    fn the_hash_is_that_of_the_bytes_in_a_row() {
        let labels = Labels::from_pairs([("a", "b"), ("c", "d")]);
        let hash = xxhash_rust::xxh64::xxh64(b"a\xffb\xff", 0);
        let shard = Shard { index: hash % 1000, total: 1000, by: true, labels: vec!["a".into()] };
        assert!(shard.holds(&labels));
    }
}
