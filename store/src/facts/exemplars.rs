//! Exemplars: single events that stand for a sample.

use std::collections::BTreeMap;

use super::{Fact, Facts};
use crate::budget::Reservation;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::series::Millis;

/// A question for exemplars.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarsRequest {
    /// Of series that match any of these, external labels included.
    pub selectors: Vec<Vec<Matcher>>,
    /// First time, ms, inclusive.
    pub min_time: Millis,
    /// Last time, ms, inclusive.
    pub max_time: Millis,
}

impl ExemplarsRequest {
    /// Whether it asks for a series with these labels.
    pub fn wants(&self, labels: &Labels) -> bool {
        self.selectors.iter().any(|matchers| matchers.iter().all(|m| m.matches(labels.value(m.name()))))
    }
}

/// The exemplars of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ExemplarSeries {
    /// Labels of the series, external ones included.
    pub labels: Labels,
    /// Its exemplars.
    pub exemplars: Vec<Exemplar>,
}

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// What it says of the event, such as the id of a trace.
    pub labels: Labels,
    /// The value of the event.
    pub value: f64,
    /// When it was, ms.
    pub time: Millis,
}

impl ExemplarSeries {
    pub(super) fn size_bytes(&self) -> usize {
        let each = |exemplar: &Exemplar| size_of::<Exemplar>() + exemplar.labels.size_bytes();
        self.labels.size_bytes() + self.exemplars.iter().map(each).sum::<usize>()
    }
}

/// The exemplars that are asked for, by series without replica labels, each once, by time, labels and value, and their
/// memory (dedupExemplarsResponse in pkg/exemplars/exemplars.go of Thanos). Series without exemplars are left out.
pub fn fold(
    facts: Facts,
    request: &ExemplarsRequest,
    replica_labels: &[Box<str>],
) -> (Vec<ExemplarSeries>, Reservation) {
    let (facts, held) = facts.into_parts();
    let mut all: BTreeMap<Labels, Vec<Exemplar>> = BTreeMap::new();
    for fact in facts {
        let Fact::Exemplars(mut series) = fact else { continue };
        series.exemplars.retain(|exemplar| (request.min_time..=request.max_time).contains(&exemplar.time));
        if !series.exemplars.is_empty() && request.wants(&series.labels) {
            all.entry(series.labels.without(replica_labels)).or_default().append(&mut series.exemplars);
        }
    }
    let series = all.into_iter().map(|(labels, mut exemplars)| {
        exemplars
            .sort_by(|a, b| (a.time, &a.labels).cmp(&(b.time, &b.labels)).then_with(|| a.value.total_cmp(&b.value)));
        exemplars.dedup_by(|later, first| {
            (later.time, &later.labels, later.value.to_bits()) == (first.time, &first.labels, first.value.to_bits())
        });
        ExemplarSeries { labels, exemplars }
    });
    (series.collect(), held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    fn series(labels: &[(&str, &str)], exemplars: &[(Millis, &str, f64)]) -> Fact {
        let exemplars = exemplars.iter().map(|(time, trace, value)| {
            let labels = Labels::from_pairs([("trace", *trace)]);
            Exemplar { labels, value: *value, time: *time }
        });
        Fact::Exemplars(ExemplarSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            exemplars: exemplars.collect(),
        })
    }

    fn folded(facts: Vec<Fact>, selectors: Vec<Vec<Matcher>>, times: (Millis, Millis)) -> Vec<String> {
        let mut heap = Facts::new(&Budget::unlimited());
        facts.into_iter().for_each(|fact| heap.push(fact).unwrap());
        let request = ExemplarsRequest { selectors, min_time: times.0, max_time: times.1 };
        let line = |series: &ExemplarSeries| {
            let each = series.exemplars.iter().map(|e| format!("{}:{}={}", e.time, e.labels.value("trace"), e.value));
            format!("{} {}", series.labels.value("pod"), each.collect::<Vec<_>>().join(" "))
        };
        fold(heap, &request, &["replica".into()]).0.iter().map(line).collect()
    }

    fn facts() -> Vec<Fact> {
        vec![
            series(&[("pod", "2"), ("replica", "a")], &[(5, "x", 1.0), (3, "y", 2.0), (5, "w", f64::NAN)]),
            series(&[("pod", "1"), ("replica", "a")], &[(5, "x", 1.0)]),
            series(
                &[("pod", "2"), ("replica", "b")],
                &[(5, "x", 1.0), (5, "x", 2.0), (5, "w", f64::NAN), (9, "z", 1.0)],
            ),
            series(&[("pod", "3"), ("replica", "b")], &[]),
        ]
    }

    #[test]
    fn replicas_are_one_series_and_say_nothing_twice() {
        let all = || vec![vec![]];
        assert_eq!(folded(facts(), all(), (0, 10)), ["1 5:x=1", "2 3:y=2 5:w=NaN 5:x=1 5:x=2 9:z=1"]);
        assert_eq!(folded(facts(), all(), (9, 9)), ["2 9:z=1"]);
        assert!(folded(vec![], all(), (0, 10)).is_empty());
    }

    /// Sources may give more than what was asked: external labels are not theirs to look at.
    #[test]
    fn series_that_no_selector_matches_are_dropped() {
        let only = |replica| vec![vec![Matcher::equal("pod", "2"), Matcher::equal("replica", replica)]];
        assert_eq!(folded(facts(), only("a"), (0, 10)), ["2 3:y=2 5:w=NaN 5:x=1"]);
        assert!(folded(facts(), only("c"), (0, 10)).is_empty());
        assert!(folded(facts(), vec![], (0, 10)).is_empty());
    }
}
