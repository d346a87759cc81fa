//! What is asked of a source, and what a source says of itself.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::budget::Budget;
use crate::error::StoreError;
use crate::facts::Kinds;
use crate::labels::Labels;
use crate::matcher::Matcher;
use crate::series::{Millis, StoreId};

/// One selection of series.
#[derive(Debug, Clone, PartialEq)]
pub struct Select {
    /// All must match, on the final label set: external labels included, before replica labels are removed.
    pub matchers: Vec<Matcher>,
    /// First time, ms, inclusive.
    pub min_time: Millis,
    /// Last time, ms, inclusive.
    pub max_time: Millis,
    /// Labels that tell replicas apart, to be removed from the series and to name its lanes. Empty: no deduplication.
    pub replica_labels: Vec<Box<str>>,
    /// Series without chunks are asked for. What start and end narrow is then up to the source.
    pub labels_only: bool,
    /// At most so many series; 0 is no limit. A source may give more.
    pub limit: usize,
}

/// What a source last said of itself, for pruning and coverage.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    /// Its name.
    pub id: StoreId,
    /// Thanos' component type: `sidecar`, `store`, `rule`, `receive`, `query`, ... ; `blocks` for a folder of ours;
    /// empty while unknown.
    pub component: Box<str>,
    /// External label sets. Empty: it may hold anything.
    pub label_sets: Vec<Labels>,
    /// Earliest sample, ms, inclusive.
    pub min_time: Millis,
    /// Latest sample, ms, inclusive; of a source that is down, the latest that it may have by now.
    pub max_time: Millis,
    /// What it serves besides series. All while unknown: it may serve anything.
    pub serves: Kinds,
    /// Whether it can be asked.
    pub state: StoreState,
    /// When it was last asked for its facts.
    pub last_check: Option<SystemTime>,
}

/// Whether a source can be asked.
#[derive(Debug, Clone)]
pub enum StoreState {
    /// Its first facts are not here yet.
    Starting,
    /// It answers.
    Up,
    /// It does not. It counts as missing in every answer to which it could have contributed.
    Down {
        /// Since when.
        since: SystemTime,
        /// Why.
        error: StoreError,
    },
}

impl StoreInfo {
    /// Whether the source can hold something that `select` asks for, by time range and external labels. A source that
    /// never answered can.
    pub fn may_contribute(&self, select: &Select) -> bool {
        self.min_time <= select.max_time
            && select.min_time <= self.max_time
            && (self.label_sets.is_empty() || self.label_sets.iter().any(|set| admits(set, &select.matchers)))
    }
}

/// Whether series below the external labels `set` can match: a matcher excludes them only if the set has its label
/// (Thanos pkg/store/proxy.go, LabelSetsMatch).
pub fn admits(set: &Labels, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|m| set.get(m.name()).is_none_or(|value| m.matches(value)))
}

/// What a source knows that it lacks: not read heads, times of which only another resolution is left, skipped blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Gap {
    /// External labels of what is lacking; empty where unknown.
    pub labels: Labels,
    /// First time lacking, ms, inclusive.
    pub min_time: Millis,
    /// Last time lacking, ms, inclusive.
    pub max_time: Millis,
    /// What and why, a sentence without the source's name.
    pub reason: Box<str>,
}

/// What the answer to one request may take.
#[derive(Debug, Clone)]
pub struct Allowance {
    /// Memory: what is handed over is reserved in it, and travels with its reservation.
    pub budget: Budget,
    /// Time: nobody waits for the answer beyond it. Whoever asks others tells them.
    pub deadline: Instant,
}

impl Allowance {
    /// The memory of `budget` and all the time there is, for tests and tools.
    pub fn of(budget: &Budget) -> Self {
        Self { budget: budget.clone(), deadline: Instant::now() + Duration::from_secs(30 * 365 * 86_400) }
    }

    /// All there is, for tests and tools.
    pub fn unlimited() -> Self {
        Self::of(&Budget::unlimited())
    }
}
