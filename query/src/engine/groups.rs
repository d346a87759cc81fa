//! Numbers label sets by what a grouping keeps of them, without building a set for each row.

use std::collections::HashMap;

use masthead_store::{Grouping, Labels};

/// Groups by order of first appearance: the key of groups, of joins, and of equal label sets.
pub(super) struct Groups {
    grouping: Grouping,
    /// Ordinals by hash; more than one where hashes collide.
    by_hash: HashMap<u64, Vec<u32>>,
    /// A member of each group.
    members: Vec<Labels>,
}

/// Bytes that one group costs here, the labels apart.
pub(super) const GROUP_BYTES: usize = 96;

impl Groups {
    /// No groups yet.
    pub(super) fn new(grouping: Grouping) -> Self {
        Self { grouping, by_hash: HashMap::new(), members: Vec::new() }
    }

    /// The ordinal of the group of `labels`, and whether it is new.
    pub(super) fn insert(&mut self, labels: &Labels) -> (usize, bool) {
        let ordinals = self.by_hash.entry(labels.hash_by(&self.grouping)).or_default();
        let found = ordinals.iter().find(|o| self.members[**o as usize].equal_by(labels, &self.grouping));
        if let Some(ordinal) = found {
            return (*ordinal as usize, false);
        }
        let ordinal = self.members.len();
        ordinals.push(ordinal as u32);
        self.members.push(labels.clone());
        (ordinal, true)
    }

    /// The ordinal of the group of `labels`, if there is one.
    pub(super) fn find(&self, labels: &Labels) -> Option<usize> {
        let ordinals = self.by_hash.get(&labels.hash_by(&self.grouping))?;
        let found = ordinals.iter().find(|o| self.members[**o as usize].equal_by(labels, &self.grouping));
        found.map(|ordinal| *ordinal as usize)
    }

    /// The labels that make group `ordinal`.
    pub(super) fn labels(&self, ordinal: usize) -> Labels {
        self.members[ordinal].project(&self.grouping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_numbered_by_first_appearance() {
        let mut groups = Groups::new(Grouping::By(vec!["job".into()]));
        let set = |job: &str, instance: &str| Labels::from_pairs([("job", job), ("instance", instance)]);
        let ordinals: Vec<_> =
            [("b", "1"), ("a", "1"), ("b", "2"), ("", "1")].map(|(job, i)| groups.insert(&set(job, i))).to_vec();
        assert_eq!(ordinals, [(0, true), (1, true), (0, false), (2, true)]);
        assert_eq!(groups.labels(0), Labels::from_pairs([("job", "b")]));
        assert_eq!(groups.find(&set("a", "9")), Some(1));
        assert_eq!(groups.find(&set("c", "9")), None);
    }
}
