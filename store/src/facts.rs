//! What sources know besides series: metadata of metrics, rules with their alerts, targets, exemplars, statistics of
//! heads.
//!
//! A [`Question`] is asked of all stores that serve its [`Kind`] ([`crate::fanout::facts`]); what comes is a heap of
//! [`Facts`], which each kind's `fold` makes one answer: filtered, replicas deduplicated, sorted.

use std::fmt;

use crate::budget::{Budget, LimitExceeded, Reservation};
use crate::error::StoreError;
use crate::labels::Labels;
use crate::select::{StoreInfo, admits};
use crate::series::Millis;

pub mod exemplars;
pub mod metadata;
pub mod rules;
pub mod statistics;
pub mod targets;

pub use exemplars::{Exemplar, ExemplarSeries, ExemplarsRequest};
pub use metadata::{MetadataRequest, MetricMetadata};
pub use rules::{Alert, AlertState, Alerting, Rule, RuleGroup, RuleKind, RulesRequest};
pub use statistics::{Count, Statistics, StatisticsRequest};
pub use targets::{ActiveTarget, DroppedTarget, Health, TargetState, TargetsRequest};

/// A kind of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Type, help and unit of metrics.
    Metadata,
    /// Recording and alerting rules, and active alerts.
    Rules,
    /// What is scraped, and what is not.
    Targets,
    /// Exemplars.
    Exemplars,
    /// How many series heads hold, and of what.
    Statistics,
}

impl Kind {
    /// All there are.
    pub const ALL: [Kind; 5] = [Kind::Metadata, Kind::Rules, Kind::Targets, Kind::Exemplars, Kind::Statistics];

    /// Its name, in the plural.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Metadata => "metadata",
            Kind::Rules => "rules",
            Kind::Targets => "targets",
            Kind::Exemplars => "exemplars",
            Kind::Statistics => "statistics",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Kinds(u8);

impl Kinds {
    /// No kind.
    pub const NONE: Kinds = Kinds(0);
    /// Every kind.
    pub const ALL: Kinds = Kinds(0b1_1111);

    /// The set with `kind`, if `there`.
    pub fn with(self, kind: Kind, there: bool) -> Self {
        Self(self.0 | u8::from(there) << kind as u8)
    }

    /// Whether `kind` is in the set.
    pub fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// The kinds of either set.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, |set, kind| set.with(kind, true))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Kind::ALL.iter().filter(|kind| self.has(**kind))).finish()
    }
}

/// What is asked of a source. A source may answer more than that: whoever asks filters.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Metadata of metrics.
    Metadata(MetadataRequest),
    /// Rules and alerts.
    Rules(RulesRequest),
    /// Targets.
    Targets(TargetsRequest),
    /// Exemplars.
    Exemplars(ExemplarsRequest),
    /// Statistics of heads.
    Statistics(StatisticsRequest),
}

impl Question {
    /// The kind of facts that are asked for.
    pub fn kind(&self) -> Kind {
        match self {
            Question::Metadata(_) => Kind::Metadata,
            Question::Rules(_) => Kind::Rules,
            Question::Targets(_) => Kind::Targets,
            Question::Exemplars(_) => Kind::Exemplars,
            Question::Statistics(_) => Kind::Statistics,
        }
    }

    /// Whether what lies below the external labels `set` can be in the answer.
    pub fn admits(&self, set: &Labels) -> bool {
        match self {
            Question::Metadata(_) | Question::Rules(_) | Question::Targets(_) => true,
            Question::Exemplars(request) => request.selectors.iter().any(|matchers| admits(set, matchers)),
            Question::Statistics(request) => admits(set, &request.matchers),
        }
    }

    /// Whether a source of these facts is to be asked. A source that never answered is: it may serve anything.
    pub fn concerns(&self, info: &StoreInfo) -> bool {
        info.serves.has(self.kind())
            && (info.label_sets.is_empty() || info.label_sets.iter().any(|set| self.admits(set)))
    }
}

/// One fact.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// What a metric means, as one target says.
    Metadata(MetricMetadata),
    /// A group of rules.
    RuleGroup(RuleGroup),
    /// A target that is scraped.
    ActiveTarget(ActiveTarget),
    /// A target that relabelling dropped.
    DroppedTarget(DroppedTarget),
    /// The exemplars of a series.
    Exemplars(ExemplarSeries),
    /// Statistics of one head.
    Statistics(Statistics),
}

impl Fact {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Fact::Metadata(_) => Kind::Metadata,
            Fact::RuleGroup(_) => Kind::Rules,
            Fact::ActiveTarget(_) | Fact::DroppedTarget(_) => Kind::Targets,
            Fact::Exemplars(_) => Kind::Exemplars,
            Fact::Statistics(_) => Kind::Statistics,
        }
    }

    /// Bytes held.
    fn size_bytes(&self) -> usize {
        size_of::<Fact>()
            + match self {
                Fact::Metadata(metadata) => metadata.size_bytes(),
                Fact::RuleGroup(group) => group.size_bytes(),
                Fact::ActiveTarget(target) => target.size_bytes(),
                Fact::DroppedTarget(target) => target.discovered_labels.size_bytes(),
                Fact::Exemplars(series) => series.size_bytes(),
                Fact::Statistics(statistics) => statistics.size_bytes(),
            }
    }
}

/// Facts in no order, with the memory they hold.
#[derive(Debug)]
pub struct Facts {
    items: Vec<Fact>,
    held: Reservation,
    /// Why they are not all: the answer broke off, or a source that asks others lacks some.
    pub lacking: Option<StoreError>,
}

impl Facts {
    /// None yet; what comes is reserved in `budget`.
    pub fn new(budget: &Budget) -> Self {
        Self { items: Vec::new(), held: budget.begin("facts"), lacking: None }
    }

    /// Adds a fact.
    ///
    /// Errors: the budget's refusal.
    pub fn push(&mut self, fact: Fact) -> Result<(), LimitExceeded> {
        self.held.grow(fact.size_bytes())?;
        self.items.push(fact);
        Ok(())
    }

    /// Adds a fact that `paid` has paid for, a part of it at least.
    ///
    /// Errors: the budget's refusal of the rest.
    pub(crate) fn push_paid(&mut self, fact: Fact, paid: &mut Reservation) -> Result<(), LimitExceeded> {
        let bytes = fact.size_bytes();
        paid.grow(bytes.saturating_sub(paid.bytes()))?;
        self.held.merge(paid.split(bytes));
        paid.shrink_to(0);
        self.items.push(fact);
        Ok(())
    }

    /// Takes over the facts of `other`, which must be of the same budget, and their memory.
    pub fn append(&mut self, mut other: Self) {
        self.held.merge(other.held);
        self.items.append(&mut other.items);
    }

    /// Makes the statistics of one source, which may come in parts, one for each tenant, and notes whose they are, so
    /// that those of replicas can be told.
    pub(crate) fn of_source(mut self, label_sets: &[Labels]) -> Result<Self, LimitExceeded> {
        let lacking = self.lacking.take();
        let (tenants, mut held) = statistics::by_tenant(self, usize::MAX, &[]);
        held.grow(tenants.len() * label_sets.iter().map(Labels::size_bytes).sum::<usize>())?;
        let named = |statistics| Fact::Statistics(Statistics { label_sets: label_sets.to_vec(), ..statistics });
        Ok(Self { items: tenants.into_iter().map(named).collect(), held, lacking })
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes they hold.
    pub fn size_bytes(&self) -> usize {
        self.held.bytes()
    }

    /// The facts and their memory.
    pub fn into_parts(self) -> (Vec<Fact>, Reservation) {
        (self.items, self.held)
    }
}

/// A point in time by the clock of a source, of ns, within the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    seconds: i64,
    nanos: u32,
}

impl Moment {
    /// The begin of year 1, which is Go's zero time and stands for never.
    pub const NEVER: Moment = Moment { seconds: -62_135_596_800, nanos: 0 };
    /// The last second of the year 9999.
    const LAST: i64 = 253_402_300_799;

    /// Of seconds since 1970 and ns forward from there. Times that no calendar prints are moved to the ends.
    pub fn new(seconds: i64, nanos: i64) -> Self {
        let nanos = u32::try_from(nanos.clamp(0, 999_999_999)).unwrap_or(0);
        Self { seconds: seconds.clamp(Self::NEVER.seconds, Self::LAST), nanos }
    }

    /// Of ms since 1970.
    pub fn from_millis(time: Millis) -> Self {
        Self::new(time.div_euclid(1000), time.rem_euclid(1000) * 1_000_000)
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds forward from there, below a second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_a_set() {
        let some: Kinds = [Kind::Rules, Kind::Statistics].into_iter().collect();
        assert_eq!(Kind::ALL.map(|kind| some.has(kind)), [false, true, false, false, true]);
        assert_eq!(Kind::ALL.into_iter().collect::<Kinds>(), Kinds::ALL);
        assert_eq!(some.with(Kind::Targets, false), some);
        assert_eq!(format!("{some:?}"), "{Rules, Statistics}");
    }

    #[test]
    fn facts_are_paid_for_until_they_go() {
        let budget = Budget::new("query", 10_000);
        let fact = |help: usize| {
            let help = "x".repeat(help).into();
            Fact::Metadata(MetricMetadata { metric: "up".into(), kind: "gauge".into(), help, unit: "".into() })
        };
        let mut facts = Facts::new(&budget);
        facts.push(fact(10)).unwrap();
        let mut more = Facts::new(&budget);
        more.push(fact(100)).unwrap();
        assert_eq!(more.push(fact(10_000)).unwrap_err().budget, "query");
        facts.append(more);
        assert_eq!(budget.used(), facts.size_bytes());
        assert_eq!(budget.used(), 2 * (size_of::<Fact>() + "up".len() + "gauge".len()) + 110);
        drop(facts.into_parts());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn moments_stay_within_the_calendar() {
        assert_eq!(Moment::from_millis(-1), Moment::new(-1, 999_000_000));
        assert_eq!(Moment::new(i64::MIN, -5), Moment::NEVER);
        assert_eq!(Moment::new(i64::MAX, i64::MAX), Moment::new(253_402_300_799, 999_999_999));
        assert!(Moment::new(5, 7) > Moment::new(5, 6));
    }
}
