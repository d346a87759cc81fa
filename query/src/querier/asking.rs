//! How one request asks its stores, and what is known of them at any time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use masthead_store::coverage::Coverage;
use masthead_store::fanout::{self, FanOutOptions, Feed, Progress};
use masthead_store::{Budget, Reservation, Select, Store, StoreError};

use tokio::time::Instant;

use super::{Answer, Cost};
use crate::error::QueryError;

/// So many selections of a request for labels or newest samples are asked at once.
pub(super) const SELECTIONS_AHEAD: usize = 8;

/// A request's stores and bounds.
pub(super) struct Asking {
    pub(super) stores: Vec<Arc<dyn Store>>,
    /// The memory of this request.
    pub(super) budget: Budget,
    pub(super) fan_out: FanOutOptions,
    /// The time for the whole request.
    pub(super) timeout: Duration,
    /// Answer where stores are missing.
    pub(super) partial_response: bool,
    /// The request chose among the stores.
    pub(super) chosen: bool,
    pub(super) selections: Arc<Selections>,
}

/// All selections of one request, as they go.
#[derive(Default)]
pub(super) struct Selections(Mutex<Vec<Progress>>);

impl Selections {
    fn add(&self, progress: Progress) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(progress);
    }

    /// Who was asked and how it went; see [`Progress::coverage`].
    pub(super) fn coverage(&self, late: Option<&StoreError>) -> Coverage {
        let mut coverage = Coverage::default();
        for progress in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            coverage.merge(progress.coverage(late));
        }
        coverage
    }
}

impl Asking {
    /// Asks for series. Must be called within the runtime.
    pub(super) fn select(&self, select: Select) -> Feed {
        self.select_with(select, &self.fan_out)
    }

    fn select_with(&self, select: Select, options: &FanOutOptions) -> Feed {
        let feed = fanout::fan_out(&self.stores, Arc::new(select), &self.budget, options);
        self.selections.add(feed.progress());
        feed
    }

    /// Where a selection of labels is to note how it goes.
    pub(super) fn begin(&self) -> Progress {
        let progress = Progress::default();
        self.selections.add(progress.clone());
        progress
    }

    /// Asks for series as the feeds are taken, some selections ahead, which share the room of one.
    pub(super) fn select_all(&self, mut selects: impl Iterator<Item = Select>) -> impl Iterator<Item = Feed> {
        let mut ahead = VecDeque::new();
        let options = FanOutOptions { buffer_bytes: self.fan_out.buffer_bytes / SELECTIONS_AHEAD, ..self.fan_out };
        std::iter::from_fn(move || {
            ahead.extend(
                selects.by_ref().take(SELECTIONS_AHEAD - ahead.len()).map(|select| self.select_with(select, &options)),
            );
            ahead.pop_front()
        })
    }

    /// Fails where stores are missing in a selection that was read to its end, and that is not wanted.
    pub(super) fn refuse_incomplete_in(&self, progress: &Progress) -> Result<(), QueryError> {
        match self.partial_response || progress.coverage(None).is_complete() {
            true => Ok(()),
            false => Err(QueryError::Incomplete(Box::new(self.selections.coverage(None)))),
        }
    }

    /// Fails where the time is up: what ends then may have been cut.
    pub(super) fn refuse_late(&self) -> Result<(), QueryError> {
        match Instant::now() < self.fan_out.deadline {
            true => Ok(()),
            false => Err(QueryError::Timeout(self.timeout)),
        }
    }

    /// Fails where stores are missing and that is not wanted.
    pub(super) fn refuse_incomplete(&self) -> Result<(), QueryError> {
        if self.partial_response {
            return Ok(());
        }
        let coverage = self.selections.coverage(None);
        if coverage.is_complete() { Ok(()) } else { Err(QueryError::Incomplete(Box::new(coverage))) }
    }

    /// A warning where there is nobody to ask, so that nothing is not taken for an answer.
    pub(super) fn no_store(&self) -> Vec<String> {
        let why = if self.chosen { "no store fulfils storeMatch[]" } else { "no store is configured" };
        match self.stores.is_empty() {
            true => vec![format!("{why}, so that nothing was asked")],
            false => vec![],
        }
    }

    /// An answer without infos, as it stands when all was asked.
    pub(super) fn answer<T>(&self, value: T, held: Reservation) -> Answer<T> {
        let coverage = self.selections.coverage(None);
        let (warnings, cost) = (self.no_store(), Cost::default());
        Answer { value, warnings, infos: vec![], coverage, cost, held: Some(held), samples: None, plan: None }
    }
}
