//! Who was asked, who answered, who failed and why: a value beside the data, never a string in it.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use crate::error::StoreError;
use crate::labels::Labels;
use crate::select::Gap;
use crate::series::StoreId;

/// The coverage of an answer. Stores that cannot contribute are not in it.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// One entry a store, ascending by id after [`Coverage::merge`].
    pub asked: Vec<Asked>,
}

/// One store's part of an answer.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The store.
    pub store: StoreId,
    /// Its external label sets as last known, those that the selection admits; empty: unknown.
    pub label_sets: Vec<Labels>,
    /// How it went.
    pub outcome: Outcome,
    /// What the store itself says it lacks of what was asked.
    pub gaps: Vec<Gap>,
}

/// How asking one store ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// All that the store has was received.
    Complete {
        /// Series, counted per lane stream.
        series: usize,
        /// Bytes of frames, or of chunks and labels read.
        bytes: usize,
        /// From the question to the last byte.
        took: Duration,
    },
    /// The answer lacks what this store holds, or a part of it.
    Failed {
        /// Why.
        error: StoreError,
        /// Since when the store is known to be missing; None: it failed just now.
        since: Option<SystemTime>,
    },
}

impl Asked {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && matches!(self.outcome, Outcome::Complete { .. })
    }
}

impl Coverage {
    /// Whether every asked store answered in full.
    pub fn is_complete(&self) -> bool {
        self.asked.iter().all(Asked::is_complete)
    }

    /// Number of stores that answered in full.
    pub fn answered(&self) -> usize {
        self.asked.iter().filter(|a| a.is_complete()).count()
    }

    /// What is missing, by name: the values of `cluster_label` in the label sets of each incomplete store, or the
    /// store's id where it has none. Sorted, unique.
    pub fn missing(&self, cluster_label: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for asked in self.asked.iter().filter(|a| !a.is_complete()) {
            names.extend(asked.clusters(cluster_label));
        }
        names
    }

    /// Adds the coverage of another selection of the same query: per store, the worse outcome and all gaps stay.
    pub fn merge(&mut self, other: Coverage) {
        for asked in other.asked {
            match self.asked.binary_search_by(|have| have.store.cmp(&asked.store)) {
                Ok(at) => self.asked[at].merge(asked),
                Err(at) => self.asked.insert(at, asked),
            }
        }
    }
}

impl Asked {
    /// The names under which this store's part is missing: see [`Coverage::missing`].
    pub fn clusters(&self, cluster_label: &str) -> BTreeSet<String> {
        let failed = matches!(self.outcome, Outcome::Failed { .. });
        let gaps = self.gaps.iter().map(|gap| &gap.labels);
        let sets: Vec<&Labels> = if failed { self.label_sets.iter().collect() } else { gaps.collect() };
        let mut names: BTreeSet<String> =
            sets.iter().filter_map(|set| set.get(cluster_label)).map(str::to_owned).collect();
        if sets.is_empty() || sets.iter().any(|set| set.get(cluster_label).is_none()) {
            names.insert(self.store.to_string());
        }
        names
    }

    fn merge(&mut self, other: Asked) {
        for gap in other.gaps {
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
        for set in other.label_sets {
            if !self.label_sets.contains(&set) {
                self.label_sets.push(set);
            }
        }
        match (&mut self.outcome, other.outcome) {
            (Outcome::Failed { .. }, _) => {}
            (mine, failed @ Outcome::Failed { .. }) => *mine = failed,
            (
                Outcome::Complete { series, bytes, took },
                Outcome::Complete { series: more, bytes: more_bytes, took: other_took },
            ) => {
                *series += more;
                *bytes += more_bytes;
                *took = (*took).max(other_took);
            }
        }
    }
}
