//! How many series the heads of sources hold, and of what.

use std::collections::BTreeMap;

use super::{Fact, Facts};
use crate::budget::Reservation;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::series::Millis;

/// A question for statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct StatisticsRequest {
    /// All must match the external labels of a source.
    pub matchers: Vec<Matcher>,
    /// Entries that each list may have, at most.
    pub limit: usize,
}

/// A name and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Of what.
    pub name: Box<str>,
    /// How many, or how many bytes.
    pub count: u64,
}

/// Statistics of one head, or of several. The lists descend by count.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    /// External label sets of the source; empty: unknown.
    pub label_sets: Vec<Labels>,
    /// Whose series they are; mostly nothing.
    pub tenant: Box<str>,
    /// Series.
    pub series: u64,
    /// Different pairs of a label's name and value.
    pub label_pairs: i64,
    /// Chunks.
    pub chunks: i64,
    /// Earliest sample, ms.
    pub min_time: Millis,
    /// Latest sample, ms.
    pub max_time: Millis,
    /// Series of each metric.
    pub series_by_metric: Vec<Count>,
    /// Values of each label.
    pub values_by_label: Vec<Count>,
    /// Bytes of the values of each label.
    pub bytes_by_label: Vec<Count>,
    /// Series with each pair `name=value`.
    pub series_by_pair: Vec<Count>,
}

impl Statistics {
    fn lists(&self) -> [&Vec<Count>; 4] {
        [&self.series_by_metric, &self.values_by_label, &self.bytes_by_label, &self.series_by_pair]
    }

    pub(super) fn size_bytes(&self) -> usize {
        let counts = self.lists().into_iter().flatten().map(|count| size_of::<Count>() + count.name.len());
        let sets = self.label_sets.iter().map(Labels::size_bytes);
        self.tenant.len() + counts.sum::<usize>() + sets.sum::<usize>()
    }

    /// Adds those of another head (TSDBStatisticsEntry.Merge in pkg/status/statuspb/custom.go of Thanos). Of the values
    /// of a label the greater number stays: heads have most of them in common.
    fn add(&mut self, other: Statistics) {
        // A head without series has no times.
        if self.series == 0 {
            (self.min_time, self.max_time) = (other.min_time, other.max_time);
        } else if other.series > 0 {
            self.min_time = self.min_time.min(other.min_time);
            self.max_time = self.max_time.max(other.max_time);
        }
        self.series = self.series.saturating_add(other.series);
        self.label_pairs = self.label_pairs.saturating_add(other.label_pairs);
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.series_by_metric.extend(other.series_by_metric);
        self.values_by_label.extend(other.values_by_label);
        self.bytes_by_label.extend(other.bytes_by_label);
        self.series_by_pair.extend(other.series_by_pair);
    }

    /// Joins the counts of each name and cuts the lists, once all heads are added.
    fn settle(&mut self, limit: usize) {
        settle(&mut self.series_by_metric, limit, u64::saturating_add);
        settle(&mut self.values_by_label, limit, u64::max);
        settle(&mut self.bytes_by_label, limit, u64::saturating_add);
        settle(&mut self.series_by_pair, limit, u64::saturating_add);
    }
}

fn settle(list: &mut Vec<Count>, limit: usize, join: impl Fn(u64, u64) -> u64) {
    let mut all: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for Count { name, count } in list.drain(..) {
        all.entry(name).and_modify(|have| *have = join(*have, count)).or_insert(count);
    }
    list.extend(all.into_iter().map(|(name, count)| Count { name, count }));
    // Stable: equal counts stay in the order of names.
    list.sort_by_key(|entry| std::cmp::Reverse(entry.count));
    list.truncate(limit);
}

/// What tells one head from another once replica labels are gone: label sets and tenant.
type Identity = (Vec<Labels>, Box<str>);

/// The statistics of all heads together, each list cut to `limit`, and their memory.
///
/// Heads that only differ in replica labels hold the same series: of them the one with the most series counts, which is
/// more than Thanos does, whose numbers grow with the replicas. A source whose labels are unknown counts for itself,
/// and so does everything without replica labels.
pub fn fold(facts: Facts, limit: usize, replica_labels: &[Box<str>]) -> (Statistics, Reservation) {
    let mut sum = Statistics::default();
    let (heads, held) = heads(facts);
    distinct(heads, replica_labels).into_iter().for_each(|head| sum.add(head));
    sum.settle(limit);
    (sum, held)
}

/// The statistics of each tenant, as [`fold`] gives those of all, and their memory: what a source that asks others
/// gives.
pub fn by_tenant(facts: Facts, limit: usize, replica_labels: &[Box<str>]) -> (Vec<Statistics>, Reservation) {
    let (heads, held) = heads(facts);
    let mut tenants: BTreeMap<Box<str>, Statistics> = BTreeMap::new();
    for head in distinct(heads, replica_labels) {
        let sum = tenants.entry(head.tenant.clone()).or_default();
        sum.add(head);
    }
    let named = tenants.into_iter().map(|(tenant, mut sum)| {
        sum.settle(limit);
        Statistics { tenant, ..sum }
    });
    (named.collect(), held)
}

/// One head of each set of replicas.
fn distinct(heads: impl Iterator<Item = Statistics>, replica_labels: &[Box<str>]) -> Vec<Statistics> {
    let mut all = Vec::new();
    let mut best: BTreeMap<Identity, Statistics> = BTreeMap::new();
    for head in heads {
        if replica_labels.is_empty() || head.label_sets.is_empty() {
            all.push(head);
            continue;
        }
        let mut sets: Vec<Labels> = head.label_sets.iter().map(|set| set.without(replica_labels)).collect();
        sets.sort_unstable();
        sets.dedup();
        match best.get_mut(&(sets.clone(), head.tenant.clone())) {
            Some(have) if (have.series, have.max_time) >= (head.series, head.max_time) => {}
            Some(have) => *have = head,
            None => {
                best.insert((sets, head.tenant.clone()), head);
            }
        }
    }
    all.extend(best.into_values());
    all
}

fn heads(facts: Facts) -> (impl Iterator<Item = Statistics>, Reservation) {
    let (facts, held) = facts.into_parts();
    let heads = facts.into_iter().filter_map(|fact| match fact {
        Fact::Statistics(statistics) => Some(statistics),
        _ => None,
    });
    (heads, held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    fn counts(counts: &[(&str, u64)]) -> Vec<Count> {
        counts.iter().map(|(name, count)| Count { name: (*name).into(), count: *count }).collect()
    }

    fn head(set: &[(&str, &str)], series: u64, times: (Millis, Millis), metrics: &[(&str, u64)]) -> Statistics {
        Statistics {
            label_sets: if set.is_empty() { vec![] } else { vec![Labels::from_pairs(set.iter().copied())] },
            series,
            label_pairs: 10,
            chunks: 20,
            min_time: times.0,
            max_time: times.1,
            series_by_metric: counts(metrics),
            values_by_label: counts(metrics),
            ..Statistics::default()
        }
    }

    fn facts(heads: &[Statistics]) -> Facts {
        facts_in(&Budget::unlimited(), heads)
    }

    fn facts_in(budget: &Budget, heads: &[Statistics]) -> Facts {
        let mut facts = Facts::new(budget);
        heads.iter().for_each(|head| facts.push(Fact::Statistics(head.clone())).unwrap());
        facts
    }

    fn fleet() -> [Statistics; 5] {
        [
            head(&[("cluster", "x"), ("replica", "a")], 100, (50, 90), &[("up", 60), ("b", 40)]),
            head(&[("cluster", "x"), ("replica", "b")], 101, (40, 80), &[("up", 61), ("b", 40)]),
            head(&[("cluster", "y"), ("replica", "a")], 10, (60, 95), &[("c", 7), ("up", 3)]),
            // It has just started: no series, and the times that an empty head has.
            head(&[("cluster", "z"), ("replica", "a")], 0, (i64::MAX, i64::MIN), &[]),
            head(&[], 5, (70, 99), &[("a", 40)]),
        ]
    }

    #[test]
    fn replicas_count_once_and_clusters_add_up() {
        let (sum, _) = fold(facts(&fleet()), 3, &["replica".into()]);
        assert_eq!((sum.series, sum.label_pairs, sum.chunks), (116, 40, 80));
        assert_eq!((sum.min_time, sum.max_time), (40, 99));
        assert_eq!(sum.series_by_metric, counts(&[("up", 64), ("a", 40), ("b", 40)]));
        assert_eq!(sum.values_by_label, counts(&[("up", 61), ("a", 40), ("b", 40)]));
        let mut reversed = fleet();
        reversed.reverse();
        assert_eq!(fold(facts(&reversed), 3, &["replica".into()]).0, sum);
    }

    #[test]
    fn without_replica_labels_everything_adds_up() {
        let (sum, _) = fold(facts(&fleet()), 100, &[]);
        assert_eq!((sum.series, sum.min_time), (216, 40));
        assert_eq!(sum.series_by_metric, counts(&[("up", 124), ("b", 80), ("a", 40), ("c", 7)]));
        assert_eq!(fold(facts(&[]), 10, &[]).0, Statistics::default());
    }

    /// A source that asks others sends one message for each of them: they are its parts and no replicas.
    #[test]
    fn parts_of_a_source_add_up() {
        let sets = [labels_of("a"), labels_of("b")];
        let budget = Budget::unlimited();
        let source = |heads: &[Statistics]| facts_in(&budget, heads).of_source(&sets).unwrap();
        let mut both = source(&fleet()[..2]);
        assert_eq!(both.len(), 1);
        both.append(source(&fleet()[2..3]));
        let (sum, _) = fold(both, 10, &["replica".into()]);
        assert_eq!(sum.series, 201, "the greater of two sources that hold the same");
    }

    fn labels_of(replica: &str) -> Labels {
        Labels::from_pairs([("cluster", "x"), ("replica", replica)])
    }

    #[test]
    fn tenants_stay_apart() {
        let mut heads = fleet();
        heads[1].tenant = "other".into();
        let (tenants, _) = by_tenant(facts(&heads), 1, &[]);
        let shown: Vec<_> = tenants.iter().map(|t| (&*t.tenant, t.series, t.series_by_metric.len())).collect();
        assert_eq!(shown, [("", 115, 1), ("other", 101, 1)]);
        let (tenants, _) = by_tenant(facts(&fleet()), 1, &["replica".into()]);
        assert_eq!(tenants.iter().map(|t| t.series).collect::<Vec<_>>(), [116]);
    }
}
