//! How one request asks its stores, and what is known of them at any time.

use std::sync::{Arc, Mutex, PoisonError};

use masthead_store::coverage::Coverage;
use masthead_store::fanout::{self, FanOutOptions, Feed, Progress};
use masthead_store::{Budget, Reservation, Select, Store, StoreError};

use super::{Answer, Cost};
use crate::error::QueryError;

/// A request's stores and bounds.
pub(super) struct Asking {
    pub(super) stores: Vec<Arc<dyn Store>>,
    /// The memory of this request.
    pub(super) budget: Budget,
    pub(super) fan_out: FanOutOptions,
    /// Answer where stores are missing.
    pub(super) partial_response: bool,
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
        let feed = fanout::fan_out(&self.stores, Arc::new(select), &self.budget, &self.fan_out);
        self.selections.add(feed.progress());
        feed
    }

    /// Where a selection of labels is to note how it goes.
    pub(super) fn begin(&self) -> Progress {
        let progress = Progress::default();
        self.selections.add(progress.clone());
        progress
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
        match self.stores.is_empty() {
            true => vec!["no store is configured, so that nothing was asked".to_owned()],
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
