//! What metrics mean, as scraped targets tell it.

use super::{Fact, Facts};
use crate::budget::Reservation;

/// A question for metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataRequest {
    /// Of this metric alone.
    pub metric: Option<Box<str>>,
}

impl MetadataRequest {
    /// Whether it asks for `metric`.
    pub fn wants(&self, metric: &str) -> bool {
        self.metric.as_deref().is_none_or(|wanted| wanted == metric)
    }
}

/// What a metric means. One metric may have several, where targets disagree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricMetadata {
    /// Name of the metric family.
    pub metric: Box<str>,
    /// `counter`, `gauge`, `histogram`, ...
    pub kind: Box<str>,
    /// A sentence for people.
    pub help: Box<str>,
    /// Its unit, or nothing.
    pub unit: Box<str>,
}

impl MetricMetadata {
    pub(super) fn size_bytes(&self) -> usize {
        self.metric.len() + self.kind.len() + self.help.len() + self.unit.len()
    }
}

/// The union of what sources say, by metric, each meaning once, and its memory.
pub fn fold(facts: Facts, request: &MetadataRequest) -> (Vec<MetricMetadata>, Reservation) {
    let (facts, held) = facts.into_parts();
    let metadata = facts.into_iter().filter_map(|fact| match fact {
        Fact::Metadata(metadata) if request.wants(&metadata.metric) => Some(metadata),
        _ => None,
    });
    let mut all: Vec<_> = metadata.collect();
    all.sort_unstable();
    all.dedup();
    (all, held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    /// Sources that say the same say it once; where they differ, all that they say stays.
    #[test]
    fn the_union_is_sorted_and_says_nothing_twice() {
        let rows = [("up", "gauge"), ("b", "counter"), ("up", "unknown"), ("b", "counter"), ("up", "gauge"), ("a", "")];
        let facts = || {
            let mut facts = Facts::new(&Budget::unlimited());
            for (metric, kind) in rows {
                let (help, unit) = ("".into(), "".into());
                let metadata = MetricMetadata { metric: metric.into(), kind: kind.into(), help, unit };
                facts.push(Fact::Metadata(metadata)).unwrap();
            }
            facts
        };
        let fold = |metric: Option<&str>| -> Vec<String> {
            let request = MetadataRequest { metric: metric.map(Into::into) };
            fold(facts(), &request).0.iter().map(|m| format!("{} {}", m.metric, m.kind)).collect()
        };
        assert_eq!(fold(None), ["a ", "b counter", "up gauge", "up unknown"]);
        assert_eq!(fold(Some("up")), ["up gauge", "up unknown"]);
        assert!(fold(Some("u")).is_empty());
    }
}
