//! Rules of rulers and what they came to last.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::{Fact, Facts, Moment};
use crate::budget::Reservation;
use crate::labels::Labels;
use crate::matcher::Matcher;

/// Whether a rule records or alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// It alerts.
    Alert,
    /// It records.
    Record,
}

/// A question for rules. Empty lists ask for all.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RulesRequest {
    /// Rules of this kind alone.
    pub kind: Option<RuleKind>,
    /// Rules of these names.
    pub names: Vec<Box<str>>,
    /// Of groups of these names.
    pub groups: Vec<Box<str>>,
    /// Of these files.
    pub files: Vec<Box<str>>,
    /// Rules whose labels, external ones included, match any of these sets.
    pub matcher_sets: Vec<Vec<Matcher>>,
}

impl RulesRequest {
    /// Drops the rules of a group that are not asked for. Whether any are left.
    pub fn filter(&self, group: &mut RuleGroup) -> bool {
        let among = |wanted: &[Box<str>], name: &str| wanted.is_empty() || wanted.iter().any(|have| **have == *name);
        if !among(&self.groups, &group.name) || !among(&self.files, &group.file) {
            group.rules.clear();
        }
        let wanted = |rule: &Rule| {
            among(&self.names, &rule.name)
                && self.kind.is_none_or(|kind| kind == rule.kind())
                && (self.matcher_sets.is_empty() || self.matcher_sets.iter().any(|set| matches(set, &rule.labels)))
        };
        group.rules.retain(wanted);
        !group.rules.is_empty()
    }
}

/// Whether labels match, as they are written in the rule: nobody fills in templates here (Group.Rules in rules/group.go
/// of Prometheus).
fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels.value(matcher.name())))
}

/// A group of rules.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleGroup {
    /// Its name.
    pub name: Box<str>,
    /// The file it is from.
    pub file: Box<str>,
    /// Its rules.
    pub rules: Vec<Rule>,
    /// Time between two evaluations, s.
    pub interval_s: f64,
    /// Series or alerts that a rule may make, at most; 0 is no limit.
    pub limit: i64,
    /// How long the last evaluation took, s.
    pub evaluation_s: f64,
    /// When it was.
    pub last_evaluation: Moment,
    /// Its evaluation fails where sources are missing; Thanos' rulers have it as a choice.
    pub aborts: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Name of the alert, or of the series that it records.
    pub name: Box<str>,
    /// PromQL.
    pub query: Box<str>,
    /// Its labels, external ones included.
    pub labels: Labels,
    /// `ok`, `err` or `unknown`.
    pub health: Box<str>,
    /// Why its last evaluation failed, or nothing.
    pub last_error: Box<str>,
    /// How long the last evaluation took, s.
    pub evaluation_s: f64,
    /// When it was.
    pub last_evaluation: Moment,
    /// What an alerting rule has besides.
    pub alerting: Option<Alerting>,
}

/// What an alerting rule has besides.
#[derive(Debug, Clone, PartialEq)]
pub struct Alerting {
    /// The gravest state of its alerts.
    pub state: AlertState,
    /// How long an alert is pending, s.
    pub hold_s: f64,
    /// How long it fires on, s.
    pub keep_firing_s: f64,
    /// Its annotations.
    pub annotations: Labels,
    /// Its active alerts.
    pub alerts: Vec<Alert>,
}

/// State of an alert; greater is graver. The numbers are those of `thanos.AlertState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// Nobody knows.
    Unknown = 0,
    /// Not active.
    Inactive = 1,
    /// Active, but not for long enough.
    Pending = 2,
    /// Firing.
    Firing = 3,
}

impl AlertState {
    /// As the APIs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// An active alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations, filled in.
    pub annotations: Labels,
    /// Its state.
    pub state: AlertState,
    /// Since when it is active.
    pub active_at: Option<Moment>,
    /// The value of the expression, as the ruler prints it.
    pub value: Box<str>,
}

impl RuleGroup {
    pub(super) fn size_bytes(&self) -> usize {
        self.name.len() + self.file.len() + self.rules.iter().map(Rule::size_bytes).sum::<usize>()
    }
}

impl Rule {
    fn size_bytes(&self) -> usize {
        let texts = self.name.len() + self.query.len() + self.health.len() + self.last_error.len();
        let alerting = self.alerting.as_ref().map_or(0, |alerting| {
            let of = |alert: &Alert| {
                size_of::<Alert>() + alert.labels.size_bytes() + alert.annotations.size_bytes() + alert.value.len()
            };
            alerting.annotations.size_bytes() + alerting.alerts.iter().map(of).sum::<usize>()
        });
        size_of::<Rule>() + texts + self.labels.size_bytes() + alerting
    }

    /// Whether it records or alerts.
    pub fn kind(&self) -> RuleKind {
        if self.alerting.is_some() { RuleKind::Alert } else { RuleKind::Record }
    }

    /// The order of rules within a group, in which equal rules are the same rule (Rule.Compare in pkg/rules/rulespb of
    /// Thanos).
    fn compare(&self, other: &Rule) -> Ordering {
        let hold = |rule: &Rule| rule.alerting.as_ref().map_or(0.0, |alerting| alerting.hold_s);
        (self.kind(), &self.name, &self.labels, &self.query)
            .cmp(&(other.kind(), &other.name, &other.labels, &other.query))
            .then_with(|| hold(self).total_cmp(&hold(other)))
    }

    /// Of two that are the same rule, the one with the graver alerts comes first, then the one that was evaluated
    /// later.
    fn prefer(&self, other: &Rule) -> Ordering {
        let state = |rule: &Rule| rule.alerting.as_ref().map(|alerting| alerting.state);
        (state(other), other.last_evaluation).cmp(&(state(self), self.last_evaluation))
    }
}

/// The groups that are asked for, by file and name, and their memory: groups of one file and name become one, rules
/// that only differ in replica labels too (dedupGroups and dedupRules in pkg/rules/rules.go of Thanos). Of merged
/// groups the one that was evaluated last gives times and limits. Alerts of a rule are sorted by labels. Groups without
/// rules are left out, as Prometheus leaves them out.
pub fn fold(facts: Facts, request: &RulesRequest, replica_labels: &[Box<str>]) -> (Vec<RuleGroup>, Reservation) {
    let (facts, held) = facts.into_parts();
    let mut groups: BTreeMap<(Box<str>, Box<str>), RuleGroup> = BTreeMap::new();
    for fact in facts {
        let Fact::RuleGroup(mut group) = fact else { continue };
        if !request.filter(&mut group) {
            continue;
        }
        match groups.get_mut(&(group.file.clone(), group.name.clone())) {
            Some(have) => {
                if have.last_evaluation < group.last_evaluation {
                    std::mem::swap(have, &mut group);
                }
                have.rules.append(&mut group.rules);
            }
            None => {
                groups.insert((group.file.clone(), group.name.clone()), group);
            }
        }
    }
    let mut groups: Vec<RuleGroup> = groups.into_values().collect();
    for group in &mut groups {
        for rule in &mut group.rules {
            rule.labels = rule.labels.without(replica_labels);
            if let Some(alerting) = &mut rule.alerting {
                // A Prometheus lists them in another order each time.
                alerting.alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
            }
        }
        group.rules.sort_by(|a, b| a.compare(b).then_with(|| a.prefer(b)));
        group.rules.dedup_by(|later, first| later.compare(first).is_eq());
    }
    (groups, held)
}

#[cfg(test)]
mod tests;
