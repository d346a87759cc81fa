//! What is scraped, and what relabelling dropped.

use std::cmp::Ordering;

use super::{Fact, Facts, Moment};
use crate::budget::Reservation;
use crate::labels::Labels;

/// Whether a target is scraped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// It is scraped.
    Active,
    /// Relabelling dropped it.
    Dropped,
}

/// A question for targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TargetsRequest {
    /// Targets in this state alone.
    pub state: Option<TargetState>,
}

impl TargetsRequest {
    /// Whether it asks for targets in `state`.
    pub fn wants(&self, state: TargetState) -> bool {
        self.state.is_none_or(|wanted| wanted == state)
    }
}

/// How the last scrape went; the worse the smaller. The numbers are those of `thanos.TargetHealth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// It failed.
    Down = 0,
    /// It went well.
    Up = 1,
    /// There was none.
    Unknown = 2,
}

impl Health {
    /// As the APIs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Down => "down",
            Health::Up => "up",
            Health::Unknown => "unknown",
        }
    }
}

/// A target that is scraped.
#[derive(Debug, Clone, PartialEq)]
pub struct ActiveTarget {
    /// Labels before relabelling, external ones included.
    pub discovered_labels: Labels,
    /// Labels of its series, external ones included.
    pub labels: Labels,
    /// Name of its scrape configuration.
    pub scrape_pool: Box<str>,
    /// Where it is scraped.
    pub scrape_url: Box<str>,
    /// The same, as others can reach it.
    pub global_url: Box<str>,
    /// Why the last scrape failed, or nothing.
    pub last_error: Box<str>,
    /// When the last scrape was.
    pub last_scrape: Moment,
    /// How long it took, s.
    pub last_scrape_s: f64,
    /// How it went.
    pub health: Health,
}

/// A target that relabelling dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTarget {
    /// Labels before relabelling, external ones included.
    pub discovered_labels: Labels,
}

impl DroppedTarget {
    /// Its scrape configuration. The label `job` has that name before relabelling (populateDiscoveredLabels in
    /// scrape/target.go of Prometheus).
    pub fn scrape_pool(&self) -> &str {
        self.discovered_labels.value("job")
    }
}

impl ActiveTarget {
    pub(super) fn size_bytes(&self) -> usize {
        let texts = [&self.scrape_pool, &self.scrape_url, &self.global_url, &self.last_error];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        self.discovered_labels.size_bytes() + self.labels.size_bytes() + texts
    }

    /// The order of targets, in which equal targets are the same target (ActiveTarget.Compare in pkg/targets/targetspb
    /// of Thanos), by pools first, as Prometheus lists them.
    fn compare(&self, other: &ActiveTarget) -> Ordering {
        (&self.scrape_pool, &self.scrape_url, &self.discovered_labels, &self.labels).cmp(&(
            &other.scrape_pool,
            &other.scrape_url,
            &other.discovered_labels,
            &other.labels,
        ))
    }

    /// Of two that are the same target, the one that is down comes first, then the one that was scraped later.
    fn prefer(&self, other: &ActiveTarget) -> Ordering {
        (self.health, other.last_scrape).cmp(&(other.health, self.last_scrape))
    }
}

/// All targets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Targets {
    /// Those that are scraped, by pool and URL.
    pub active: Vec<ActiveTarget>,
    /// Those that were dropped, by pool and labels.
    pub dropped: Vec<DroppedTarget>,
}

/// The targets that are asked for, those that only differ in replica labels as one, and their memory.
pub fn fold(facts: Facts, request: &TargetsRequest, replica_labels: &[Box<str>]) -> (Targets, Reservation) {
    let (facts, held) = facts.into_parts();
    let mut targets = Targets::default();
    for fact in facts {
        match fact {
            Fact::ActiveTarget(mut target) if request.wants(TargetState::Active) => {
                target.discovered_labels = target.discovered_labels.without(replica_labels);
                target.labels = target.labels.without(replica_labels);
                targets.active.push(target);
            }
            Fact::DroppedTarget(DroppedTarget { discovered_labels }) if request.wants(TargetState::Dropped) => {
                targets.dropped.push(DroppedTarget { discovered_labels: discovered_labels.without(replica_labels) });
            }
            _ => {}
        }
    }
    targets.active.sort_by(|a, b| a.compare(b).then_with(|| a.prefer(b)));
    targets.active.dedup_by(|later, first| later.compare(first).is_eq());
    let key = |target: &DroppedTarget| (Box::<str>::from(target.scrape_pool()), target.discovered_labels.clone());
    targets.dropped.sort_by_cached_key(key);
    targets.dropped.dedup();
    (targets, held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    fn active(url: &str, labels: &[(&str, &str)], health: Health, scraped: i64) -> Fact {
        let labels = Labels::from_pairs(labels.iter().copied());
        Fact::ActiveTarget(ActiveTarget {
            discovered_labels: labels.clone(),
            labels,
            scrape_pool: "pool".into(),
            scrape_url: url.into(),
            global_url: url.into(),
            last_error: "".into(),
            last_scrape: Moment::new(scraped, 0),
            last_scrape_s: 0.1,
            health,
        })
    }

    fn dropped(labels: &[(&str, &str)]) -> Fact {
        Fact::DroppedTarget(DroppedTarget { discovered_labels: Labels::from_pairs(labels.iter().copied()) })
    }

    fn folded(facts: Vec<Fact>, state: Option<TargetState>) -> Vec<String> {
        let budget = Budget::unlimited();
        let mut heap = Facts::new(&budget);
        facts.into_iter().for_each(|fact| heap.push(fact).unwrap());
        let (targets, held) = fold(heap, &TargetsRequest { state }, &["replica".into()]);
        assert_eq!(held.bytes(), budget.used());
        let active = targets
            .active
            .iter()
            .map(|t| format!("{} {} {} {}", t.scrape_url, t.labels, t.health.as_str(), t.last_scrape.seconds()));
        active.chain(targets.dropped.iter().map(|t| format!("dropped {}", t.discovered_labels))).collect()
    }

    fn facts() -> Vec<Fact> {
        vec![
            active("http://b", &[("replica", "b"), ("job", "x")], Health::Up, 7),
            active("http://b", &[("replica", "a"), ("job", "x")], Health::Up, 5),
            active("http://a", &[("replica", "a"), ("job", "x")], Health::Up, 9),
            active("http://a", &[("replica", "b"), ("job", "x")], Health::Down, 1),
            active("http://a", &[("replica", "b"), ("job", "y")], Health::Unknown, 1),
            dropped(&[("job", "z"), ("replica", "a")]),
            dropped(&[("job", "a"), ("n", "1"), ("replica", "a")]),
            dropped(&[("job", "z"), ("replica", "b")]),
        ]
    }

    /// Of replicas the one that is down counts, then the one that was scraped last; others stay apart.
    #[test]
    fn replicas_of_a_target_are_one() {
        assert_eq!(
            folded(facts(), None),
            [
                r#"http://a {job="x"} down 1"#,
                r#"http://a {job="y"} unknown 1"#,
                r#"http://b {job="x"} up 7"#,
                r#"dropped {job="a", n="1"}"#,
                r#"dropped {job="z"}"#,
            ]
        );
        let mut reversed = facts();
        reversed.reverse();
        assert_eq!(folded(reversed, None), folded(facts(), None), "whatever the order they come in");
    }

    #[test]
    fn only_the_state_that_is_asked_for() {
        assert_eq!(folded(facts(), Some(TargetState::Active)).len(), 3);
        assert_eq!(folded(facts(), Some(TargetState::Dropped)).len(), 2);
        assert!(folded(vec![], None).is_empty());
    }
}
